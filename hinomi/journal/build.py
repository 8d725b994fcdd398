"""A new journal file, empty or with rows, made beside its place and only then moved there.

Nothing is synced while it is built; ``finish`` does that once, so a half-built file never carries the real name.
"""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from hinomi.journal import schema
from hinomi.journal.faults import Full, translated
from hinomi.journal.memory import State, save_state
from hinomi.journal.protocol import Refusal
from hinomi.journal.records import Row

_BATCH = 500
_INSERT = "INSERT INTO record(id, total, volume, count, thinned, kind, sum, body) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"


class Builder:
    """Enter it, add rows in order, ``finish``; without that the file is gone when it is left.

    Attributes:
        full: the disk was full before all were taken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[Row] = []
        self._state = State(stream="")
        self._refusals: set[int] = set()
        self.full = False

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        with translated(str(self._path)):
            self._connection = schema.create(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._path.unlink(missing_ok=True)

    @property
    def records(self) -> int:
        """Records taken, waiting ones included."""
        return self._state.next_row - 1 + len(self._waiting)

    @property
    def readings(self) -> int:
        """Readings of the records written that are no tombstones."""
        return self._state.pending

    @property
    def refusals(self) -> int:
        """Refusals taken."""
        return len(self._refusals)

    def record(self, row: Row) -> None:
        """Take a record under the next number; its running sums are counted anew."""
        if not self.full:
            self._waiting.append(row)
            if len(self._waiting) >= _BATCH:
                self.flush()

    def flush(self) -> None:
        """Write what waits; all of it or, when the disk is full, nothing."""
        old = self._state
        number, total, volume, given_up = old.next_row, old.total, old.volume, 0
        rows: list[tuple[object, ...]] = []
        for _, _, _, count, thinned, kind, _, body in self._waiting:
            total += count + thinned
            volume += len(body or b"")
            given_up += thinned + (count if body is None else 0)
            head = (number, total, volume, count, thinned, kind)
            rows.append((*head, schema.seal_record(head, body), body))
            number += 1
        self._waiting = []
        if self._write(_INSERT, rows):
            dropped = old.dropped + given_up
            self._state = replace(
                old, next_row=number, total=total, volume=volume, dropped=dropped, dropped_held=dropped
            )

    def refusal(self, item: Refusal) -> None:
        """Take a refusal under the id it has, once."""
        head = (item.id, item.reason, item.detail, item.source, item.at, item.count)
        if self.full or item.id in self._refusals:
            return
        if not self._write(
            "INSERT INTO refusal VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            [(*head, schema.seal_refusal(head, item.body), item.body)],
        ):
            return
        old = self._state
        self._refusals.add(item.id)
        self._state = replace(
            old,
            quarantined=old.quarantined + 1,
            quarantined_readings=old.quarantined_readings + item.count,
            quarantined_bytes=old.quarantined_bytes + len(item.body),
            next_refusal=max(old.next_refusal, item.id + 1),
        )

    def finish(self, place: Path, state: State, cursors: Mapping[str, int], notes: Mapping[str, bytes]) -> None:
        """Complete the file, sync it, and move it to ``place``; of ``state`` what was not counted here is taken.

        Raises:
            Transient: the disk is full or failing.
        """
        self.flush()
        state = replace(
            self._state,
            stream=state.stream,
            machine=state.machine,
            reason=state.reason,
            recovery=state.recovery,
            next_refusal=max(state.next_refusal, self._state.next_refusal),
        )
        connection = self._open()
        with translated(str(self._path)):
            connection.execute("BEGIN")
            save_state(connection, state)
            for number, (name, position) in enumerate(cursors.items(), 1):
                at = min(position, state.next_row - 1)
                total = schema.seal("cursor", number, name, at)
                connection.execute("INSERT INTO cursor VALUES(?, ?, ?, ?)", (number, name, at, total))
            for number, (key, value) in enumerate(notes.items(), 1):
                total = schema.seal("note", number, key, value)
                connection.execute("INSERT INTO note VALUES(?, ?, ?, ?)", (number, key, value, total))
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.close()
            self._connection = None
            sync(self._path)
            self._path.rename(place)
            sync(place.parent)

    def _write(self, query: str, rows: list[tuple[object, ...]]) -> bool:
        connection = self._open()
        try:
            with translated(str(self._path)):
                connection.execute("BEGIN")
                connection.executemany(query, rows)
                connection.execute("COMMIT")
        except Full:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self.full = True
        return not self.full

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError("the file is finished")
        return self._connection


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
