"""A run that compares every row with what is kept of it, moving as little as it can.

First one checksum a bucket; of the buckets that differ the hashes; of the rows that differ the
rows. Only what is new is in memory, and one batch of buckets.
"""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from decimal import Decimal
from itertools import islice

from services.runtime.stage import Blocked
from services.warehouse.domain.sql.buckets import (
    KEYLESS,
    UNKNOWN,
    Compared,
    Kept,
    Listed,
    Mode,
    compare,
    slices,
)
from services.warehouse.domain.sql.statements import BUCKET_DIGITS, PAGE_ROWS
from services.warehouse.sql.run import Run
from services.warehouse.sql.telling import MOST_LETTERS

BATCH_ROWS, BATCH_BUCKETS = 50_000, 256
MOST_REFUSED = 0.01
"""Share of the rows."""
MANY_CHANGED = 0.05
"""Share of the rows from which on they are read whole, and no longer one by one."""


class Comparison:
    """One run."""

    def __init__(self, run: Run, *, mode: Mode, max_delete_share: float) -> None:
        self._model = run.model
        self._statements = run.layout.statements
        self._session = run.session
        self._state = run.state
        self._teller = run.teller
        self._digests = run.digests
        self._listed = run.listed
        self._mode = mode
        self._max_delete_share = max_delete_share
        self._key_columns = len(run.layout.key)
        self._seals: dict[str, bytes] = {}
        self._numbers: Counter[str] = Counter()
        self._unfinished: set[str] = set()

    async def run(self, *, whole: bool) -> None:
        """`whole`: most rows will be told, so they are read at once.

        Raises:
            Blocked: too many rows are gone or cannot be taken; nothing was deleted.
        """
        counts = await self._sealed()
        kept = await self._state.checksums()
        known = await self._state.known()
        listed = [
            bucket
            for bucket in counts.keys() | kept.keys()
            if self._mode != "changes" or kept.get(bucket) != self._seal(bucket)
        ]
        self._guard_refused(counts.get(KEYLESS, 0), sum(counts.values()))
        if KEYLESS in listed:
            await self._refuse_keyless(counts.get(KEYLESS, 0))
        sizes = {bucket: counts.get(bucket, 0) for bucket in listed if bucket != KEYLESS}
        for buckets in slices(sizes, self._statements.slice_rows):
            changed = 0
            async for batch in self._batches(buckets, whole=whole):
                changed += await self._take(batch, whole=whole)
            whole = whole or changed > MANY_CHANGED * sum(sizes[bucket] for bucket in buckets)
        self._guard_refused(await self._state.refused(), sum(counts.values()))
        await self._delete(known)

    async def _sealed(self) -> Mapping[str, int]:
        """Bucket → rows in it."""
        counts = {}
        for bucket, count, total in await self._session.fetch(self._statements.checksums()):
            name = KEYLESS if bucket is None else bucket
            counts[name] = int(count)
            self._seals[name] = self._sealed_as(name, counts[name], int(Decimal(total)))
        return counts

    def _sealed_as(self, bucket: str, count: int, total: int) -> bytes:
        """A digest of it, for it may be of a single row."""
        return self._digests.of_bucket(f"{bucket}:{count}:{total}")

    def _seal(self, bucket: str) -> bytes:
        return self._seals.get(bucket) or self._sealed_as(bucket, 0, 0)

    async def _batches(
        self, buckets: Sequence[str], *, whole: bool
    ) -> AsyncIterator[Mapping[str, list[Listed]]]:
        """Every bucket in one of them, also the empty ones."""
        statement = self._statements.rows() if whole else self._statements.hashes()
        left = sorted(buckets, reverse=True)
        batch: dict[str, list[Listed]] = {}
        rows = 0
        async for page in self._session.stream(statement, left):
            for key, row, number, *texts in page:
                bucket = key[:BUCKET_DIGITS]
                if bucket not in batch:
                    if rows >= BATCH_ROWS or len(batch) >= BATCH_BUCKETS:
                        yield batch
                        batch, rows = {}, 0
                    while left and left[-1] <= bucket:
                        batch[left.pop()] = []
                batch[bucket].append(self._listed(key, row, texts))
                self._numbers[bucket] += int(number)
                rows += 1
        yield batch | {bucket: [] for bucket in reversed(left)}

    async def _take(self, batch: Mapping[str, list[Listed]], *, whole: bool) -> int:
        """The rows that were told. What is sealed is what was listed: a database without snapshots
        may have summed up others."""
        for bucket, listed in batch.items():
            total = self._numbers.pop(bucket, 0)
            self._seals[bucket] = self._sealed_as(bucket, len(listed), total)
        kept = await self._state.load(batch)
        compared = {
            bucket: compare(kept[bucket].entries, listed, self._mode)
            for bucket, listed in batch.items()
        }
        await self._state.save(
            {
                bucket: Kept(found.pending, refused=kept[bucket].refused)
                for bucket, found in compared.items()
                if found.changed
            }
        )
        changed = [row for found in compared.values() for row in found.changed.values()]
        told = self._tell_whole(changed) if whole else await self._tell_by_key(changed)
        refused = [row for found in compared.values() for r in found.refused.values() for row in r]
        for *_, texts in refused:
            self._teller.refuse("duplicate_key", texts[: self._key_columns])
        if changed or refused:
            await self._teller.acknowledged()
        await self._state.save(
            {bucket: self._after(bucket, found, told) for bucket, found in compared.items()}
        )
        return len(changed)

    def _tell_whole(self, changed: Sequence[Listed]) -> Mapping[bytes, bytes]:
        for _, _, texts in changed:
            self._teller.present(texts)
        return {key: digest for key, digest, _ in changed}

    async def _tell_by_key(self, changed: Sequence[Listed]) -> Mapping[bytes, bytes]:
        """Key digest → digest of the row as it was told; without those that went meanwhile."""
        told = {}
        statement = self._statements.by_key()
        for start in range(0, len(changed), PAGE_ROWS):
            page = changed[start : start + PAGE_ROWS]
            keys = [texts[: self._key_columns] for _, _, texts in page]
            columns = [list(column) for column in zip(*keys, strict=True)]
            for key, row, *texts in await self._session.fetch(statement, *columns):
                self._teller.present(texts)
                key_digest, row_digest, _ = self._listed(key, row, texts)
                told[key_digest] = row_digest
        return told

    def _after(self, bucket: str, found: Compared, told: Mapping[bytes, bytes]) -> Kept:
        """What was told counts, not what was listed."""
        entries = found.entries | {key: told.get(key, UNKNOWN) for key in found.changed}
        gone = found.gone if self._model.deletes == "diff" else frozenset()
        if any(told.get(key) != row[1] for key, row in found.changed.items()):
            self._unfinished.add(bucket)
        return Kept(
            entries,
            gone,
            None if gone or bucket in self._unfinished else self._seal(bucket),
            sum(map(len, found.refused.values())),
        )

    async def _refuse_keyless(self, count: int) -> None:
        for key in await self._session.fetch(self._statements.keyless(MOST_LETTERS)):
            self._teller.refuse("null_key", key)
        await self._teller.acknowledged()
        await self._state.save({KEYLESS: Kept(checksum=self._seal(KEYLESS), refused=count)})

    def _guard_refused(self, refused: int, rows: int) -> None:
        if refused > MOST_REFUSED * rows:
            raise Blocked(
                "too_many_rejects",
                f"{refused} of {rows} rows of model {self._model.id} have a key that is null in"
                " part or not theirs alone: mend the query or its `key`",
            )

    async def _delete(self, known: int) -> None:
        """The rows that are gone, if a person need not be asked."""
        gone = await self._state.gone()
        count = sum(gone.values())
        if count > self._max_delete_share * known:
            raise Blocked(
                "mass_delete",
                f"{count} of {known} rows of model {self._model.id} would be deleted: if that is"
                " right, raise max_delete_share of the source until they are",
            )
        for buckets in slices(gone, BATCH_ROWS):
            for some in _chunks(buckets, BATCH_BUCKETS):
                await self._delete_in(some)

    async def _delete_in(self, buckets: Collection[str]) -> None:
        kept = await self._state.load(buckets)
        for bucket in kept.values():
            bucket.entries |= dict.fromkeys(bucket.gone, UNKNOWN)
        await self._state.save(kept)
        for name, bucket in kept.items():
            for key in bucket.gone:
                self._teller.gone(key)
                del bucket.entries[key]
            bucket.gone = frozenset()
            bucket.checksum = None if name in self._unfinished else self._seal(name)
        await self._teller.acknowledged()
        await self._state.save(kept)


def _chunks(buckets: Sequence[str], size: int) -> Sequence[list[str]]:
    left = iter(buckets)
    return list(iter(lambda: list(islice(left, size)), []))
