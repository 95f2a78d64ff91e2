"""SQL models: their statement, what is asked of the database, and what is kept of the answers."""
