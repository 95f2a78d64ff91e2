"""The metrics that every stage of the exact loop has."""

from prometheus_client import Counter, Gauge, Histogram

READY = Gauge(
    "afflux_ready",
    "1 while the process does its work. 0 for longer than a start means that it waits: /readyz"
    " says for what.",
)
RECORDS = Counter(
    "afflux_stage_records_total",
    "Records a stage took, by what became of them (handled, rejected, repeated). A rise of"
    " `rejected` fills the dead letters.",
    ["stage", "outcome"],
)
EMITTED = Counter(
    "afflux_stage_emitted_total",
    "Records a stage wrote, by record. It follows what comes in; a stop while records are taken"
    " means that they lead to nothing.",
    ["stage", "record"],
)
DEAD_LETTERS = Counter(
    "afflux_dead_letters_total",
    "Messages put aside, by stage and code. Any rise wants a look: afflux dead-letters list.",
    ["stage", "code"],
)
CYCLE_SECONDS = Histogram(
    "afflux_stage_cycle_seconds",
    "Length of a cycle without its waiting: decide, transaction, local state. A rise means a slow"
    " broker or too much work for one worker.",
    ["stage"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LAG_RECORDS = Gauge(
    "afflux_stage_lag_records",
    "Offsets between a worker's position and the end of its inputs. A steady rise means that the"
    " stage is too slow.",
    ["stage"],
)
LAG_SECONDS = Gauge(
    "afflux_stage_lag_seconds",
    "Age of the newest record taken while more wait; 0 when none waits. Audiences are late by"
    " this much.",
    ["stage"],
)
PARTITIONS = Gauge(
    "afflux_stage_partitions",
    "Input partitions this worker owns. 0 means that it idles while others work.",
    ["stage"],
)
RESTORE_SECONDS = Histogram(
    "afflux_stage_restore_seconds",
    "Time to restore the state of a partition. A rise means long pauses after a restart.",
    ["stage"],
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
UNACCOUNTED = Gauge(
    "afflux_unaccounted_events",
    "Events accepted − processed − dead-lettered, counted in the log and in the state apart from"
    " each other. Must return to 0 whenever the flow rests; anything else is a lost or doubled"
    " event.",
    ["stage"],
)
