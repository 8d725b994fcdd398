"""What a journal promises.

All methods are synchronous and made for one writer thread (``hinomi.disk``). Whatever a method has returned from is
on the disk: it survives kill -9 and a power cut. Methods raise ``Transient`` when the disk is full or failing; then
nothing of the call was committed. Damage found while in use belongs to no family of errors (``faults.Damaged``):
the process ends, and opening again salvages.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What is appended: ``body`` (opaque), how many readings are in it, and an opaque ``kind`` label."""

    body: bytes
    count: int = 0
    kind: str = ""


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is read back.

    Attributes:
        seq: dense number from 1 within the stream.
        body: as appended; empty for a tombstone.
        count: readings inside; for a tombstone those that were given up.
        kind: as appended.
        sent: whether ``mark_sent`` named it.
        tombstone: it was thinned or dropped; the number stays until removed.
    """

    seq: int
    body: bytes
    count: int
    kind: str = ""
    sent: bool = False
    tombstone: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """An item set aside in the quarantine table beside the log.

    Attributes:
        reason: short stable word, e.g. ``wrong_unit``.
        detail: plain words naming the field.
        source: who sent it, e.g. ``town/bridge`` or a topic.
        body: the bytes as they came (cut by the caller where they are oversized).
        at: when, ms since 1970.
        count: readings inside as far as known, else 0.
        id: given by the journal; 0 when new.
    """

    reason: str
    detail: str
    source: str
    body: bytes
    at: int
    count: int = 0
    id: int = 0


class Stats(msgspec.Struct, frozen=True):
    """Counters of a journal; ``*_readings`` are sums of ``count`` over the life of the stream.

    Attributes:
        base: lowest seq still held (``next_seq`` when empty).
        next_seq: the number the next entry will get; dense.
        records: held, tombstones included.
        bytes: size of the held bodies.
        file_bytes: size of the database and its write-ahead log on the disk.
        accepted_readings: ever appended in this stream.
        dropped_readings: ever turned into tombstones.
        removed_readings: ever removed as acknowledged or trimmed (tombstones not counted here).
        pending_readings: held and not tombstones; accepted = dropped + removed + pending, always.
        quarantined: refusals held.
        quarantined_readings: their readings.
    """

    base: int
    next_seq: int
    records: int
    bytes: int
    file_bytes: int
    accepted_readings: int
    dropped_readings: int
    removed_readings: int
    pending_readings: int
    quarantined: int
    quarantined_readings: int


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What was found when a journal was opened, for the operator; a new stream has begun.

    Attributes:
        kind: ``damaged``: the file was set aside and what could be read of it was kept. ``rolled_back``: it is an
            older copy, or commits are missing. ``cloned``: it was last opened on another machine.
        reason: plain words.
        old_stream: the stream that ended; empty if it could not be read.
        set_aside: name of the damaged file now, in the same folder; empty if there is none.
        kept_records: records that are held on, tombstones included.
        kept_readings: their readings.
        kept_refusals: likewise of the quarantine.
        lost_records: those that were held and could not be read (rolled back: those that are missing; they may
            have been acknowledged since).
        lost_readings: their readings.
        lost_refusals: likewise of the quarantine.
        exact: the losses are counted; False: they are estimated (no counter could be read), or the most it can be.
    """

    kind: Literal["damaged", "rolled_back", "cloned"]
    reason: str
    old_stream: str
    kept_records: int
    kept_readings: int
    kept_refusals: int
    lost_records: int = 0
    lost_readings: int = 0
    lost_refusals: int = 0
    set_aside: str = ""
    exact: bool = True

    def __str__(self) -> str:
        """In plain words."""
        most = "" if self.exact else "at most "
        aside = f"; the damaged file is kept as {self.set_aside}" if self.set_aside else ""
        return f"{self.reason}; kept {self.kept_readings} readings, lost {most}{self.lost_readings}{aside}"


class Journal(Protocol):
    """The one small protocol; ``hinomi.journal.sqlite.SqliteJournal`` implements it."""

    @property
    def stream(self) -> str:
        """Random id of this journal; changes when it is renewed or was salvaged."""
        ...

    def append(
        self,
        entries: Sequence[Entry],
        *,
        refusals: Sequence[Refusal] = (),
        notes: Mapping[str, bytes] | None = None,
    ) -> range:
        """Commit entries, refusals and notes together; returns the seqs given (empty without entries).

        Raises:
            Transient: the disk is full, or the cap (bytes of bodies) would be passed.
        """
        ...

    def read(self, after: int, *, limit: int, max_bytes: int = 1 << 20) -> list[Record]:
        """Records with seq > ``after`` in order, tombstones included; at least one if there is any."""
        ...

    def newest_unsent(self, limit: int) -> list[Record]:
        """Records never marked as sent, newest first, tombstones included."""
        ...

    def mark_sent(self, seqs: Iterable[int]) -> None:
        """Remember that these went out at least once (they may no longer be thinned)."""
        ...

    def remove(self, upto: int, also: Iterable[tuple[int, int]] = ()) -> int:
        """Delete seq <= ``upto`` and the inclusive ranges ``also``; returns how many records went.

        Numbers not yet issued are left alone: whether they mean a roll-back is for the caller to say.
        """
        ...

    def entomb(self, seqs: Iterable[int]) -> int:
        """Turn records never sent into tombstones, leaving others alone; returns the readings given up."""
        ...

    def replace(self, seq: int, entry: Entry) -> int:
        """Thin a record never sent: smaller body and count; the difference counts as dropped.

        Returns:
            The readings given up; 0, and nothing is changed, when the record was sent, is a tombstone or is gone.

        Raises:
            ValueError: the entry is larger than what it replaces.
        """
        ...

    def cursor(self, name: str) -> int:
        """Where a consumer stands (0 at first); reading it registers the name."""
        ...

    def advance(
        self,
        name: str,
        seq: int,
        *,
        notes: Mapping[str, bytes] | None = None,
        refusals: Sequence[Refusal] = (),
    ) -> None:
        """Move a cursor forward (never back), and with it what a consumer has to say of the records it passed.

        A cursor that is there already changes nothing, notes and refusals included: it was done before. Without
        refusals a full disk does not stop it, because that is how a full disk is emptied.

        Raises:
            Transient: the disk is full or failing, or the quarantine's share of the cap would be passed.
            ValueError: ``seq`` is not issued yet; standing there, the cursor would skip what comes.
        """
        ...

    def trim(self) -> int:
        """Delete what every registered cursor has passed (nothing without cursors); returns how many went."""
        ...

    def note(self, key: str) -> bytes | None:
        """A small durable value committed with an append."""
        ...

    def notes(self, prefix: str) -> dict[str, bytes]:
        """All notes whose key begins with ``prefix``."""
        ...

    def refusals(self, after: int = 0, limit: int = 100) -> list[Refusal]:
        """The quarantine in order of id."""
        ...

    def forget_refusals(self, ids: Iterable[int]) -> None:
        """Delete from the quarantine (after a replay, or by a person)."""
        ...

    def renew(self, reason: str) -> None:
        """Begin a new stream: what is held is renumbered from 1, unsent again, and counted anew.

        Cursors stand at the same records as before; notes and the quarantine stay.
        """
        ...

    def stats(self) -> Stats:
        """Counters, in O(1)."""
        ...

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        ...
