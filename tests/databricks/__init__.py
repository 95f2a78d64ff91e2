"""The reader of Databricks against a real Spark with Delta Lake: `make databricks`."""
