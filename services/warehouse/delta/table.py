"""One Delta table through the `deltalake` library; every function here blocks its thread."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from arro3.core import Array, DataType, RecordBatch
from deltalake import DeltaTable

from services.runtime.secrets import resolve
from services.runtime.stage import Blocked
from services.warehouse.delta.trouble import understood
from services.warehouse.domain.change import Note
from services.warehouse.domain.delta.values import UNREPRESENTABLE, Form, read
from services.warehouse.domain.feed import FeedRow, Row
from services.warehouse.versions import FEED, feed_disabled

KIND, VERSION, AT = "_change_type", "_commit_version", "_commit_timestamp"
SAFE_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
"""Of a table's readers. With others, deletion vectors first of all, the library's feed would show
whole files where a row changed."""
BUCKETS = 1 << 12
"""Parts of a table's keys that can be read by themselves."""


@dataclass(frozen=True, slots=True)
class Commits:
    """What a step of the feed will show."""

    rows: int
    committed: Mapping[int, int]
    """Version → Unix milliseconds; versions without rows are left out."""


class Table:
    """A table as it is now."""

    def __init__(self, relation: str, uri: str, options: Mapping[str, str]) -> None:
        """
        Raises:
            Blocked: it is not there or cannot be followed.
            SourceAway: try again.
            UnresolvedSecret: a reference among the options points at nothing.
        """
        self.relation = relation
        self._uri = uri
        self._options = {name: resolve(text).get_secret_value() for name, text in options.items()}
        with understood(relation):
            self._table = DeltaTable(uri, storage_options=self._options)
            metadata, protocol = self._table.metadata(), self._table.protocol()
            self.id = str(metadata.id)
            self.version = self._table.version()
            self.columns = {f.name: str(f.type) for f in self._table.schema().fields}
        configuration = metadata.configuration
        if configuration.get(FEED) != "true":
            raise feed_disabled(relation)
        unsafe = set(protocol.reader_features or ()) - SAFE_FEATURES
        if configuration.get("delta.columnMapping.mode", "none") != "none":
            unsafe.add("columnMapping")
        if unsafe:
            raise Blocked(
                "feature_unsupported",
                f"{relation} has {', '.join(sorted(unsafe))}, with which its change data feed"
                " cannot be read exactly",
            )

    @property
    def fingerprint(self) -> bytes:
        """Of column names and types."""
        text = ",".join(f"{name} {type_}" for name, type_ in sorted(self.columns.items()))
        return hashlib.sha256(text.encode()).digest()[:8]

    def committed_at(self) -> int:
        """When its version was committed, Unix milliseconds.

        Raises:
            Blocked, SourceAway: as for the table.
        """
        with understood(self.relation):
            return int(self._table.history(1)[0]["timestamp"])

    def snapshot(self, version: int, columns: Sequence[str]) -> Iterator[list[Row]]:
        """The rows of a version, batch by batch.

        Raises:
            Blocked: the version or its files are gone.
            SourceAway: try again.
        """
        for batch in self._scan(version, columns):
            yield _rows(batch)

    def commits(self, first: int, last: int) -> Commits:
        """What these versions hold."""
        committed: dict[int, int] = {}
        rows = 0
        for batch in self._feed(first, last, columns=[VERSION, AT]):
            rows += batch.num_rows
            pairs = set(zip(_list(batch, VERSION), _list(batch, AT), strict=True))
            committed |= {version: _milliseconds(at) for version, at in pairs}
        return Commits(rows, committed)

    def feed(
        self,
        first: int,
        last: int,
        columns: Sequence[str],
        *,
        key: Sequence[str],
        buckets: range,
    ) -> Iterator[FeedRow]:
        """Rows of these versions whose key lies in the buckets, in no order.

        Raises:
            Blocked: the versions or their files are gone.
            SourceAway: try again.
        """
        wanted = [*map(_quoted, columns), KIND, VERSION]
        for batch in self._feed(first, last, columns=wanted, predicate=self._within(key, buckets)):
            facts = zip(_list(batch, KIND), _list(batch, VERSION), strict=True)
            for (kind, version), (values, notes) in zip(
                facts, _rows(batch.select(list(columns))), strict=True
            ):
                yield FeedRow(kind, version, values, notes)

    def _scan(self, version: int, columns: Sequence[str]) -> Iterator[RecordBatch]:
        with understood(self.relation):
            table = DeltaTable(self._uri, version=version, storage_options=self._options)
            yield from table.scan(columns=list(columns))

    def _feed(self, first: int, last: int, **what: Any) -> Iterator[RecordBatch]:
        with understood(self.relation):
            yield from self._table.load_cdf(first, last, **what)

    def _within(self, key: Sequence[str], buckets: range) -> str | None:
        """Those of the key's hash, computed where the files are read."""
        if len(buckets) == BUCKETS:
            return None
        texts = ", '|', ".join(self._text(name) for name in key)
        bucket = f"substr(md5(concat({texts})), 1, 3)"
        return f"{bucket} >= '{buckets.start:03x}' and {bucket} <= '{buckets.stop - 1:03x}'"

    def _text(self, name: str) -> str:
        quoted = _quoted(name)
        if self.columns[name] == 'PrimitiveType("binary")':
            return f"encode({quoted}, 'hex')"
        return f"cast({quoted} as varchar)"


def _quoted(name: str) -> str:
    """As its SQL wants the names that differ in case or hold more than letters."""
    return '"' + name.replace('"', '""') + '"'


def parts(rows: int, rows_at_once: int) -> list[range]:
    """The buckets that are read together, so that about so many rows are held at once."""
    count = min(BUCKETS, -(-rows // rows_at_once)) or 1
    bounds = [BUCKETS * number // count for number in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(bounds)]


def _rows(batch: RecordBatch) -> list[Row]:
    names = batch.column_names
    columns = [(_values(batch.column(name)), _form(batch.column(name).type)) for name in names]
    return [_row(names, columns, number) for number in range(batch.num_rows)]


def _row(names: Sequence[str], columns: Sequence[tuple[list[Any], Form]], number: int) -> Row:
    notes: Counter[Note] = Counter()
    values = (read(column[number], form, notes) for column, form in columns)
    return dict(zip(names, values, strict=True)), notes


def _form(type_: DataType) -> Form:
    return next((form for is_of, form in _FORMS if is_of(type_)), "plain")


_FORMS: tuple[tuple[Callable[[DataType], object], Form], ...] = (
    (DataType.is_float32, "float32"),
    (DataType.is_map, "map"),
)


def _values(column: Array) -> list[Any]:
    """A date beyond the year 9999 spoils the column's conversion, so it goes one by one then."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_value(column.slice(number, 1)) for number in range(len(column))]


def _value(column: Array) -> Any:
    try:
        return column.to_pylist()[0]
    except (ValueError, OverflowError):
        return UNREPRESENTABLE


def _list(batch: RecordBatch, name: str) -> Iterable[Any]:
    return batch.column(name).to_pylist()


def _milliseconds(at: datetime) -> int:
    """The feed writes UTC without saying so."""
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)
