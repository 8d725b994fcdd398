"""What a journal keeps in memory: its counters and small tables, always the same as on the disk."""

import functools
import operator
import sqlite3
from typing import Any

import msgspec

from hinomi.journal.faults import Damaged
from hinomi.journal.protocol import Recovery, Stats
from hinomi.journal.ranges import Ranges
from hinomi.journal.schema import FIRST_ROWS, seal, seal_record


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The one row of ``state``.

    Rows of ``record`` are numbered over the life of the file; ``seq = row - shift``, so that a new stream renumbers
    by changing ``shift``. An append does not write this row: ``next_row``, ``total`` and ``volume`` are then taken
    from the last record.

    Attributes:
        stream: random id of the stream.
        machine: where it was opened last; empty when not known.
        reason: why this stream began.
        shift: rows before the stream's first number.
        start: ``total`` when the stream began: accepted = total - start.
        base_row: the lowest row held (``next_row`` when empty).
        next_row: the row of the next record.
        total: readings appended over the life of the file.
        volume: bytes of bodies appended over the life of the file.
        dropped: readings given up in this stream.
        dropped_held: those of them whose record (tombstone or thinned) is still held.
        removed: readings removed in this stream.
        gone: records removed in this stream.
        gone_bytes: bytes of bodies removed, entombed or thinned away over the life of the file.
        noted: commits of notes alone in the life of the file.
        quarantined: refusals held.
        quarantined_readings: their readings.
        quarantined_bytes: their bodies.
        next_refusal: id of the next refusal; never given twice.
        recovery: what was found when this stream began, until something is committed to it.
    """

    stream: str
    machine: str = ""
    reason: str = ""
    shift: int = 0
    start: int = 0
    base_row: int = 1
    next_row: int = 1
    total: int = 0
    volume: int = 0
    dropped: int = 0
    dropped_held: int = 0
    removed: int = 0
    gone: int = 0
    gone_bytes: int = 0
    noted: int = 0
    quarantined: int = 0
    quarantined_readings: int = 0
    quarantined_bytes: int = 0
    next_refusal: int = 1
    recovery: Recovery | None = None

    @property
    def accepted(self) -> int:
        """Readings appended in this stream."""
        return self.total - self.start

    @property
    def pending(self) -> int:
        """Readings held."""
        return self.accepted - self.dropped - self.removed

    @property
    def records(self) -> int:
        """Records held, tombstones included."""
        return self.next_row - 1 - self.shift - self.gone

    @property
    def bytes(self) -> int:
        """Bytes of the bodies held."""
        return self.volume - self.gone_bytes

    def stats(self, file_bytes: int) -> Stats:
        """The same as the protocol tells it."""
        return Stats(
            base=self.base_row - self.shift,
            next_seq=self.next_row - self.shift,
            records=self.records,
            bytes=self.bytes,
            file_bytes=file_bytes,
            accepted_readings=self.accepted,
            dropped_readings=self.dropped,
            removed_readings=self.removed,
            pending_readings=self.pending,
            quarantined=self.quarantined,
            quarantined_readings=self.quarantined_readings,
        )


class Memory:
    """Counters and small tables of an open journal.

    Attributes:
        state: the counters.
        sent: rows that went out at least once.
        cursors: name to (id, row passed).
        notes: key to (id, seal).
        notes_sum: the notes' seals in one number.
    """

    __slots__ = ("cursors", "notes", "notes_sum", "sent", "state")

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read everything.

        Raises:
            Damaged: a row does not fit its seal, or the state is missing.
        """
        self.state = load_state(connection)
        self.sent = Ranges((low, high) for low, high, _ in _sound(connection, "sent", "low, high"))
        self.cursors: dict[str, tuple[int, int]] = {
            name: (row, at) for row, name, at, _ in _sound(connection, "cursor", "id, name, position")
        }
        self.notes: dict[str, tuple[int, int]] = {
            key: (row, total) for row, key, _, total in _sound(connection, "note", "id, key, value")
        }
        self.notes_sum = functools.reduce(operator.xor, (total for _, total in self.notes.values()), 0)
        for table, rows in (("cursor", self.cursors), ("note", self.notes)):
            # Rows of these are never deleted.
            if len(rows) != max((row for row, _ in rows.values()), default=0):
                raise Damaged(f"rows of {table} are missing")


def load_state(connection: sqlite3.Connection) -> State:
    """The counters, completed from the last record, in O(1).

    Raises:
        Damaged: no state, or it or the last record does not fit its seal.
    """
    row = connection.execute("SELECT data, sum FROM state WHERE id = 1").fetchone()
    if row is None or row[1] != seal("state", row[0]):
        raise Damaged("the counters cannot be read")
    state = msgspec.msgpack.decode(row[0], type=State)
    last = connection.execute(
        "SELECT id, total, volume, count, thinned, kind, sum, body FROM record ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if last is None or last[0] < state.next_row:
        return state
    if last[6] != seal_record(last[:6], last[7]):
        raise Damaged(f"record {last[0] - state.shift} does not fit its checksum")
    return msgspec.structs.replace(state, next_row=last[0] + 1, total=last[1], volume=last[2])


def save_state(connection: sqlite3.Connection, state: State) -> None:
    """Write the counters inside the transaction under way."""
    data = msgspec.msgpack.encode(state)
    connection.execute("INSERT OR REPLACE INTO state VALUES(1, ?, ?)", (data, seal("state", data)))


def _sound(connection: sqlite3.Connection, table: str, columns: str) -> list[tuple[Any, ...]]:
    """The rows of a small table with their seals, but its first, which says nothing."""
    rows = connection.execute(f"SELECT {columns}, sum FROM {table} ORDER BY 1").fetchall()  # noqa: S608 - ours
    for *values, total in rows:
        if total != seal(table, *values):
            raise Damaged(f"a row of {table} does not fit its checksum")
    if not rows or rows[0][:-1] != FIRST_ROWS[table]:
        raise Damaged(f"rows of {table} are missing")
    return rows[1:]
