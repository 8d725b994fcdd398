"""A new stream over the same records: numbers dense from 1 again, written as little as can be.

Moving every record would rewrite the file. Instead ``shift`` is set below the first record, and only what stands
on the far side of a hole (numbers acknowledged out of order) moves up to the largest run without one.
"""

import sqlite3

from msgspec.structs import replace

from hinomi.journal.memory import Memory
from hinomi.journal.ranges import Range, Ranges
from hinomi.journal.records import every
from hinomi.journal.schema import seal, seal_record

# Gaps and islands: rows of one run have the same difference to their rank.
_RUNS = """SELECT min(id), max(id) FROM (SELECT id, id - row_number() OVER (ORDER BY id) AS run FROM record)
    GROUP BY run ORDER BY 1"""
_MOVE = "UPDATE record SET id = ?, sum = ? WHERE id = ?"


def renew(connection: sqlite3.Connection, memory: Memory, stream: str, reason: str) -> None:
    """Begin the stream inside the transaction under way; the caller writes the state."""
    state = memory.state
    moves: list[tuple[Range, int]] = []
    if state.records != state.next_row - state.base_row:
        moves = _moves(connection.execute(_RUNS).fetchall())
        # Those nearest to the one that stays go first, into the hole beside it.
        for run, distance in [*reversed([m for m in moves if m[1] > 0]), *(m for m in moves if m[1] < 0)]:
            _move(connection, run, distance)
    base, end = state.base_row, state.next_row
    if moves:
        base = moves[0][0][0] + moves[0][1]
        end = base + state.records
    elif not state.records:
        base = end
    _move_cursors(connection, memory, moves, base)
    connection.execute("DELETE FROM sent WHERE low >= 0")
    memory.sent = Ranges()
    memory.state = replace(
        state,
        stream=stream,
        reason=reason,
        shift=base - 1,
        start=state.total - state.pending - state.dropped_held,
        base_row=base,
        next_row=end,
        dropped=state.dropped_held,
        removed=0,
        gone=0,
    )


def _moves(runs: list[Range]) -> list[tuple[Range, int]]:
    """Each run with the distance it must go so that all touch; the largest stays where it is."""
    largest = max(range(len(runs)), key=lambda index: runs[index][1] - runs[index][0])
    lows = {largest: runs[largest][0]}
    for index in range(largest + 1, len(runs)):
        low, high = runs[index - 1]
        lows[index] = lows[index - 1] + high - low + 1
    for index in range(largest - 1, -1, -1):
        low, high = runs[index]
        lows[index] = lows[index + 1] - (high - low + 1)
    return [(run, lows[index] - run[0]) for index, run in enumerate(runs)]


def _move(connection: sqlite3.Connection, run: Range, distance: int) -> None:
    """Renumber the rows of a run, beginning on the side it moves to."""
    rows = [
        (row[0] + distance, seal_record((row[0] + distance, *row[1:6]), row[7]), row[0])
        for row in every(connection, *run)
    ]
    connection.executemany(_MOVE, rows if distance < 0 else reversed(rows))


def _move_cursors(
    connection: sqlite3.Connection, memory: Memory, moves: list[tuple[Range, int]], base: int
) -> None:
    """Leave each cursor behind the same record as before."""
    for name, (number, position) in memory.cursors.items():
        moved = position
        if moves:
            moved = base - 1
            for (low, high), distance in moves:
                if position >= low:
                    moved = min(position, high) + distance
        moved = max(moved, base - 1)
        memory.cursors[name] = (number, moved)
        connection.execute(
            "INSERT OR REPLACE INTO cursor VALUES(?, ?, ?, ?)",
            (number, name, moved, seal("cursor", number, name, moved)),
        )
