"""The embedded store: one SQLite file, one thread that writes and one that reads.

A batch is one transaction and one flush to the disk (WAL, ``synchronous=FULL``): when ``write`` returns, the batch
survives kill -9 and a power cut, because the arrival journal forgets it after that. ``observation`` is clustered by
its key, so that the same key again replaces the row in place and a series is one range of the tree.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from cloud.store.protocol import Bucket, Latest, RefusedPoint
from cloud.store.screen import check_series, screen
from cloud.store.section import StoreSection
from hinomi.clock import Clock
from hinomi.disk import Disk
from hinomi.errors import ConfigError, Transient
from sensing.observation import Datastream, Observation

T = TypeVar("T")
Key = tuple[str, str, str, str]

# Rows deleted in one transaction: a longer one would keep the writer waiting and the write-ahead log growing.
ERASE_CHUNK = 5000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS datastream (
    id INTEGER PRIMARY KEY,
    community TEXT NOT NULL, station TEXT NOT NULL, sensor TEXT NOT NULL, quantity TEXT NOT NULL,
    UNIQUE (community, station, sensor, quantity));
CREATE TABLE IF NOT EXISTS observation (
    datastream INTEGER NOT NULL, measured_at INTEGER NOT NULL,
    value REAL NOT NULL, flags INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (datastream, measured_at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS latest (
    datastream INTEGER PRIMARY KEY,
    measured_at INTEGER NOT NULL, value REAL NOT NULL, flags INTEGER NOT NULL);
"""
_NEW_DATASTREAM = """INSERT INTO datastream (community, station, sensor, quantity) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET community = community RETURNING id"""
_INSERT = "INSERT OR REPLACE INTO observation VALUES (?, ?, ?, ?, ?)"
_INSERT_LATEST = """INSERT INTO latest VALUES (?, ?, ?, ?) ON CONFLICT (datastream) DO UPDATE SET
    measured_at = excluded.measured_at, value = excluded.value, flags = excluded.flags
    WHERE excluded.measured_at >= latest.measured_at"""
_LATEST = """SELECT d.community, d.station, d.sensor, d.quantity, l.measured_at, l.value, l.flags
    FROM datastream d JOIN latest l ON l.datastream = d.id WHERE d.community = ?
    ORDER BY d.station, d.sensor, d.quantity"""
_SERIES = """SELECT measured_at / :step * :step, avg(value), min(value), max(value), count(*)
    FROM observation WHERE datastream = (
        SELECT id FROM datastream
        WHERE community = :community AND station = :station AND sensor = :sensor AND quantity = :quantity)
    AND measured_at >= :start AND measured_at < :end GROUP BY 1 ORDER BY 1"""
_COUNT = "SELECT count(*) FROM observation WHERE datastream IN (SELECT id FROM datastream WHERE community = ?)"
_CHUNK_END = """SELECT measured_at FROM observation WHERE datastream = ? AND measured_at < ?
    ORDER BY measured_at LIMIT 1 OFFSET ?"""
_DELETE = "DELETE FROM observation WHERE datastream = ? AND measured_at < ?"
_FOREVER = 2**63 - 1


class Config(StoreSection, frozen=True, kw_only=True):
    """``type = "sqlite"``.

    Attributes:
        path: the file; made when it is not there.
    """

    path: Path

    async def open(self, clock: Clock) -> "SqliteStore":  # noqa: ARG002 - other stores ask it what is too old
        """See ``StoreSection``."""
        return await SqliteStore.open(self.path)


