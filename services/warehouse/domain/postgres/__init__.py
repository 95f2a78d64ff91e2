"""PostgreSQL's replication messages, values and snapshots, understood without a connection."""
