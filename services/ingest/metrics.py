"""The metrics of ingest: `received = accepted + duplicate + suppressed + rejected`, always."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "afflux_ingest_requests_total",
    "Requests answered, by route and status. A rise of 4xx means a client that sends what nobody"
    " can take; a rise of 503 means that events wait at their senders.",
    ["route", "status"],
)
RECEIVED = Counter(
    "afflux_ingest_events_received_total",
    "Events that an answer has decided about, by source; without those of requests answered 503,"
    " which come again.",
    ["source"],
)
ACCEPTED = Counter(
    "afflux_ingest_events_accepted_total",
    "Events acknowledged by the broker, by source. A fall to 0 means that a tracker went silent.",
    ["source"],
)
DUPLICATE = Counter(
    "afflux_ingest_events_duplicate_total",
    "Events dropped because their message id is known to be in the log, by source. A rise means"
    " that clients send again what was stored: their answers came late or never.",
    ["source"],
)
SUPPRESSED = Counter(
    "afflux_ingest_events_suppressed_total",
    "Events discarded because somebody in them is suppressed, by source. A rise means that an"
    " application goes on to send what it should not.",
    ["source"],
)
REJECTED = Counter(
    "afflux_ingest_events_rejected_total",
    "Events put into the dead letters, by source and code. A rise usually follows a release of"
    " the sending application.",
    ["source", "code"],
)
REFUSED = Counter(
    "afflux_ingest_requests_refused_total",
    "Requests refused whole, by source (empty: no valid key) and code; pixels too, which are"
    " answered 200. A rise of `invalid_write_key` after a rotation means a page with the old key.",
    ["source", "code"],
)
REGULATION_AGE_SECONDS = Gauge(
    "afflux_ingest_regulation_age_seconds",
    "Age of the oldest request to suppress or erase people that is not carried out; 0 without one,"
    " and in processes that leave the work to another. A steady rise means that a destination"
    " cannot be told.",
)
UNAVAILABLE = Counter(
    "afflux_ingest_unavailable_total",
    "Requests answered 503, by reason (definitions, suppressed, bodies, judges, broker, spool,"
    " backlog, deadline). Any rise means that clients must send again; some of them never do.",
    ["reason"],
)
REQUEST_SECONDS = Histogram(
    "afflux_ingest_request_seconds",
    "Time from the request's headers to its answer. A rise means a slow broker or too few"
    " ingest processes; clients give up after 10 s.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 10),
)
PRODUCE_SECONDS = Histogram(
    "afflux_ingest_produce_seconds",
    "Time from handing one partition's events to the broker until its acknowledgement. A rise"
    " points at the broker: its disk, its replicas, its load.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10),
)
IN_FLIGHT = Gauge(
    "afflux_ingest_requests_in_flight",
    "Requests being answered. A steady rise means that answers take longer than requests arrive.",
)
SPOOL_WRITE_SECONDS = Histogram(
    "afflux_ingest_spool_write_seconds",
    "Time from handing a group of events to the disk until it has synced them. A rise means a slow"
    " disk under the spool.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3),
)
SPOOL_BYTES = Gauge(
    "afflux_ingest_spool_bytes",
    "Bytes that wait on this machine's disk for the broker. A rise means that the broker is away;"
    " at its limit events are refused.",
)
SPOOL_LIMIT_BYTES = Gauge(
    "afflux_ingest_spool_limit_bytes",
    "Bytes the spool may hold: AFFLUX_INGEST_SPOOL_BYTES. 0 means that there is no spool.",
)
SPOOL_RECORDS = Gauge(
    "afflux_ingest_spool_records",
    "Events and dead letters in the spool. It falls to 0 when the broker is back.",
)
SPOOL_AGE_SECONDS = Gauge(
    "afflux_ingest_spool_age_seconds",
    "Age of what has waited longest in the spool; 0 when it is empty. Audiences are late by this"
    " much.",
)
SLOW_CONNECTIONS = Counter(
    "afflux_ingest_slow_connections_total",
    "Connections closed because a request did not arrive in time. A rise means clients on bad"
    " lines, or somebody who wants to keep the server busy.",
)
BACKLOG_BYTES = Gauge(
    "afflux_ingest_backlog_bytes",
    "Bytes waiting for the broker's acknowledgement or the disk. A steady rise ends in 503.",
)
BROKER_UP = Gauge(
    "afflux_ingest_broker_up",
    "1 while events go to the broker. 0 means that they wait in the spool or, without one, that"
    " every event is refused.",
)
