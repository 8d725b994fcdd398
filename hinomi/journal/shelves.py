"""What lies beside the log in the same file and commits with it: cursors, notes, the quarantine."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from hinomi.journal.faults import Damaged
from hinomi.journal.memory import Memory
from hinomi.journal.protocol import Refusal
from hinomi.journal.schema import seal, seal_refusal


def move(connection: sqlite3.Connection, memory: Memory, name: str, position: int) -> None:
    """Put a cursor, new or known, on a row."""
    known = memory.cursors.get(name)
    number = known[0] if known else max((row for row, _ in memory.cursors.values()), default=0) + 1
    memory.cursors[name] = (number, position)
    connection.execute(
        "INSERT OR REPLACE INTO cursor VALUES(?, ?, ?, ?)",
        (number, name, position, seal("cursor", number, name, position)),
    )


def write_notes(connection: sqlite3.Connection, memory: Memory, notes: Mapping[str, bytes]) -> None:
    """Set notes, new or known."""
    rows = []
    for key, value in notes.items():
        number, before = memory.notes.get(key, (len(memory.notes) + 1, 0))
        total = seal("note", number, key, value)
        memory.notes[key] = (number, total)
        memory.notes_sum ^= before ^ total
        rows.append((number, key, value, total))
    connection.executemany("INSERT OR REPLACE INTO note VALUES(?, ?, ?, ?)", rows)


def count_notes(memory: Memory) -> None:
    """Count a commit of notes alone: nothing else would show that it is missing."""
    memory.state = replace(memory.state, noted=memory.state.noted + 1)


def read_note(connection: sqlite3.Connection, memory: Memory, key: str) -> bytes | None:
    """One note.

    Raises:
        Damaged: it does not fit its seal.
    """
    if key not in memory.notes:
        return None
    number, _ = memory.notes[key]
    row = connection.execute("SELECT key, value, sum FROM note WHERE id = ?", (number,)).fetchone()
    if row is None or row[0] != key or row[2] != seal("note", number, key, row[1]):
        raise Damaged(f"the note {key!r} does not fit its checksum")
    value: bytes = row[1]
    return value


def quarantine(connection: sqlite3.Connection, memory: Memory, refusals: Sequence[Refusal]) -> None:
    """Set items aside, each under an id that was never given before."""
    state = memory.state
    rows = []
    for number, item in enumerate(refusals, state.next_refusal):
        head = (number, item.reason, item.detail, item.source, item.at, item.count)
        rows.append((*head, seal_refusal(head, item.body), item.body))
    connection.executemany("INSERT INTO refusal VALUES(?, ?, ?, ?, ?, ?, ?, ?)", rows)
    memory.state = replace(
        state,
        next_refusal=state.next_refusal + len(rows),
        quarantined=state.quarantined + len(rows),
        quarantined_readings=state.quarantined_readings + sum(item.count for item in refusals),
        quarantined_bytes=state.quarantined_bytes + sum(len(item.body) for item in refusals),
    )


def read_refusals(connection: sqlite3.Connection, after: int, limit: int) -> list[Refusal]:
    """The quarantine above an id, in order.

    Raises:
        Damaged: one does not fit its seal.
    """
    found = connection.execute(
        "SELECT id, reason, detail, source, at, count, sum, body FROM refusal WHERE id > ? ORDER BY id LIMIT ?",
        (after, limit),
    ).fetchall()
    refusals = []
    for *head, total, body in found:
        number, reason, detail, source, at, count = head
        if total != seal_refusal((number, reason, detail, source, at, count), body):
            raise Damaged(f"refusal {number} does not fit its checksum")
        refusals.append(Refusal(reason, detail, source, body, at, count, number))
    return refusals


def forget(connection: sqlite3.Connection, memory: Memory, ids: Iterable[int]) -> None:
    """Delete from the quarantine."""
    for number in ids:
        row = connection.execute("SELECT count, length(body) FROM refusal WHERE id = ?", (number,)).fetchone()
        if row is None:
            continue
        connection.execute("DELETE FROM refusal WHERE id = ?", (number,))
        state = memory.state
        memory.state = replace(
            state,
            quarantined=state.quarantined - 1,
            quarantined_readings=state.quarantined_readings - row[0],
            quarantined_bytes=state.quarantined_bytes - row[1],
        )


def read_notes(connection: sqlite3.Connection, memory: Memory, prefix: str) -> dict[str, bytes]:
    """All notes whose key begins with ``prefix``.

    Raises:
        Damaged: one does not fit its seal.
    """
    found = {}
    for key in memory.notes:
        if key.startswith(prefix):
            value = read_note(connection, memory, key)
            if value is not None:
                found[key] = value
    return found
