"""Is the file sound? Asked when it is opened, before anything is written, on a connection that only reads."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hinomi.errors import ConfigError
from hinomi.journal import schema, wal
from hinomi.journal.faults import Damaged, translated
from hinomi.journal.memory import Memory, State
from hinomi.journal.records import checked
from hinomi.journal.schema import seal, seal_refusal
from hinomi.journal.sidecar import Mark

# Up to this size everything is read at each opening (here 0.3 s, on a Raspberry Pi some seconds); of a larger file
# the oldest records up to it. What lies beyond is found when it is read, and salvaged at the opening after.
CHECKED_BYTES = 64 << 20
_MAGIC = b"SQLite format 3\0"


def diagnose(path: Path, mark: Mark | None) -> str:
    """What is wrong with the file, in plain words; empty when it is sound.

    Raises:
        ConfigError: it is another program's database, or a newer Hinomi's.
        Transient: it cannot be read now.
    """
    if mark is not None and mark.suspect:
        return mark.suspect
    if not path.exists():
        return "the file is gone, its write-ahead log is left"
    with translated(str(path)), path.open("rb") as file:
        head = file.read(100)
    if not head:
        return "the file is empty (0 bytes)"
    if not head.startswith(_MAGIC):
        return "the file is no database any more"
    log = _log(path)
    if log is not None and log.forgets_commits:
        return "the write-ahead log is broken in the middle"
    try:
        with translated(str(path)):
            memory = _look(path, log)
    except Damaged as damage:
        return str(damage)
    if mark is not None and mark.ahead_of(memory) and log is not None and (log.unused or not log.readable):
        return "the write-ahead log is broken, and commits are missing"
    if mark is not None and mark.contradicts(memory):
        return "a part of the file is older than the rest"
    return ""


def _log(path: Path) -> wal.Wal | None:
    log = schema.wal_of(path)
    try:
        data = log.read_bytes()
    except OSError:
        return None
    return wal.parse(data, schema.PAGE) if data else None


def _look(path: Path, log: wal.Wal | None) -> Memory:
    """Read everything (or the oldest part of a large file) and compare it with the counters."""
    connection = schema.connect_to_look(path, alone=log is None)
    try:
        _whose(connection, path)
        whole = path.stat().st_size <= CHECKED_BYTES
        if whole:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Damaged(str(found).replace("\n", " "))
        memory = Memory(connection)
        _compare(connection, memory.state, whole=whole)
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "no such column" in str(error):
            raise Damaged(f"a table is missing: {error}") from error
        raise
    else:
        return memory
    finally:
        connection.close()


def _whose(connection: sqlite3.Connection, path: Path) -> None:
    """Tell another program's or a newer version's file from a damaged one of ours.

    Raises:
        ConfigError: not ours to touch.
        Damaged: ours, but what says so is broken.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    try:
        rows = connection.execute("SELECT version, sum FROM format WHERE id = 1").fetchall()
    except sqlite3.OperationalError:
        rows = []
    sealed = rows[0][0] if rows and rows[0][1] == seal("format", 1, rows[0][0]) else None
    if sealed is None and application != schema.APPLICATION_ID and _is_healthy(connection):
        raise ConfigError.of(
            str(path), "is a database of another program: give the journal a path of its own (nothing was changed)"
        )
    if sealed is not None and sealed == version and sealed > schema.VERSION:
        raise ConfigError.of(
            str(path),
            f"was written by a newer Hinomi (journal version {sealed}, this one knows {schema.VERSION}): "
            f"install that again, or move the file away (nothing was changed)",
        )
    if sealed != schema.VERSION or version != sealed or application != schema.APPLICATION_ID:
        raise Damaged("the file's header is broken")


def _is_healthy(connection: sqlite3.Connection) -> bool:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    return bool(found == ("ok",) and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _compare(connection: sqlite3.Connection, state: State, *, whole: bool) -> None:
    records = readings = size = 0
    for row in _rows(connection, "id, total, volume, count, thinned, kind, sum, body", "record"):
        checked(row)
        records += 1
        readings += row[3] if row[7] is not None else 0
        size += len(row[7] or b"")
        if not whole and size > CHECKED_BYTES:
            return
    _same("records", records, state.records)
    _same("readings", readings, state.pending)
    _same("bytes of records", size, state.bytes)
    refusals = size = 0
    for *head, total, body in _rows(connection, "id, reason, detail, source, at, count, sum, body", "refusal"):
        number, reason, detail, source, at, count = head
        if total != seal_refusal((number, reason, detail, source, at, count), body):
            raise Damaged(f"refusal {number} does not fit its checksum")
        refusals += 1
        size += len(body)
    _same("refusals", refusals, state.quarantined)
    _same("bytes of refusals", size, state.quarantined_bytes)


def _rows(connection: sqlite3.Connection, columns: str, table: str) -> Iterator[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM {table} ORDER BY id"  # noqa: S608 - our own names
    yield from connection.execute(query)


def _same(what: str, found: int, counted: int) -> None:
    if found != counted:
        raise Damaged(f"{what}: {counted} were counted, {found} are there")