class SqliteStore:
    """A ``Store`` in one file; made by ``open``."""

    def __init__(self, path: Path, resources: AsyncExitStack, writing: "_Thread", reading: "_Thread") -> None:
        self.path = path
        self._resources = resources
        self._writing = writing
        self._reading = reading
        self._ids: dict[Key, int] = {}  # of the writing thread
        self._seen = 0

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the file.

        Raises:
            ConfigError: the folder is missing, or the file is not a sound SQLite database.
        """
        async with AsyncExitStack() as stack:
            try:
                writing = await _Thread.start(stack, "store-write", path)
                reading = await _Thread.start(stack, "store-read", path)
            except sqlite3.Error as error:
                problem = f"{str(path)!r} cannot be opened: {error}; free the disk, or move the file aside"
                raise ConfigError.of("store.path", problem) from error
            return cls(path, stack.pop_all(), writing, reading)

    async def write(self, batch: Sequence[Observation]) -> list[RefusedPoint]:
        """Store the batch in one transaction; see ``Store``."""
        good, refused = screen(batch)
        if good:
            await self._writing.run(lambda connection: self._insert(connection, good))
        return refused

    async def latest(self, community: str) -> list[Latest]:
        """The newest of each datastream, from a table that the writer keeps."""
        rows = await self._reading.run(lambda connection: connection.execute(_LATEST, (community,)).fetchall())
        return [Latest(Datastream(*row[:4]), *row[4:]) for row in rows]

    async def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        """Buckets of ``step`` ms; see ``Store``."""
        values = {
            "community": datastream.community,
            "station": datastream.station,
            "sensor": datastream.sensor,
            "quantity": datastream.quantity,
            "start": check_series(start, end, step),
            "end": end,
            "step": step,
        }
        rows = await self._reading.run(lambda connection: connection.execute(_SERIES, values).fetchall())
        return [Bucket(*row) for row in rows]

    async def count(self, community: str) -> int:
        """Rows of a community, counted one by one."""
        row = await self._reading.run(lambda connection: connection.execute(_COUNT, (community,)).fetchone())
        return int(row[0])

    async def erase(self, community: str, *, station: str | None = None, before: int | None = None) -> None:
        """Delete in small transactions, between which writing goes on; see ``Store``."""
        where: tuple[str, ...] = (community,) if station is None else (community, station)
        condition = "WHERE community = ?" if station is None else "WHERE community = ? AND station = ?"
        await self._delete(condition, where, before)

    async def expire(self, before: int) -> int:
        """Delete what was measured before ``before`` (ms) in all communities; returns how many rows went."""
        return await self._delete("", (), before)

    async def check(self) -> None:
        """See ``OpenStore``: whether the file can be written to now."""
        await self._writing.run(_touch)

    async def close(self) -> None:
        """Close the file; what was written is on the disk already."""
        await self._resources.aclose()

    def _insert(self, connection: sqlite3.Connection, batch: Sequence[Observation]) -> None:
        ids = self._ids
        fresh: dict[Key, int] = {}
        rows = []
        newest: dict[int, Observation] = {}
        with _transaction(connection):
            self._notice_others(connection)
            for o in batch:
                d = o.datastream
                key = (d.community, d.station, d.sensor, d.quantity)
                number = ids.get(key) or fresh.get(key)
                if number is None:
                    number = fresh[key] = connection.execute(_NEW_DATASTREAM, key).fetchone()[0]
                rows.append((number, o.measured_at, o.value, o.flags, o.seq))
                known = newest.get(number)
                if known is None or o.measured_at >= known.measured_at:
                    newest[number] = o
            connection.executemany(_INSERT, rows)
            tops = ((number, o.measured_at, o.value, o.flags) for number, o in newest.items())
            connection.executemany(_INSERT_LATEST, tops)
        ids.update(fresh)  # only now: a transaction that failed gave no numbers

    async def _delete(self, condition: str, names: tuple[str, ...], before: int | None) -> int:
        """Delete what is older than ``before`` (None: all) of the datastreams that ``condition`` selects."""
        end = _FOREVER if before is None else before
        numbers = await self._writing.run(lambda connection: _forget_latest(connection, condition, names, end))
        deleted = 0
        for number in numbers:
            chunk = ERASE_CHUNK
            while chunk >= ERASE_CHUNK:
                chunk = await self._writing.run(partial(_delete_chunk, number=number, before=end))
                deleted += chunk
        if before is None:
            await self._writing.run(lambda connection: self._forget_names(connection, numbers))
        return deleted

    def _notice_others(self, connection: sqlite3.Connection) -> None:
        """Another process (``hinomi cloud erase``) may have deleted datastreams whose numbers are known here."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen:
            self._seen = version
            self._ids.clear()

    def _forget_names(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        """Names of people's places are data too; a datastream written to meanwhile keeps its own."""
        with _transaction(connection):
            connection.executemany(
                "DELETE FROM datastream WHERE id = ? AND id NOT IN (SELECT datastream FROM latest)",
                [(number,) for number in numbers],
            )
        self._ids.clear()


class _Thread:
    """A connection and the only thread that uses it; errors of the file come out as ``Transient``."""

    def __init__(self, disk: Disk, path: Path, connection: sqlite3.Connection) -> None:
        self._disk = disk
        self._path = path
        self._connection = connection

    @classmethod
    async def start(cls, stack: AsyncExitStack, name: str, path: Path) -> Self:
        disk = await stack.enter_async_context(Disk(name))
        connection = await disk.run(lambda: _connect(path))
        stack.push_async_callback(disk.run, connection.close)
        return cls(disk, path, connection)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def honestly() -> T:
            try:
                return work(self._connection)
            except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                if isinstance(error, _BUGS):
                    raise
                raise Transient(f"the store {self._path}: {error}") from error

        return await self._disk.run(honestly)


# What a statement of ours can do wrong, as against what a disk can.
_BUGS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.NotSupportedError)


def _connect(path: Path) -> sqlite3.Connection:
    if not path.parent.is_dir():
        raise ConfigError.of("store.path", f"the folder {str(path.parent)!r} does not exist; make it")
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=True)
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=16777216"):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _touch(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        connection.execute("PRAGMA user_version = 1")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _forget_latest(
    connection: sqlite3.Connection, condition: str, names: tuple[str, ...], before: int
) -> list[int]:
    """Take what is going to be deleted out of ``latest`` first; returns the datastreams to work through."""
    query = f"SELECT id FROM datastream {condition}"  # noqa: S608 - one of the three conditions above
    numbers = [row[0] for row in connection.execute(query, names)]
    with _transaction(connection):
        connection.executemany(
            "DELETE FROM latest WHERE datastream = ? AND measured_at < ?", [(number, before) for number in numbers]
        )
    return numbers


def _delete_chunk(connection: sqlite3.Connection, *, number: int, before: int) -> int:
    """Delete the oldest rows of a datastream, about ``ERASE_CHUNK`` of them; returns how many went."""
    found = connection.execute(_CHUNK_END, (number, before, ERASE_CHUNK)).fetchone()
    with _transaction(connection):
        return connection.execute(_DELETE, (number, found[0] if found else before)).rowcount
