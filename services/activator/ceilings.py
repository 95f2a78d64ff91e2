"""What was used of the ceilings of destinations, and the pauses that they have asked for, in
PostgreSQL: a restart grants no more."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.activator.window import Used

_USE = """
insert into activator.ceilings (destination_id, ceiling, since, calls)
select $1, u.* from unnest($2::text[], $3::timestamptz[], $4::integer[]) as u
on conflict (destination_id, ceiling, since) do update set calls = excluded.calls
"""
_FORGET = """
delete from activator.ceilings where destination_id = $1 and ceiling = any($2) and since < $3
"""
_PAUSE = """
insert into activator.pauses (destination_id, name, until) values ($1, $2, $3)
on conflict (destination_id, name) do update set until = excluded.until
"""


class Ceilings:
    """Those of one destination."""

    def __init__(self, pool: Any, destination_id: str) -> None:
        self._pool = pool
        self._id = destination_id

    async def used(self) -> Sequence[Used]:
        """All that is known."""
        rows = await self._pool.fetch(
            "select ceiling, since, calls from activator.ceilings where destination_id = $1",
            self._id,
        )
        return [Used(*row) for row in rows]

    async def use(self, used: Sequence[Used], forgotten_before: datetime) -> None:
        """Write these in the place of what was known of the same parts; forget what is long ago."""
        names = [each.ceiling for each in used]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                _USE, self._id, names, [u.since for u in used], [u.calls for u in used]
            )
            await connection.execute(_FORGET, self._id, names, forgotten_before)

    async def pauses(self) -> Mapping[str, datetime]:
        """The last of each group of calls, by its name; over or not."""
        rows = await self._pool.fetch(
            "select name, until from activator.pauses where destination_id = $1", self._id
        )
        return dict(rows)

    async def pause(self, name: str, until: datetime) -> None:
        """This group of calls rests until then."""
        await self._pool.execute(_PAUSE, self._id, name, until)
