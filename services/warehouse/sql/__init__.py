"""SQL models: a database is asked by SELECTs, on a schedule."""
