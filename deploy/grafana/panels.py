"""What the dashboard of the flow shows: its rows and panels, in the order of the flow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["short", "none", "percentunit", "s", "bytes", "cps"]
"""Grafana's names of units; `cps` is counts a second."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, and how to read it."""

    title: str
    tells: str
    unit: Unit
    queries: Mapping[str, str]
    """Legend → PromQL; `{{label}}` in a legend is filled in by Grafana."""
    kind: Literal["timeseries", "stat"] = "timeseries"
    red_from: float | None = None
    """The value from which it is shown in red."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str = "") -> str:
    return f"sum{_by(by)} (rate({metric}[$__rate_interval]))"


def _quantile(share: float, histogram: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    rate = f"sum by ({labels}) (rate({histogram}_bucket[$__rate_interval]))"
    return f"histogram_quantile({share}, {rate})"


def _p50_p99(histogram: str, by: str = "") -> Mapping[str, str]:
    of = f" {{{{{by}}}}}" if by else ""
    return {
        f"p50{of}": _quantile(0.5, histogram, by),
        f"p99{of}": _quantile(0.99, histogram, by),
    }


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


FLOW = Row(
    "The flow",
    (
        Panel(
            "From accepted to delivered",
            "One line a step, in events, transitions and deliveries a second. Accepted and"
            " processed lie on each other; where a line falls away, look at that step's lag.",
            "cps",
            {
                "accepted": _rate("afflux_ingest_events_accepted_total"),
                "processed": _rate(
                    'afflux_stage_records_total{stage="identity", outcome="handled"}'
                ),
                "transitions": _rate("afflux_segmenter_transitions_total"),
                "delivered": _rate('afflux_deliveries_total{outcome=~"delivered|accepted"}'),
            },
        ),
        Panel(
            "Latency from received to delivered",
            "From the arrival of the causing event at ingest to the platform's answer."
            " p99 belongs under one second.",
            "s",
            _p50_p99("afflux_delivery_latency_seconds"),
            red_from=1,
        ),
        Panel(
            "Unaccounted events",
            "Accepted − processed − dead-lettered. It moves while events flow and returns to 0 at"
            " rest; anything else is a lost or doubled event.",
            "short",
            {"{{stage}}": "sum by (stage) (afflux_unaccounted_events)"},
        ),
    ),
)

HEALTH = Row(
    "Is it up",
    (
        Panel(
            "Processes that answer",
            "1 for each process that Prometheus reaches, 0 for one that it does not.",
            "none",
            {"{{service}}": "sum by (service) (up)"},
            kind="stat",
        ),
        Panel(
            "Partitions owned",
            "Together the partition count of the inputs. Less means that nobody works on some.",
            "none",
            {"{{stage}}": "sum by (stage) (afflux_stage_partitions)"},
            kind="stat",
        ),
        Panel(
            "Ingest can write",
            "1 while events go to the broker; 0 means that they wait in the spool, or are refused"
            " where there is none.",
            "none",
            {"ingest": "min(afflux_ingest_broker_up)"},
            kind="stat",
        ),
        Panel(
            "Paused destinations",
            "Destinations that wait for a person: credentials or settings were refused.",
            "none",
            {"paused": "sum(afflux_destination_paused)"},
            kind="stat",
            red_from=1,
        ),
    ),
)

LAG = Row(
    "Lag",
    (
        Panel(
            "Lag in seconds",
            "Age of the newest record taken while more wait. Audiences are late by this much.",
            "s",
            {"{{stage}}": "max by (stage) (afflux_stage_lag_seconds)"},
            red_from=5,
        ),
        Panel(
            "Lag in records",
            "Offsets between position and end of the inputs. A steady rise: the stage is too slow.",
            "short",
            {"{{stage}}": "sum by (stage) (afflux_stage_lag_records)"},
        ),
        Panel(
            "Cycle, p99",
            "One turn of the loop: decide, transaction, local state. All stages slow at once means"
            " a slow broker, a single one too much work for a worker.",
            "s",
            {"{{stage}}": _quantile(0.99, "afflux_stage_cycle_seconds", "stage")},
        ),
        Panel(
            "Restore, p99",
            "Time to restore a partition's state after a restart or a move: all restores since the"
            " process started.",
            "s",
            {
                "{{stage}}": "histogram_quantile(0.99, sum by (le, stage)"
                " (afflux_stage_restore_seconds_bucket))"
            },
        ),
    ),
)

INGEST = Row(
    "Ingest",
    (
        Panel(
            "Requests by status",
            "4xx: a client sends what nobody can take. 503: events wait at their senders.",
            "cps",
            {"{{route}} {{status}}": _rate("afflux_ingest_requests_total", "route, status")},
        ),
        Panel(
            "Time to answer",
            "From a request's headers to its answer, the broker's acknowledgement included.",
            "s",
            _p50_p99("afflux_ingest_request_seconds"),
        ),
        Panel(
            "Bytes waiting for the broker",
            "In memory, and in the spool while the broker is away. The first rising steadily ends"
            " in 503, the second when the spool is full.",
            "bytes",
            {
                "memory {{instance}}": "afflux_ingest_backlog_bytes",
                "spool {{instance}}": "afflux_ingest_spool_bytes",
            },
        ),
        Panel(
            "Age of the spool",
            "How long the oldest accepted event has waited on disk. 0 whenever the broker is there;"
            " audiences are late by this much.",
            "s",
            {"{{instance}}": "afflux_ingest_spool_age_seconds"},
            red_from=300,
        ),
    ),
)

IDENTITY = Row(
    "Identity",
    (
        Panel(
            "Events by what became of them",
            "Resolved is the rule. Duplicates mean that somebody sends twice.",
            "cps",
            {"{{outcome}}": _rate("afflux_identity_events_total", "outcome")},
        ),
        Panel(
            "Merges",
            "Profiles folded into another. A sudden rise: something shared is taken for a person.",
            "cps",
            {"merges": _rate("afflux_identity_merges_total")},
        ),
        Panel(
            "Settled without the database",
            "Share of events whose profile was known in memory. Low means that the cache is too"
            " small for the visitors.",
            "percentunit",
            {
                "memory": _rate('afflux_identity_lookups_total{result="hit"}')
                + " / "
                + _rate("afflux_identity_lookups_total")
            },
        ),
        Panel(
            "Time in PostgreSQL",
            "One batch's transaction. A rise: a slow database, or workers in each other's way.",
            "s",
            _p50_p99("afflux_identity_database_seconds"),
        ),
    ),
)

SEGMENTS = Row(
    "Segments",
    (
        Panel(
            "Transitions by cause",
            "Entries and exits. `edit` follows a changed definition, `merge` joined profiles.",
            "cps",
            {"{{cause}}": _rate("afflux_segmenter_transitions_total", "cause")},
        ),
        Panel(
            "Lateness of changes by time",
            "From the exact instant at which a membership changed by itself to its decision."
            " p99 belongs under two seconds.",
            "s",
            _p50_p99("afflux_segmenter_lateness_seconds"),
            red_from=2,
        ),
        Panel(
            "Timers fired",
            "Profiles looked at because of the time alone.",
            "cps",
            {"timers": _rate("afflux_segmenter_timers_total")},
        ),
        Panel(
            "Partitions taking up a definition",
            "Returns to 0 when every profile has been looked at under the new definition.",
            "none",
            {"partitions": "sum(afflux_segmenter_walking_partitions)"},
        ),
        Panel(
            "Audit: memberships that are not what the log says",
            "Must stay 0. `compared` standing still means that the audit no longer runs.",
            "none",
            {
                "mismatches": "sum(afflux_segment_audit_mismatches_total)",
                "compared": _rate("afflux_segment_audit_checked_total"),
            },
            red_from=1,
        ),
    ),
)

DESTINATIONS = Row(
    "Destinations",
    (
        Panel(
            "Outcomes",
            "`retry` and `throttled`: the platform is in trouble. `auth` and `config`: it waits for"
            " a person. `permanent`: the change is in the dead letters.",
            "cps",
            {
                "{{destination}} {{outcome}}": _rate(
                    "afflux_deliveries_total", "destination, outcome"
                )
            },
        ),
        Panel(
            "Latency, p99",
            "From received to delivered; one slow line is that platform, all of them our lag.",
            "s",
            {"{{destination}}": _quantile(0.99, "afflux_delivery_latency_seconds", "destination")},
            red_from=1,
        ),
        Panel(
            "Waiting for another attempt",
            "Changes in the ledger whose delivery failed for now.",
            "short",
            {"{{destination}}": "sum by (destination) (afflux_retries_waiting)"},
        ),
        Panel(
            "Paused or not answering",
            "Paused: nothing is sent until somebody has mended it, see `afflux status`. Not"
            " answering: one probe at a time, and it goes on by itself.",
            "short",
            {
                "{{destination}} paused": "max by (destination) (afflux_destination_paused)",
                "{{destination}} not answering": "1 - min by (destination) (afflux_destination_up)",
            },
            red_from=1,
        ),
        Panel(
            "Time in PostgreSQL, p99",
            "The ledger's steps around a send, and the router's write of one batch into the views."
            " A rise slows every delivery.",
            "s",
            {
                "ledger {{step}}": _quantile(0.99, "afflux_ledger_seconds", "step"),
                "views": _quantile(0.99, "afflux_view_write_seconds"),
            },
        ),
    ),
)

DEAD_LETTERS = Row(
    "Put aside",
    (
        Panel(
            "Dead letters by stage and code",
            "Messages that a stage could not handle, since its processes started. See"
            " `afflux dead-letters list`.",
            "short",
            {"{{stage}} {{code}}": "sum by (stage, code) (afflux_dead_letters_total)"},
        ),
        Panel(
            "Refused at ingest by source and code",
            "Events of clients that ingest put into the dead letters. A rise usually follows a"
            " release of the sending application.",
            "cps",
            {"{{source}} {{code}}": _rate("afflux_ingest_events_rejected_total", "source, code")},
        ),
    ),
)

ROWS = (FLOW, HEALTH, LAG, INGEST, IDENTITY, SEGMENTS, DESTINATIONS, DEAD_LETTERS)
