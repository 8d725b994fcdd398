"""The log itself: what is done to ``record`` inside a transaction. Rows here, not seqs (see ``memory.State``)."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from msgspec.structs import replace

from hinomi.journal.faults import Damaged
from hinomi.journal.memory import Memory, State
from hinomi.journal.protocol import Entry, Record
from hinomi.journal.ranges import Range
from hinomi.journal.schema import MIDDLE, encode, seal, seal_record

_INSERT = "INSERT INTO record(id, total, volume, count, thinned, kind, sum, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT id, total, volume, count, thinned, kind, sum, body FROM record WHERE "
_FORWARD = _SELECT + "id > ? ORDER BY id LIMIT ?"
_BACKWARD = _SELECT + "id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?"
_ONE = _SELECT + "id = ?"
_SUMS = """SELECT count(*), coalesce(sum(count) FILTER (WHERE body IS NOT NULL), 0),
    coalesce(sum(count) FILTER (WHERE body IS NULL), 0) + coalesce(sum(thinned), 0), coalesce(sum(length(body)), 0)
    FROM record WHERE id BETWEEN ? AND ?"""

Row = tuple[int, int, int, int, int, str, int, bytes | None]


def insert(connection: sqlite3.Connection, state: State, entries: Sequence[Entry]) -> State:
    """Append entries; the state's row is not written, the records carry its sums."""
    row, total, volume = state.next_row, state.total, state.volume
    rows = []
    for entry in entries:
        body = entry.body
        total += entry.count
        volume += len(body)
        head = (row, total, volume, entry.count, 0, entry.kind)
        # seal_record, without the call
        rows.append((*head, crc32(body, crc32(encode(head))) - MIDDLE, body))
        row += 1
    connection.executemany(_INSERT, rows)
    return replace(state, next_row=row, total=total, volume=volume)


def forward(connection: sqlite3.Connection, memory: Memory, after: int, limit: int, max_bytes: int) -> list[Record]:
    """Records above row ``after``, at most ``limit``, stopping before ``max_bytes`` but never before the first."""
    records: list[Record] = []
    size = 0
    shift, sent = memory.state.shift, memory.sent or ()
    cursor = connection.execute(_FORWARD, (after, limit))
    try:
        for row in cursor:
            number, _, _, count, _, kind, found, body = row
            if type(body) is not bytes:
                records.append(_record(row, memory))
                continue
            size += len(body)
            if size > max_bytes and records:
                break
            # _record, without the calls: this is the busiest loop
            if crc32(body, crc32(encode(row[:6]))) - MIDDLE != found:
                raise _broken(number)
            records.append(Record(number - shift, body, count, kind, number in sent, False))  # noqa: FBT003 - speed
    finally:
        # An open statement would keep the write-ahead log from being folded back.
        cursor.close()
    return records


def unsent(connection: sqlite3.Connection, memory: Memory, limit: int) -> list[Record]:
    """Records never sent, newest first."""
    state = memory.state
    records: list[Record] = []
    for low, high in memory.sent.gaps_down(state.base_row, state.next_row - 1):
        rows = connection.execute(_BACKWARD, (low, high, limit - len(records))).fetchall()
        records += [_record(row, memory) for row in rows]
        if len(records) >= limit:
            break
    return records


def mark(connection: sqlite3.Connection, memory: Memory, rows: Iterable[Range]) -> None:
    """Remember that these rows went out."""
    for low, high in rows:
        swallowed, now = memory.sent.add(low, high)
        connection.executemany("DELETE FROM sent WHERE low = ?", [(gone,) for gone in swallowed])
        if now is not None:
            connection.execute("INSERT INTO sent VALUES(?, ?, ?)", (*now, seal("sent", *now)))


