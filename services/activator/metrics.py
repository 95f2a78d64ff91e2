"""The metrics of router and senders, each declared once with what a rise means."""

from prometheus_client import Counter, Gauge, Histogram

DELIVERIES = Counter(
    "afflux_deliveries_total",
    "Changes by destination, outcome and reason. A rise of `retry` or `throttled` means a platform"
    " in trouble; of `permanent`, that changes end in the dead letters.",
    ["destination", "outcome", "reason"],
)
LATENCY = Histogram(
    "afflux_delivery_latency_seconds",
    "From the arrival of the causing event to its delivery. A rise means lag or a slow platform.",
    ["destination"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60),
)
IN_FLIGHT = Gauge(
    "afflux_sends_in_flight",
    "Calls that wait for their answer. At its ceiling the platform is the bottleneck.",
    ["destination"],
)
RETRIES_WAITING = Gauge(
    "afflux_retries_waiting",
    "Changes that wait in the ledger for a later attempt. A rise means a platform in trouble.",
    ["destination"],
)
PAUSES = Counter(
    "afflux_limiter_pauses_total",
    "Times a platform told us to slow down. A rise means that the limits are set too high.",
    ["destination"],
)
UNATTRIBUTED = Counter(
    "afflux_unattributed_failures_total",
    "Items that a platform counted as failed without naming them. A rise means that members may be"
    " missing there: reconcile.",
    ["destination"],
)
ANSWERS = Gauge(
    "afflux_destination_up",
    "0 while a platform does not answer and is only probed, at growing distances; else 1.",
    ["destination"],
)
PAUSED = Gauge(
    "afflux_destination_paused",
    "1 while a destination is paused until its definition is applied anew: see its state.",
    ["destination"],
)
LEDGER_SECONDS = Histogram(
    "afflux_ledger_seconds",
    "Time of one ledger step (read, claim, record, due). A rise means a slow PostgreSQL.",
    ["step"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
ROUTED = Counter(
    "afflux_routed_total",
    "Changes routed to a destination. A stop while memberships change means no subscriber.",
    ["destination"],
)
VIEW_SECONDS = Histogram(
    "afflux_view_write_seconds",
    "Time to write one batch into the PostgreSQL views. A rise slows all deliveries.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
