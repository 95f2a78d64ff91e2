"""What was taken on and what was sent, per (destination, audience, profile), in PostgreSQL.

It is also the queue of later attempts: what waits is durable here, so its record in the topic can
be acknowledged.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.activator.ceilings import Ceilings
from services.activator.domain.change import Change, Key, Person
from services.activator.domain.fold import Entry, Skipped
from services.activator.domain.outcomes import SENT, Outcome
from services.activator.domain.verdict import Item, Verdict
from services.activator.inheritance import inherit
from services.activator.jobs import Jobs
from services.activator.kept import Pause
from services.activator.ledger_rows import (
    again,
    claim_row,
    columns,
    item_of,
    ledger_row,
    log_row,
    person_of,
    sent_as,
    skip_row,
    viewed,
)
from services.activator.metrics import LEDGER_SECONDS
from services.activator.vendor_names import VendorNames

_READ = """
select l.audience_id, l.profile_id, l.version, l.outcome, l.touched, l.sent_identifiers
from unnest($2::text[], $3::text[]) as k(audience_id, profile_id)
join activator.ledger l
  on l.destination_id = $1 and l.audience_id = k.audience_id and l.profile_id = k.profile_id
"""

_CLAIM = """
insert into activator.ledger as l
    (destination_id, audience_id, profile_id, version, member, operation, idempotency_key,
     touched, sent_identifiers, updated_at)
select $1, c.audience_id, c.profile_id, c.version, c.member, c.operation, c.key, c.touched,
       c.sent::jsonb, $10
from unnest($2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::text[], $7::text[],
            $8::boolean[], $9::text[]) with ordinality
    as c(audience_id, profile_id, version, member, operation, key, touched, sent, place)
order by c.place
on conflict (destination_id, audience_id, profile_id) do update set
    version = excluded.version, member = excluded.member, operation = excluded.operation,
    idempotency_key = excluded.idempotency_key, payload = null,
    touched = l.touched or excluded.touched,
    sent_identifiers = coalesce(excluded.sent_identifiers, l.sent_identifiers),
    outcome = null, reason = null, attempts = 0, next_attempt_at = null, waiting_since = null,
    first_sent_at = case when l.version = excluded.version then l.first_sent_at end,
    arrival = nextval('activator.arrivals'), updated_at = excluded.updated_at
where excluded.version >= l.version
"""

_TOUCH = """
update activator.ledger l set touched = true, sent_identifiers = k.sent::jsonb
from unnest($2::text[], $3::text[], $4::text[]) as k(audience_id, profile_id, sent)
where l.destination_id = $1 and l.audience_id = k.audience_id and l.profile_id = k.profile_id
"""

_RECORD = """
update activator.ledger l set
    outcome = r.outcome, reason = r.reason, attempts = r.attempts,
    next_attempt_at = r.next_attempt_at, waiting_since = r.waiting_since, touched = r.touched,
    payload = r.payload,
    sent_version = case when r.sent then r.version else l.sent_version end,
    sent_identifiers = case when r.touched then l.sent_identifiers end,
    first_sent_at = coalesce(l.first_sent_at, r.sent_at), updated_at = $14
from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::integer[],
            $8::timestamptz[], $9::timestamptz[], $10::boolean[], $11::boolean[],
            $12::timestamptz[], $13::bytea[])
    as r(audience_id, profile_id, version, outcome, reason, attempts, next_attempt_at,
         waiting_since, touched, sent, sent_at, payload)
where l.destination_id = $1 and l.audience_id = r.audience_id and l.profile_id = r.profile_id
  and l.version = r.version and l.reason is distinct from 'erased'
"""

_LOG = """
insert into activator.delivery_log
    (instance_id, op, change_id, profile_id, audience_id, outcome, reason, http_status,
     vendor_request_id, attempts, sent_at, latency_ms, detail, logged_at)
select $1, e.op, e.change_id, e.profile_id, e.audience_id, e.outcome, e.reason, e.http_status,
       e.vendor_request_id, e.attempts, e.sent_at, e.latency_ms, e.detail, $14
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::integer[], $9::text[], $10::integer[], $11::timestamptz[], $12::integer[],
            $13::text[])
    as e(op, change_id, profile_id, audience_id, outcome, reason, http_status, vendor_request_id,
         attempts, sent_at, latency_ms, detail)
"""

_DUE = """
select payload, attempts, waiting_since, touched, sent_identifiers, reason, first_sent_at
from activator.ledger
where destination_id = $1 and next_attempt_at <= $2
order by next_attempt_at, arrival limit $3
"""

_EXPIRING = """
select l.audience_id, l.profile_id, l.version, l.sent_identifiers,
       p.identifiers, p.traits, p.consent
from activator.ledger l
join activator.profiles p on p.profile_id = l.profile_id and p.merged_into is null
where l.destination_id = $1 and l.member and l.touched and l.outcome = any($3)
  and l.updated_at < $2 and l.sent_identifiers is not null
