"""BigQuery: what its tables are asked, and what the values are."""
