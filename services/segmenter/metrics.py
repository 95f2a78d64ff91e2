"""What the segmenter counts beside the metrics of every stage."""

from prometheus_client import Counter, Gauge, Histogram

TRANSITIONS = Counter(
    "afflux_segmenter_transitions_total",
    "Entries and exits decided, by cause. A rise of `edit` or `merge` follows a changed definition"
    " or joined profiles.",
    ["cause"],
)
FORWARDED = Counter(
    "afflux_segmenter_forwarded_total",
    "Records sent on to the survivor of a merge. A steady rise means that identity works with a"
    " stale cache.",
)
FORGOTTEN = Counter(
    "afflux_segmenter_forgotten_total",
    "Records dropped because their profile was erased. A few follow an erasure; a steady rise means"
    " that identity still attributes events to it.",
)
TIMERS = Counter(
    "afflux_segmenter_timers_total",
    "Timers fired. Each re-checks one profile at an instant at which it may change by itself.",
)
LATENESS_SECONDS = Histogram(
    "afflux_segmenter_lateness_seconds",
    "From the exact instant of a change by time to its decision. A rise means that more falls due"
    " than a worker can handle.",
    buckets=(0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
WALKING = Gauge(
    "afflux_segmenter_walking_partitions",
    "Partitions whose profiles are being brought to a new definition. Returns to 0 when every"
    " profile has been looked at.",
)
READING = Gauge(
    "afflux_segmenter_reading_partitions",
    "Partitions whose log is being read again for new or edited segments. Returns to 0 when all of"
    " it has been read.",
)
READ_AGAIN = Counter(
    "afflux_segmenter_read_again_total",
    "Records read again for new or edited segments.",
)
OVERFLOWS = Counter(
    "afflux_segmenter_overflows_total",
    "Profiles that hold too many entries for one condition; their membership in it stays as it is.",
)
AUDIT_CHECKED = Counter(
    "afflux_segment_audit_checked_total",
    "Memberships that the audit recomputed from the log and compared. Standing still means that the"
    " audit no longer runs.",
)
AUDIT_MISMATCHES = Counter(
    "afflux_segment_audit_mismatches_total",
    "Memberships that were not what the log says. Must stay 0: any rise is a fault of Afflux.",
)
