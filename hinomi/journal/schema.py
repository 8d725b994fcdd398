"""The tables, their seals, and how the file is opened.

Every row carries a ``sum`` over its other columns (CRC-32), so that a flipped bit anywhere is found, and so that a
row can be recognised as ours in a file whose structure is gone. Pages: 4096 bytes cost a quarter less wear than
1024 on a flash card (``bench/journal.py --wear``), because the file system writes whole blocks anyway.
"""

import sqlite3
from pathlib import Path
from zlib import crc32

import msgspec

APPLICATION_ID = 0x484E4A4C  # "HNJL"
VERSION = 1
PAGE = 4096
# A small write-ahead log is filled and folded back again and again in place: measured, 250 pages wear a card as
# little as any (64 to 4000 tried) while the file system need not grow the file any more.
WAL_PAGES = 250
# What a single large transaction leaves behind is given back.
WAL_KEPT_BYTES = 4 << 20
# How long another process that looks may keep us waiting.
_PATIENCE_S = 5.0

# `format` never changes, so that every version can tell a newer file from a damaged one. `record.total` and
# `record.volume` are running sums of readings and bytes up to and including the row: an append then needs no
# counter row, which halves its wear, and the sums tell what is missing between two rows that can still be read.
# A record without a body (NULL) is a tombstone. `sent`, `cursor` and `note` begin with a row that says nothing, so
# that an empty page in their place is found. All are plain rowid tables: salvage reads one kind of page.
TABLES = """
CREATE TABLE format(id INTEGER PRIMARY KEY, version INTEGER, sum INTEGER);
CREATE TABLE state(id INTEGER PRIMARY KEY, data BLOB, sum INTEGER);
CREATE TABLE record(id INTEGER PRIMARY KEY, total INTEGER, volume INTEGER, count INTEGER, thinned INTEGER,
    kind TEXT, sum INTEGER, body BLOB);
CREATE TABLE sent(low INTEGER PRIMARY KEY, high INTEGER, sum INTEGER);
CREATE TABLE cursor(id INTEGER PRIMARY KEY, name TEXT, position INTEGER, sum INTEGER);
CREATE TABLE note(id INTEGER PRIMARY KEY, key TEXT, value BLOB, sum INTEGER);
CREATE TABLE refusal(id INTEGER PRIMARY KEY, reason TEXT, detail TEXT, source TEXT, at INTEGER, count INTEGER,
    sum INTEGER, body BLOB);
"""

FIRST_ROWS: dict[str, tuple[int | str | bytes, ...]] = {
    "sent": (-1, -1),
    "cursor": (0, "", 0),
    "note": (0, "", b""),
}

encode = msgspec.msgpack.Encoder().encode
# Keeps the sum within four signed bytes.
MIDDLE = 1 << 31


def seal(*values: object) -> int:
    """The sum of a row of any table but ``record`` and ``refusal``; the first value is the table's name."""
    return crc32(encode(values)) - MIDDLE


def seal_record(head: tuple[int, int, int, int, int, str], body: bytes | None) -> int:
    """The sum of a record: ``head`` is (id, total, volume, count, thinned, kind)."""
    if type(body) is bytes:
        return crc32(body, crc32(encode(head))) - MIDDLE
    return crc32(encode((head, body))) - MIDDLE  # a tombstone; or a broken row, whose sum then does not fit


def seal_refusal(head: tuple[int, str, str, str, int, int], body: bytes) -> int:
    """The sum of a refusal: ``head`` is (id, reason, detail, source, at, count)."""
    return crc32(encode(("refusal", head, body))) - MIDDLE


def create(path: Path) -> sqlite3.Connection:
    """Make a new file with empty tables, for building only: nothing is synced before the caller does it."""
    pragmas = (
        f"page_size = {PAGE}",
        "auto_vacuum = INCREMENTAL",
        f"application_id = {APPLICATION_ID}",
        f"user_version = {VERSION}",
        "journal_mode = MEMORY",
        "synchronous = OFF",
    )
    connection = _opened(path, "rwc", pragmas)
    try:
        connection.executescript(TABLES)
        connection.execute("INSERT INTO format VALUES(1, ?, ?)", (VERSION, seal("format", 1, VERSION)))
        for table, row in FIRST_ROWS.items():
            places = ", ".join("?" * (len(row) + 1))
            connection.execute(f"INSERT INTO {table} VALUES({places})", (*row, seal(table, *row)))
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing file for writing, every commit synced before it returns."""
    pragmas = (
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {WAL_PAGES}",
        f"journal_size_limit = {WAL_KEPT_BYTES}",
        # Blanks what is deleted where that costs no extra write; ON would write every freed page once more.
        "secure_delete = FAST",
        "cell_size_check = ON",
        "trusted_schema = OFF",
        "temp_store = MEMORY",
        "cache_size = -1024",
    )
    return _opened(path, "rw", pragmas)


def connect_to_look(path: Path, *, alone: bool) -> sqlite3.Connection:
    """Open for reading only, changing nothing.

    Args:
        path: the file.
        alone: nobody has it open and it has no write-ahead log, so not even a lock is needed.
    """
    return _opened(path, "ro&immutable=1" if alone else "ro", ("cell_size_check = ON",))


def _opened(path: Path, mode: str, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_PATIENCE_S)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def wal_of(path: Path) -> Path:
    """The write-ahead log beside ``path``."""
    return path.with_name(path.name + "-wal")
