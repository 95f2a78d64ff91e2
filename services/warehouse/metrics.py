"""What the reader of a warehouse topic counts."""

from prometheus_client import Counter, Gauge

ROWS = Counter(
    "afflux_warehouse_rows_total",
    "Changes of rows that were taken, by what happened to the row. A sudden rise of `delete` wants"
    " a look at the source; a stop while the database is written to means that Debezium stands.",
    ["outcome"],
)
SKIPPED = Counter(
    "afflux_warehouse_skipped_total",
    "Messages and changes that mean nothing, by reason. A rise of `duplicate` or `stale` means"
    " that Debezium repeats itself; of `unmodelled` that a table has no model.",
    ["reason"],
)
REJECTED = Counter(
    "afflux_warehouse_rejected_total",
    "Messages that went to the dead letters, by reason. A rise means that a setting of the source"
    " or a type in a model is wrong: docs/warehouse.md.",
    ["reason"],
)
NOTES = Counter(
    "afflux_warehouse_notes_total",
    "Values that were read otherwise than written: unrepresentable, null_default, text_cleaned,"
    " duplicate_key, schema_drift (a column of the model is missing). A rise of `schema_drift`"
    " means that the table has changed.",
    ["reason"],
)
BLOCKED = Gauge(
    "afflux_warehouse_paused",
    "1 while a topic waits for a person and nothing of it is read: afflux status says why.",
    ["reason"],
)
HEARD_SECONDS = Gauge(
    "afflux_warehouse_heard_seconds",
    "Unix time at which the source made the newest message, heartbeats included. Falls behind the"
    " clock when Debezium stands, or has nothing to say and no heartbeat.",
)
RETAINED_BYTES = Gauge(
    "afflux_warehouse_retained_bytes",
    "Log that a PostgreSQL source keeps for our replication slot. A rise means that the connector"
    " stands or is too slow: the database's disk fills up.",
)
ALARMING_BYTES = Gauge(
    "afflux_warehouse_alarming_bytes",
    "Log that is kept for our slot while that is more than `wal_alert_bytes` of the source, or the"
    " slot is about to be lost; else 0. The process's log says in how many seconds it is lost.",
)
VERSIONS_WAITING = Gauge(
    "afflux_warehouse_versions_waiting",
    "Versions of Delta tables that are there and were not read yet. A rise means that the"
    " connector is too slow, or stands.",
)
