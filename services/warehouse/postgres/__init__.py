"""PostgreSQL by logical replication: snapshot, polling, and the trouble that comes with it."""
