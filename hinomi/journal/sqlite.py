"""The journal in one SQLite file: WAL, every commit synced, one commit for each call that changes something.

Beside ``NAME`` stand ``NAME.lock`` (one process at a time, and how far it came), ``NAME.headroom`` (room for
emptying a full disk) and, after an accident, ``NAME.damaged-N``. Times are measured by ``bench/journal.py``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Self

from hinomi.errors import Transient
from hinomi.journal import engine, records, renewal, shelves
from hinomi.journal.engine import Engine
from hinomi.journal.headroom import Headroom
from hinomi.journal.memory import Memory
from hinomi.journal.opening import check_place, open_files
from hinomi.journal.protocol import Entry, Record, Recovery, Refusal, Stats
from hinomi.journal.ranges import grouped
from hinomi.journal.sidecar import Sidecar

HEADROOM_BYTES = 4 << 20
# The quarantine may take this part of the cap; beyond it nothing is quarantined, and so nothing of it acknowledged.
_QUARANTINE_SHARE = 0.5


class SqliteJournal:
    """See ``hinomi.journal.protocol.Journal``; made by ``open``."""

    def __init__(
        self, engine: Engine, *, cap_bytes: int, new_stream: Callable[[], str], recovery: Recovery | None
    ) -> None:
        self._engine = engine
        self._cap = cap_bytes
        self._new_stream = new_stream
        self._recovery = recovery

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        cap_bytes: int,
        new_stream: Callable[[], str],
        headroom_bytes: int = HEADROOM_BYTES,
        machine: str = "",
    ) -> Self:
        """Open or make the journal, whatever state it is in.

        Args:
            path: the file; its folder must exist.
            cap_bytes: most bytes of bodies held; the quarantine may hold half as much again.
            new_stream: gives a random id that was never used.
            headroom_bytes: kept free for emptying a full disk.
            machine: what tells this machine from a clone of its card, e.g. the serial number; empty: not known.

        Raises:
            ConfigError: no folder, no permission, in use, another program's, a newer version's.
            Transient: the disk is full or failing.
        """
        check_place(path)
        sidecar = Sidecar.take(path)
        try:
            headroom = Headroom(path, headroom_bytes)
            opened = open_files(path, sidecar, headroom, new_stream, machine)
            core = Engine(path, opened.connection, opened.memory, sidecar, headroom)
        except BaseException:
            sidecar.release()
            raise
        return cls(core, cap_bytes=cap_bytes, new_stream=new_stream, recovery=opened.recovery)

    @staticmethod
    def peek(path: Path) -> Stats:
        """The counters of a journal that another process may have open; see ``engine.peek``."""
        return engine.peek(path)

    @property
    def stream(self) -> str:
        """Random id of this journal; changes when it is renewed or was salvaged."""
        return self._engine.memory.state.stream

    @property
    def recovery(self) -> Recovery | None:
        """What was found when it was opened, for the operator; None when all was well."""
        return self._recovery

    def append(
        self,
        entries: Sequence[Entry],
        *,
        refusals: Sequence[Refusal] = (),
        notes: Mapping[str, bytes] | None = None,
    ) -> range:
        """Commit entries, refusals and notes together; see the protocol."""
        state = self._engine.memory.state
        if not (entries or refusals or notes):
            return range(state.next_row - state.shift, state.next_row - state.shift)
        _see_cap("it holds", state.bytes, sum(len(entry.body) for entry in entries), self._cap)
        self._see_share(refusals)

        def work(connection: Connection, memory: Memory) -> range:
            first = memory.state.next_row - memory.state.shift
            if entries:
                memory.state = records.insert(connection, memory.state, entries)
            if refusals:
                shelves.quarantine(connection, memory, refusals)
            if notes:
                shelves.write_notes(connection, memory, notes)
                if not entries:
                    shelves.count_notes(memory)
            return range(first, first + len(entries))

        return self._engine.change(work, grows=True, counts=bool(refusals) or not entries)

    def read(self, after: int, *, limit: int, max_bytes: int = 1 << 20) -> list[Record]:
        """Records with seq > ``after`` in order, tombstones included; at least one if there is any."""
        return self._engine.look(
            lambda connection, memory: records.forward(
                connection, memory, after + memory.state.shift, limit, max_bytes
            )
        )

    def newest_unsent(self, limit: int) -> list[Record]:
        """Records never marked as sent, newest first, tombstones included."""
        return self._engine.look(lambda connection, memory: records.unsent(connection, memory, limit))

    def mark_sent(self, seqs: Iterable[int]) -> None:
        """Remember that these went out at least once (they may no longer be thinned)."""
        state = self._engine.memory.state
        rows = [seq + state.shift for seq in seqs]
        held = list(grouped(row for row in rows if state.base_row <= row < state.next_row))
        if held:
            self._engine.change(lambda connection, memory: records.mark(connection, memory, held))

    def remove(self, upto: int, also: Iterable[tuple[int, int]] = ()) -> int:
        """Delete seq <= ``upto`` and the inclusive ranges ``also``; returns how many records went."""
        state = self._engine.memory.state
        shift = state.shift
        wanted = [(state.base_row, upto + shift), *((low + shift, high + shift) for low, high in also)]
        ranges = [(low, high) for low, high in wanted if low <= high]
        return self._delete(ranges)

    def trim(self) -> int:
        """Delete what every registered cursor has passed; returns how many records went."""
        memory = self._engine.memory
        slowest = min((position for _, position in memory.cursors.values()), default=0)
        return self._delete([(memory.state.base_row, slowest)])

    def entomb(self, seqs: Iterable[int]) -> int:
        """Turn records never sent into tombstones, leaving others alone; returns the readings given up."""
        shift = self._engine.memory.state.shift
        rows = [seq + shift for seq in seqs]
        given_up = self._engine.change(lambda connection, memory: records.entomb(connection, memory, rows))
        self._engine.tidy()
        return given_up

    def replace(self, seq: int, entry: Entry) -> int:
        """Thin a record never sent; returns the readings given up."""
        row = seq + self._engine.memory.state.shift
        return self._engine.change(lambda connection, memory: records.thin(connection, memory, row, entry))

    def cursor(self, name: str) -> int:
        """Where a consumer stands (0 at first); reading it registers the name."""
        memory = self._engine.memory
        if name not in memory.cursors:
            start = memory.state.shift
            self._engine.change(lambda connection, memory: shelves.move(connection, memory, name, start))
            memory = self._engine.memory
        return memory.cursors[name][1] - memory.state.shift

    def advance(
        self,
        name: str,
        seq: int,
        *,
        notes: Mapping[str, bytes] | None = None,
        refusals: Sequence[Refusal] = (),
    ) -> None:
        """Move a cursor forward (never back), with notes and refusals; see the protocol."""
        state = self._engine.memory.state
        position = seq + state.shift
        if position >= state.next_row:
            raise ValueError(f"{seq} is not issued yet (next: {state.next_row - state.shift})")
        if seq <= self.cursor(name):
            return
        self._see_share(refusals)

        def work(connection: Connection, memory: Memory) -> None:
            shelves.move(connection, memory, name, position)
            if notes:
                shelves.write_notes(connection, memory, notes)
            if refusals:
                shelves.quarantine(connection, memory, refusals)

        self._engine.change(work, grows=bool(refusals))

    def note(self, key: str) -> bytes | None:
        """A small durable value committed with an append."""
        return self._engine.look(lambda connection, memory: shelves.read_note(connection, memory, key))

    def notes(self, prefix: str) -> dict[str, bytes]:
        """All notes whose key begins with ``prefix``."""
        return self._engine.look(lambda connection, memory: shelves.read_notes(connection, memory, prefix))

    def refusals(self, after: int = 0, limit: int = 100) -> list[Refusal]:
        """The quarantine in order of id."""
        return self._engine.look(lambda connection, _: shelves.read_refusals(connection, after, limit))

    def forget_refusals(self, ids: Iterable[int]) -> None:
        """Delete from the quarantine (after a replay, or by a person)."""
        numbers = list(ids)
        self._engine.change(lambda connection, memory: shelves.forget(connection, memory, numbers))

    def renew(self, reason: str) -> None:
        """Begin a new stream: what is held is renumbered from 1, unsent again, and counted anew."""
        stream = self._new_stream()
        self._engine.change(lambda connection, memory: renewal.renew(connection, memory, stream, reason))

    def stats(self) -> Stats:
        """Counters, in O(1)."""
        return self._engine.stats()

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._engine.close()

    def _see_share(self, refusals: Sequence[Refusal]) -> None:
        share = int(self._cap * _QUARANTINE_SHARE)
        held = self._engine.memory.state.quarantined_bytes
        _see_cap("its quarantine holds", held, sum(len(item.body) for item in refusals), share)

    def _delete(self, ranges: list[tuple[int, int]]) -> int:
        count = self._engine.change(lambda connection, memory: records.delete(connection, memory, ranges))
        if count:
            self._engine.tidy()
        return count


def _see_cap(what: str, held: int, more: int, cap: int) -> None:
    if more and held + more > cap:
        raise Transient(f"the journal is full: {what} {held} of {cap} bytes, {more} more were to come")
