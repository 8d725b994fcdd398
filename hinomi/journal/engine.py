"""Transactions: all or nothing, on a disk that may be full, with the counters in memory as they are on the disk."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from hinomi.errors import ConfigError, Transient
from hinomi.journal import schema
from hinomi.journal.faults import Damaged, Full, translated
from hinomi.journal.headroom import Headroom
from hinomi.journal.memory import Memory, load_state, save_state
from hinomi.journal.protocol import Stats
from hinomi.journal.sidecar import Mark, Sidecar

T = TypeVar("T")

# Free pages inside the file are used again first; only a file that is mostly free shrinks, some pages at a time.
_SHRINK_ABOVE_PAGES = 1024
_SHRINK_STEP_PAGES = 256


class Engine:
    """One connection, its memory, and what stands beside the file."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, memory: Memory, sidecar: Sidecar, headroom: Headroom
    ) -> None:
        self._memory = memory
        self._path = path
        self._connection = connection
        self._sidecar = sidecar
        self._headroom = headroom
        self._stale = False
        self._broken = ""
        sidecar.write(Mark.of(memory))
        headroom.try_take()

    @property
    def memory(self) -> Memory:
        """Counters and small tables as of the last commit; not to be changed."""
        if self._stale:
            with self._guarded():
                self._fresh()
        return self._memory

    def change(
        self, work: Callable[[sqlite3.Connection, Memory], T], *, grows: bool = False, counts: bool = True
    ) -> T:
        """Run ``work`` in a transaction and commit it.

        Args:
            work: changes rows and memory alike.
            grows: it adds to the file, so the head-room must be there and is not for it.
            counts: the counters' row is written if they changed (records carry what an append alone changes).

        Raises:
            Transient: the disk is full or failing, nothing was changed.
            Damaged: see there.
        """
        if grows:
            self._headroom.take()
        try:
            result = self._attempt(work, counts=counts)
        except Full:
            if grows:
                raise
            self._headroom.release()
            result = self._attempt(work, counts=counts)
        self._sidecar.write(Mark.of(self._memory))
        return result

    def look(self, work: Callable[[sqlite3.Connection, Memory], T]) -> T:
        """Run ``work``, which only reads.

        Raises:
            Transient: the disk is failing.
            Damaged: see there.
        """
        with self._guarded():
            return work(self._connection, self._fresh())

    def tidy(self) -> None:
        """After rows went: make a file that is mostly free smaller; take the head-room again if it was given."""
        # What was asked for is committed: a disk too full or too slow to tidy must not make it look failed.
        with contextlib.suppress(Transient), self._guarded():
            (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
            if not self._headroom.held:
                self._shrink(free)
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._headroom.try_take()
            elif free > _SHRINK_ABOVE_PAGES:
                (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
                if free > pages // 2:
                    self._shrink(_SHRINK_STEP_PAGES)

    def _shrink(self, pages: int) -> None:
        # Steps without columns: execute() would do the first one only.
        self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")

    def stats(self) -> Stats:
        """Counters, in O(1)."""
        return self.memory.state.stats(_file_bytes(self._path))

    def close(self) -> None:
        """Close the file and let others have it."""
        self._connection.close()
        self._sidecar.release()

    def _attempt(self, work: Callable[[sqlite3.Connection, Memory], T], *, counts: bool) -> T:
        with self._guarded():
            memory = self._fresh()
            before = memory.state
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection, memory)
                # Told to whoever opened the journal; to be told again only if nothing was done since.
                told = memory.state.recovery is not None
                if told:
                    memory.state = replace(memory.state, recovery=None)
                if told or (counts and memory.state is not before):
                    save_state(connection, memory.state)
                connection.execute("COMMIT")
            except BaseException:
                memory.state = before
                self._stale = True
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise
            return result

    def _fresh(self) -> Memory:
        """The memory; read anew after an attempt that failed half-way."""
        if self._broken:
            raise Damaged(self._broken)
        if self._stale:
            self._memory = Memory(self._connection)
            self._stale = False
        return self._memory

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with translated(str(self._path)):
                yield
        except Damaged as damage:
            if not self._broken:
                self._broken = str(damage)
                self._sidecar.suspect(self._broken)
            raise


def peek(path: Path) -> Stats:
    """The counters of a journal that another process may have open; nothing is locked or changed.

    Raises:
        ConfigError: there is no journal.
        Transient: it cannot be read now: it is being opened, is damaged, or may not be read by this user.
    """
    if not path.exists():
        raise ConfigError.of(str(path), "there is no journal here: correct the path, or start what writes it")
    try:
        with translated(str(path)):
            connection = schema.connect_to_look(path, alone=not schema.wal_of(path).exists())
            try:
                return load_state(connection).stats(_file_bytes(path))
            finally:
                connection.close()
    except (Damaged, sqlite3.OperationalError) as error:
        raise Transient(f"{path}: cannot be read now: {error}") from error


def _file_bytes(path: Path) -> int:
    total = 0
    for file in (path, schema.wal_of(path)):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total