order by l.updated_at limit $4
"""

_WAITING = """
from activator.ledger
where destination_id = $1 and waits
"""

_HEAD = f"""
select payload, attempts, waiting_since, touched, sent_identifiers, reason, first_sent_at,
       next_attempt_at
{_WAITING}
order by arrival limit $2
"""


class Ledger:
    """The ledger of one destination."""

    def __init__(self, pool: Any, destination_id: str) -> None:
        self._pool = pool
        self._id = destination_id
        self.ceilings = Ceilings(pool, destination_id)
        self.jobs = Jobs(pool, destination_id)
        self.names = VendorNames(pool, destination_id)

    async def read(self, keys: Iterable[Key]) -> Mapping[Key, Entry]:
        """What is known about these."""
        pairs = list(keys)
        with LEDGER_SECONDS.labels("read").time():
            rows = await self._pool.fetch(_READ, self._id, *columns(pairs, 2))
        return {
            (row["audience_id"], row["profile_id"]): Entry(
                version=row["version"],
                outcome=Outcome(row["outcome"]) if row["outcome"] else None,
                touched=row["touched"],
                sent=person_of(row["sent_identifiers"]),
            )
            for row in rows
        }

    async def claim(self, items: Sequence[Item], now: datetime) -> None:
        """Take these versions on, before anything is sent: a crash from here on leaves a trace.

        The payload is not in it: the record stays unacknowledged until `record` keeps what waits.
        """
        rows = [claim_row(item) for item in items]
        if rows:
            with LEDGER_SECONDS.labels("claim").time():
                await self._pool.execute(_CLAIM, self._id, *columns(rows, 8), now)

    async def touch(self, items: Sequence[Item]) -> None:
        """These adds are about to be sent once more: from here on the platform may hold them."""
        rows = [(*item.change.key, sent_as(item)) for item in items if item.change.member]
        if rows:
            await self._pool.execute(_TOUCH, self._id, *columns(rows, 3))

    async def record(
        self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped], now: datetime
    ) -> None:
        """Write what became of items, and the log; one transaction."""
        if not verdicts and not skipped:
            return
        log = [*map(log_row, verdicts), *map(skip_row, skipped)]
        with LEDGER_SECONDS.labels("record").time():
            async with self._pool.acquire() as connection, connection.transaction():
                if verdicts:
                    rows = [ledger_row(verdict) for verdict in verdicts]
                    await connection.execute(_RECORD, self._id, *columns(rows, 12), now)
                await connection.execute(_LOG, self._id, *columns(log, 12), now)

    async def due(self, now: datetime, limit: int) -> Sequence[Item]:
        """What waits and may be tried again now, the longest due first."""
        with LEDGER_SECONDS.labels("due").time():
            rows = await self._pool.fetch(_DUE, self._id, now, limit)
        return [item_of(row) for row in rows]

    async def due_in_order(self, now: datetime, limit: int) -> Sequence[Item]:
        """What waits, in the order of arrival, as far as it is due without a hole."""
        with LEDGER_SECONDS.labels("due").time():
            rows = await self._pool.fetch(_HEAD, self._id, limit)
        items = []
        for row in rows:
            if row["next_attempt_at"] is None or row["next_attempt_at"] > now:
                break
            items.append(item_of(row))
        return items

    async def waiting(self) -> int:
        """How many wait for another attempt or for a new definition."""
        count: int = await self._pool.fetchval(f"select count(*) {_WAITING}", self._id)
        return count

    async def is_anything_waiting(self) -> bool:
        """Whether any waits."""
        found: bool = await self._pool.fetchval(f"select exists (select {_WAITING})", self._id)
        return found

    async def paused(self) -> Pause | None:
        """The pause that is in force."""
        row = await self._pool.fetchrow(
            "select state, reason, definition_version, recheck_at, since"
            " from activator.destination_states"
            " where destination_id = $1",
            self._id,
        )
        return None if row is None else Pause(*row)

    async def pause(self, pause: Pause, now: datetime) -> None:
        """Pause the instance until its definition changes."""
        await self._pool.execute(
            "insert into activator.destination_states"
            " (destination_id, state, reason, definition_version, since, recheck_at)"
            " values ($1, $2, $3, $4, $5, $6)"
            " on conflict (destination_id) do update set state = excluded.state,"
            " reason = excluded.reason, definition_version = excluded.definition_version,"
            " since = excluded.since, recheck_at = excluded.recheck_at",
            self._id,
            pause.state,
            pause.reason,
            pause.version,
            now,
            pause.recheck_at,
        )

    async def resume(self, now: datetime) -> None:
        """End the pause: what it held back is due."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "delete from activator.destination_states where destination_id = $1", self._id
            )
            await connection.execute(
                "update activator.ledger set next_attempt_at = $2"
                " where destination_id = $1 and outcome = any($3)",
                self._id,
                now,
                [Outcome.AUTH, Outcome.CONFIG],
            )

    async def inherit(self, exits: Sequence[Change], now: datetime) -> None:
        """Pass on to the survivors what was sent of profiles that were merged into them."""
        async with self._pool.acquire() as connection:
            await inherit(connection, self._id, exits, now)

    async def persons(self, profile_ids: Sequence[str]) -> Mapping[str, Person]:
        """These people as they are now, as far as the views know them."""
        rows = await self._pool.fetch(
            "select profile_id, identifiers, traits, consent from activator.profiles"
            " where profile_id = any($1) and merged_into is null",
            profile_ids,
        )
        return {row["profile_id"]: viewed(row) for row in rows}

    async def expiring(self, before: datetime, limit: int) -> Sequence[Item]:
        """Members that were last sent before that instant, as they are known now."""
        rows = await self._pool.fetch(_EXPIRING, self._id, before, list(SENT), limit)
        return [again(self._id, row, before) for row in rows]

    async def trim_log(self, before: datetime) -> None:
        """Forget log rows older than that."""
        await self._pool.execute(
            "delete from activator.delivery_log where instance_id = $1 and logged_at < $2",
            self._id,
            before,
        )
