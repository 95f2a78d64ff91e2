"""What identity counts and times."""

from prometheus_client import Counter, Histogram

EVENTS = Counter(
    "afflux_identity_events_total",
    "Events by what became of them: resolved, duplicate, erased (received before its person was"
    " erased), no_identifier, unreadable_payload. A rise of `duplicate` means that somebody sends"
    " twice; of the last two, look at the dead letters.",
    ["outcome"],
)
LOOKUPS = Counter(
    "afflux_identity_lookups_total",
    "Events settled from memory (hit) or with the database (miss). More misses than new visitors"
    " explain means that the cache is too small: AFFLUX_IDENTITY_CACHE.",
    ["result"],
)
MERGES = Counter(
    "afflux_identity_merges_total",
    "Profiles folded into another. A sudden rise means that something shared is taken for a"
    " person: block it.",
)
REFUSALS = Counter(
    "afflux_identity_refusals_total",
    "Identifiers left out of a profile for good, by reason: limit, max_merges, max_identifiers."
    " A rise means shared devices, or a rule that is too tight.",
    ["reason"],
)
LEFT_OUT = Counter(
    "afflux_identity_values_left_out_total",
    "Values that identify nobody: blocked, empty, malformed, too_long, too_many, unknown_type. A"
    " rise means that a tracker sends placeholders.",
    ["reason"],
)
REEMITTED = Counter(
    "afflux_identity_merges_reemitted_total",
    "Merges and erasures that the sweeper said after a crash. A steady rise means that workers keep"
    " dying between database and log.",
)
DATABASE_SECONDS = Histogram(
    "afflux_identity_database_seconds",
    "Time a batch spends in PostgreSQL. A rise means a slow database or workers in each other's"
    " way.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