def delete(connection: sqlite3.Connection, memory: Memory, ranges: Iterable[Range]) -> int:
    """Remove rows within the inclusive ranges, with their counters; returns how many there were."""
    state = before = memory.state
    for low, high in ranges:
        if high < state.base_row or low >= state.next_row:
            continue
        count, removed, dropped, size = connection.execute(_SUMS, (low, high)).fetchone()
        if not count:
            continue
        connection.execute("DELETE FROM record WHERE id BETWEEN ? AND ?", (low, high))
        state = replace(
            state,
            gone=state.gone + count,
            gone_bytes=state.gone_bytes + size,
            removed=state.removed + removed,
            dropped_held=state.dropped_held - dropped,
        )
    if state.gone != before.gone:
        (base,) = connection.execute("SELECT min(id) FROM record").fetchone()
        memory.state = replace(state, base_row=state.next_row if base is None else base)
        forgotten = memory.sent.forget_below(memory.state.base_row)
        connection.executemany("DELETE FROM sent WHERE low = ?", [(low,) for low in forgotten])
    return state.gone - before.gone


def entomb(connection: sqlite3.Connection, memory: Memory, rows: Iterable[int]) -> int:
    """Turn rows never sent into tombstones; returns the readings given up."""
    given_up = 0
    for number in rows:
        row = _thinnable(connection, memory, number)
        if row is None:
            continue
        connection.execute(
            "UPDATE record SET body = NULL, sum = ? WHERE id = ?", (seal_record(row[:6], None), number)
        )
        given_up += _gave_up(memory, readings=row[3], size=len(row[7] or b""))
    return given_up


def thin(connection: sqlite3.Connection, memory: Memory, number: int, entry: Entry) -> int:
    """Put a smaller entry in the place of a row never sent; returns the readings given up.

    Raises:
        ValueError: the entry is larger than what it replaces.
    """
    row = _thinnable(connection, memory, number)
    if row is None:
        return 0
    _, total, volume, count, thinned, _, _, body = row
    size = len(body or b"")
    if entry.count > count or len(entry.body) > size:
        raise ValueError(
            f"thinned from {count} readings in {size} bytes to {entry.count} in {len(entry.body)}: more than before"
        )
    given_up = count - entry.count
    head = (number, total, volume, entry.count, thinned + given_up, entry.kind)
    connection.execute(
        "UPDATE record SET count = ?, thinned = ?, kind = ?, sum = ?, body = ? WHERE id = ?",
        (*head[3:], seal_record(head, entry.body), entry.body, number),
    )
    return _gave_up(memory, readings=given_up, size=size - len(entry.body))


def checked(row: Row) -> Row:
    """The row itself.

    Raises:
        Damaged: it does not fit its seal.
    """
    if row[6] != seal_record(row[:6], row[7]):
        raise _broken(row[0])
    return row


def every(connection: sqlite3.Connection, low: int, high: int) -> Iterator[Row]:
    """All rows of an inclusive range in order, checked."""
    query = _SELECT + "id BETWEEN ? AND ? ORDER BY id"
    for row in connection.execute(query, (low, high)):
        yield checked(row)


def _gave_up(memory: Memory, *, readings: int, size: int) -> int:
    state = memory.state
    memory.state = replace(
        state,
        dropped=state.dropped + readings,
        dropped_held=state.dropped_held + readings,
        gone_bytes=state.gone_bytes + size,
    )
    return readings


def _thinnable(connection: sqlite3.Connection, memory: Memory, number: int) -> Row | None:
    """The row, unless it was sent, is gone or is a tombstone already."""
    if number in memory.sent:
        return None
    row: Row | None = connection.execute(_ONE, (number,)).fetchone()
    return None if row is None or row[7] is None else checked(row)


def _record(row: Row, memory: Memory) -> Record:
    number, _, _, count, _, kind, _, body = checked(row)
    sent = number in memory.sent
    return Record(number - memory.state.shift, b"" if body is None else body, count, kind, sent, body is None)


def _broken(row: int) -> Damaged:
    return Damaged(f"record in row {row} does not fit its checksum")
