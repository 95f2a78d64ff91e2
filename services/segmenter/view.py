"""A view of profiles and what they did, in DuckDB, kept up to date from the log: for estimates.

All profiles, or above a size a sample by hash. A view that is behind the log's beginning, or of
another version, is made anew.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import duckdb

from schemas.topics import PROFILE_EVENTS
from services.runtime.past import reach
from services.segmenter.domain.estimate import Estimate, estimated
from services.segmenter.domain.sql.condition import Conditions, members, salts
from services.segmenter.domain.sql.rows import Rows
from services.segmenter.domain.sql.tables import DUCKDB, statements
from services.segmenter.domain.tree import Condition
from services.segmenter.following import Follower, Known, Told, read_on
from services.segmenter.lives import sample
from services.segmenter.recompute import insert

FORMAT = 1
MOST_PROFILES = 250_000
"""With more, each profile is kept with half the probability."""
_SAVE_EVERY = 300_000
_OWN = "CREATE TABLE view (format INTEGER, share DOUBLE, positions MAP(INTEGER, BIGINT))"
_OWNED = ("happened", "written", "told")
_AMONG = "WHERE profile IN (SELECT unnest(CAST($1 AS BIGINT[])))"
_FIRST_FREE = """
    SELECT coalesce(max(id), 0) + 1 FROM (
        SELECT max(id) AS id FROM happened
        UNION ALL SELECT max(id) AS id FROM written
        UNION ALL SELECT max(id) AS id FROM told)"""


class View:
    """One directory's view. One process at a time may hold it open.

    Raises:
        ViewBusy: another process has it open.
    """

    def __init__(self, directory: Path, *, most: int = MOST_PROFILES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / "profiles.duckdb"
        self._most = most
        self._open()

    def close(self) -> None:
        self._connection.close()

    def refresh(self, bootstrap: str, progress: Callable[[int], None] = lambda _: None) -> None:
        """Take in what the log holds by now.

        Raises:
            UnknownTopic: there is no log yet.
            KafkaException: the broker went away.
        """
        held = reach(bootstrap, PROFILE_EVENTS.name)
        lost = any(self._positions.get(n, 0) < start for n, start in held.starts.items())
        if lost and self._positions:
            self._anew()
        start = {number: self._positions.get(number, 0) for number in held.ends}
        self.take_in(read_on(bootstrap, held, start, self._concerns, progress), held.ends)

    def take_in(self, told: Iterable[Told], ends: Mapping[int, int]) -> None:
        """Take in these records, after which the view stands at `ends`."""
        positions = {number: self._positions.get(number, 0) for number in ends}
        follower = self._follower(ends)
        for number, offset, timestamp, record in told:
            follower.take(number, offset, timestamp, record)
            positions[number] = offset + 1
            if len(follower.rows.tables.get("fields", ())) >= _SAVE_EVERY:
                follower = self._saved(follower, positions)
        self._saved(follower, ends)

    def estimate(self, condition: Condition, others: Conditions) -> Estimate:
        """How many profiles the condition holds for, as of the last refresh."""
        for salt in salts(condition, others):
            self._salt(salt)
        text, values = members(condition, others, DUCKDB)
        found = self.count(_words("SELECT count(*) FROM (", text, ") m"), values)
        return estimated(found, self.count("SELECT count(*) FROM profiles"), self._share)

    def _open(self) -> None:
        try:
            self._connection = duckdb.connect(str(self._file))
        except duckdb.IOException as error:
            raise ViewBusy(f"{self._file} is open in another process") from error
        tables = self._connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall()
        if tables == [(0,)]:
            for statement in (*statements(DUCKDB), _OWN):
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO view VALUES ($1, 1, MAP {})", [FORMAT])
        found = self._connection.execute("SELECT format, share, positions FROM view").fetchall()
        ((written, self._share, self._positions),) = found
        if written != FORMAT:
            self._anew()
        self._load()

    def _anew(self) -> None:
        self._connection.close()
        self._file.unlink()
        self._open()

    def _concerns(self, profile_id: str) -> bool:
        return self._chosen(profile_id)

    def _load(self) -> None:
        self._chosen = sample(self._share)
        rows = self._connection.execute(
            "SELECT id, profile, survivor, partition, clock, seen FROM known"
        ).fetchall()
        self._known = {name: Known(*rest) for name, *rest in rows}

    def _follower(self, partitions: Iterable[int]) -> Follower:
        found = self._connection.execute("SELECT partition, now FROM clocks").fetchall()
        times = dict.fromkeys(partitions, 0) | dict(found)
        return Follower(self._known, self._chosen, times, Rows(first=self.count(_FIRST_FREE)))

    def _saved(self, follower: Follower, positions: Mapping[int, int]) -> Follower:
        """Everything and the positions in one transaction."""
        self._positions = dict(positions)
        self._connection.begin()
        for table, rows in follower.rows.tables.items():
            insert(self._connection, table, rows)
        self._save_known(follower)
        self._forget(follower.erased)
        self._connection.execute("DELETE FROM clocks")
        insert(self._connection, "clocks", list(follower.times.items()))
        self._save_state()
        self._connection.commit()
        self._thin_out()
        return self._follower(follower.times)

    def _save_known(self, follower: Follower) -> None:
        changed = [(name, self._known[name]) for name in follower.changed if name in self._known]
        numbers = [known.number for _, known in changed]
        self._connection.execute(_words("DELETE FROM known", _AMONG), [numbers])
        rows = [
            (known.number, name, known.survivor, known.partition, known.clock, known.seen)
            for name, known in changed
        ]
        insert(self._connection, "known", rows)

    def _save_state(self) -> None:
        self._connection.execute(
            "UPDATE view SET share = $1, positions = map_from_entries(list_zip("
            "CAST($2 AS INTEGER[]), CAST($3 AS BIGINT[])))",
            [self._share, list(self._positions), list(self._positions.values())],
        )

    def _thin_out(self) -> None:
        """Halve the sample until it is small enough; who stays was chosen from the start."""
        while sum(not known.has_ended for known in self._known.values()) > self._most:
            self._share /= 2
            self._chosen = sample(self._share)
            gone = [name for name in self._known if not self._chosen(name)]
            self._connection.begin()
            numbers = [self._known.pop(name).number for name in gone]
            self._forget(numbers)
            self._connection.execute(_words("DELETE FROM known", _AMONG), [numbers])
            self._save_state()
            self._connection.commit()

    def _forget(self, numbers: list[int]) -> None:
        """Delete all that these profiles did and said."""
        if not numbers:
            return
        for table in _OWNED:
            owners = _words("owner IN (SELECT id FROM", table, _AMONG, ")")
            self._connection.execute(_words("DELETE FROM fields WHERE", owners), [numbers])
            self._connection.execute(_words("DELETE FROM", table, _AMONG), [numbers])
        self._connection.execute(_words("DELETE FROM buckets", _AMONG), [numbers])

    def _salt(self, salt: str) -> None:
        missing = self._connection.execute(
            "SELECT k.profile, k.id FROM known k WHERE k.profile NOT IN"
            " (SELECT b.profile FROM buckets b WHERE b.salt = $1)",
            [salt],
        ).fetchall()
        rows = Rows()
        for number, profile_id in missing:
            rows.salted(number, profile_id, salt)
        insert(self._connection, "buckets", rows.tables.get("buckets", []))

    def count(self, text: str, values: list[str | int | float | bool] | None = None) -> int:
        found = self._connection.execute(text, values or []).fetchone()
        return 0 if found is None else int(found[0])


class ViewBusy(RuntimeError):
    """Another process has the view open."""


def _words(*parts: str) -> str:
    return " ".join(parts)
