"""A run that reads only what is stamped later than what was read before."""

from collections.abc import Awaitable, Callable, Sequence

from services.warehouse.domain.sql.buckets import SHARED, UNKNOWN, is_news
from services.warehouse.domain.sql.layout import earlier, instant
from services.warehouse.domain.sql.statements import BUCKET_DIGITS, Column
from services.warehouse.sql.engine import Row
from services.warehouse.sql.run import Run


class Following:
    """One run; after each page it can be cut short without loss."""

    def __init__(self, run: Run, save: Callable[[], Awaitable[None]]) -> None:
        """`save` makes the progress durable."""
        self._layout = run.layout
        self._session = run.session
        self._state = run.state
        self._teller = run.teller
        self._listed = run.listed
        self._progress = run.progress
        self._save = save

    async def run(self, stamp: Column, overlap: int) -> None:
        """From `overlap` milliseconds before the newest stamp that was read."""
        now = instant(await self._session.clock(), stamp)
        last = self._progress.last
        since = () if last is None else (earlier(last, stamp, overlap),)
        behind: tuple[str | None, ...] = ()
        while True:
            statement = self._layout.statements.page(stamp, since=bool(since), behind=bool(behind))
            page = await self._session.fetch(statement, *since, *behind)
            await self._take(page)
            await self._remember(page, now)
            if len(page) < self._layout.statements.page_rows or page[-1][0] is None:
                return
            behind = (page[-1][0], *page[-1][3 : 3 + len(self._layout.key)])

    async def _take(self, page: Sequence[Row]) -> None:
        """Rows whose digest is known are dropped. Of rows that share a key the comparison tells."""
        rows = {}
        for _, key, row, *texts in page:
            if key is None:
                continue
            digest, of_row, _ = self._listed(key, row, texts)
            if digest != SHARED:
                rows[digest] = (key[:BUCKET_DIGITS], of_row, texts)
        kept = await self._state.load({bucket for bucket, _, _ in rows.values()})
        news = {
            key: row
            for key, row in rows.items()
            if is_news(kept[row[0]].entries.get(key), row[1], "changes")
        }
        touched = {bucket: kept[bucket] for bucket, _, _ in news.values()}
        for key, (bucket, _, _) in news.items():
            touched[bucket].entries[key] = UNKNOWN
            touched[bucket].checksum = None
        await self._state.save(touched)
        for key, (bucket, digest, texts) in news.items():
            self._teller.present(texts)
            touched[bucket].entries[key] = digest
        if news:
            await self._teller.acknowledged()
            await self._state.save(touched)

    async def _remember(self, page: Sequence[Row], now: str) -> None:
        """The newest stamp, but none from behind the server's clock: such a row is read again."""
        stamps = [row[0] for row in page if row[0] is not None]
        if stamps:
            self._progress.last = min(now, max(stamps[-1], self._progress.last or ""))
            await self._save()
