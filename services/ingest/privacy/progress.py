"""How far an erasure has come, read from the tables of those who do it.

They may not be there yet, for each service makes its own: then nothing has been done.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

_PARTS = "select count(*) from identity.erasures where regulation_id = $1"

_KNOWN = """
select count(*) from identity.erasures e, unnest(e.profiles) as p (profile_id)
left join activator.erased x using (profile_id)
where e.regulation_id = $1 and x.settled is not true
"""

_DIGESTS = "select digest, max(at) from identity.erased group by digest"

_REMOVALS = """
select destination_id,
    case when bool_or(status = 'RUNNING') then 'RUNNING'
         when bool_and(status = 'NOT_SUPPORTED') then 'NOT_SUPPORTED'
         when bool_and(status = 'FAILED') then 'FAILED'
         when bool_or(status <> 'FINISHED') then 'PARTIAL_SUCCESS'
         else 'FINISHED' end as status,
    max(reason) filter (where status in ('FAILED', 'NOT_SUPPORTED')) as reason,
    case when bool_or(status = 'RUNNING') then null else max(finished_at) end as finished_at
from activator.removals where regulation_id = $1
group by destination_id order by destination_id
"""


class Progress:
    """Looks, and changes nothing."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def is_out_of_identity(self, regulation_id: str, parts: int) -> bool:
        """Whether the graph knows none of the people."""
        rows = await self._rows(_PARTS, regulation_id)
        return bool(rows) and rows[0][0] >= parts

    async def is_out_of_views(self, regulation_id: str) -> bool:
        """Whether nothing is kept of them for the sake of a destination either."""
        rows = await self._rows(_KNOWN, regulation_id)
        return bool(rows) and rows[0][0] == 0

    async def removals(self, regulation_id: str) -> Sequence[Mapping[str, Any]]:
        """Of each destination that is told: `status`, `reason`, `finished_at`."""
        return await self._rows(_REMOVALS, regulation_id)

    async def erased(self) -> Mapping[bytes, int]:
        """Digest of each value of somebody erased lately → what was received by then is theirs."""
        return {bytes(digest): at for digest, at in await self._rows(_DIGESTS)}

    async def _rows(self, query: str, *arguments: object) -> Sequence[Any]:
        try:
            rows: Sequence[Any] = await self._pool.fetch(query, *arguments)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return ()
        return rows
