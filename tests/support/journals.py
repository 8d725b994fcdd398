"""Kinds of journals for the contract suite: the real one, and a plain model that says what it must do."""

import os
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hinomi.errors import Transient
from hinomi.journal.protocol import Entry, Journal, Record, Refusal, Stats
from hinomi.journal.sqlite import SqliteJournal

KINDS = ("sqlite", "model")
CAP = 100_000
HEADROOM = 64 * 1024


def seed_of_run(default: int) -> int:
    """HINOMI_SEED or the default; printed, so that a failure can be repeated."""
    seed = int(os.environ.get("HINOMI_SEED", default))
    print(f"HINOMI_SEED={seed}")
    return seed


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder on a disk in memory, where there is one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


def new_stream() -> str:
    """An id that is never given again, not even by a forked child."""
    return f"stream-{os.urandom(6).hex()}"


def open_sqlite(path: Path, **settings) -> SqliteJournal:
    """With small limits, unless told otherwise."""
    defaults = {"cap_bytes": CAP, "headroom_bytes": HEADROOM, "new_stream": new_stream}
    return SqliteJournal.open(path, **{**defaults, **settings})


class JournalFixture:
    """The journal under test; ``reopen`` closes it and opens another on the same data."""

    def __init__(self, opener: Callable[[], Journal]) -> None:
        self._opener = opener
        self.journal = opener()

    def reopen(self) -> Journal:
        self.journal.close()
        self.journal = self._opener()
        return self.journal


def journal_fixture(kind: str, folder: Path) -> JournalFixture:
    if kind == "model":
        model = ModelJournal()
        return JournalFixture(lambda: model)
    path = folder / "journal.db"
    return JournalFixture(lambda: open_sqlite(path))


class Held(msgspec.Struct):
    """A record of the model; ``body`` None: a tombstone; ``thinned``: readings it has lost."""

    body: bytes | None
    count: int
    kind: str
    sent: bool = False
    thinned: int = 0


class ModelJournal:
    """What a journal does, said as plainly as possible; every counter is worked out from first principles."""

    def __init__(self, cap_bytes: int = CAP) -> None:
        self.stream = "model-1"
        self.recovery = None
        self._cap = cap_bytes
        self._held: dict[int, Held] = {}
        self._next = 1
        self._accepted = self._dropped = self._removed = 0
        self._cursors: dict[str, int] = {}
        self._notes: dict[str, bytes] = {}
        self._refusals: dict[int, Refusal] = {}
        self._next_refusal = 1

    def append(
        self,
        entries: Sequence[Entry],
        *,
        refusals: Sequence[Refusal] = (),
        notes: Mapping[str, bytes] | None = None,
    ) -> range:
        more = sum(len(entry.body) for entry in entries)
        if more and self._bytes() + more > self._cap:
            raise Transient("the journal is full")
        more = sum(len(item.body) for item in refusals)
        if more and sum(len(item.body) for item in self._refusals.values()) + more > self._cap // 2:
            raise Transient("the quarantine is full")
        first = self._next
        for entry in entries:
            self._held[self._next] = Held(entry.body, entry.count, entry.kind)
            self._next += 1
            self._accepted += entry.count
        for item in refusals:
            self._refusals[self._next_refusal] = msgspec.structs.replace(item, id=self._next_refusal)
            self._next_refusal += 1
        self._notes |= notes or {}
        return range(first, self._next)

    def read(self, after: int, *, limit: int, max_bytes: int = 1 << 20) -> list[Record]:
        records: list[Record] = []
        for seq in sorted(seq for seq in self._held if seq > after)[:limit]:
            record = self._record(seq)
            if records and sum(len(each.body) for each in [*records, record]) > max_bytes:
                break
            records.append(record)
        return records

    def newest_unsent(self, limit: int) -> list[Record]:
        unsent = [seq for seq in sorted(self._held, reverse=True) if not self._held[seq].sent]
        return [self._record(seq) for seq in unsent[:limit]]

    def mark_sent(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            if seq in self._held:
                self._held[seq].sent = True

    def remove(self, upto: int, also: Iterable[tuple[int, int]] = ()) -> int:
        gone = {seq for seq in self._held if seq <= upto}
        for low, high in also:
            gone |= {seq for seq in self._held if low <= seq <= high}
        for seq in gone:
            held = self._held.pop(seq)
            self._removed += 0 if held.body is None else held.count
        return len(gone)

    def entomb(self, seqs: Iterable[int]) -> int:
        given_up = 0
        for seq in seqs:
            held = self._held.get(seq)
            if held is not None and not held.sent and held.body is not None:
                held.body = None
                given_up += held.count
        self._dropped += given_up
        return given_up

    def replace(self, seq: int, entry: Entry) -> int:
        held = self._held.get(seq)
        if held is None or held.sent or held.body is None:
            return 0
        if entry.count > held.count or len(entry.body) > len(held.body):
            raise ValueError("larger")
        given_up = held.count - entry.count
        held.body, held.count, held.kind = entry.body, entry.count, entry.kind
        held.thinned += given_up
        self._dropped += given_up
        return given_up

    def cursor(self, name: str) -> int:
        return self._cursors.setdefault(name, 0)

    def advance(
        self,
        name: str,
        seq: int,
        *,
        notes: Mapping[str, bytes] | None = None,
        refusals: Sequence[Refusal] = (),
    ) -> None:
        if seq >= self._next:
            raise ValueError("not issued")
        if seq > self.cursor(name):
            self.append((), refusals=refusals, notes=notes)
            self._cursors[name] = seq

    def trim(self) -> int:
        return self.remove(min(self._cursors.values(), default=0))

    def note(self, key: str) -> bytes | None:
        return self._notes.get(key)

    def notes(self, prefix: str) -> dict[str, bytes]:
        return {key: value for key, value in self._notes.items() if key.startswith(prefix)}

    def refusals(self, after: int = 0, limit: int = 100) -> list[Refusal]:
        return [self._refusals[number] for number in sorted(self._refusals) if number > after][:limit]

    def forget_refusals(self, ids: Iterable[int]) -> None:
        for number in ids:
            self._refusals.pop(number, None)

    def renew(self, reason: str) -> None:
        before = sorted(self._held)
        number, text = self.stream.split("-")
        self.stream = f"{number}-{int(text) + 1}"
        self._cursors = {
            name: sum(1 for seq in before if seq <= position) for name, position in self._cursors.items()
        }
        self._held = {new: self._held[seq] for new, seq in enumerate(before, 1)}
        self._next = len(before) + 1
        for held in self._held.values():
            held.sent = False
        given_up = sum(held.thinned + (held.count if held.body is None else 0) for held in self._held.values())
        self._accepted = given_up + sum(held.count for held in self._held.values() if held.body is not None)
        self._dropped = given_up
        self._removed = 0

    def stats(self) -> Stats:
        return Stats(
            base=min(self._held, default=self._next),
            next_seq=self._next,
            records=len(self._held),
            bytes=self._bytes(),
            file_bytes=0,
            accepted_readings=self._accepted,
            dropped_readings=self._dropped,
            removed_readings=self._removed,
            pending_readings=sum(held.count for held in self._held.values() if held.body is not None),
            quarantined=len(self._refusals),
            quarantined_readings=sum(item.count for item in self._refusals.values()),
        )

    def close(self) -> None:
        pass

    def _bytes(self) -> int:
        return sum(len(held.body or b"") for held in self._held.values())

    def _record(self, seq: int) -> Record:
        held = self._held[seq]
        return Record(seq, held.body or b"", held.count, held.kind, held.sent, held.body is None)


def counters(journal: Journal) -> Stats:
    """The counters, without what only a file has, after seeing that they add up."""
    stats = journal.stats()
    assert stats.accepted_readings == stats.dropped_readings + stats.removed_readings + stats.pending_readings
    return msgspec.structs.replace(stats, file_bytes=0)


def everything(journal: Journal) -> list[Record]:
    """All records held."""
    return journal.read(0, limit=1_000_000, max_bytes=1 << 40)


def entry(rng: random.Random, size: int = 300) -> Entry:
    """A pack of some readings."""
    return Entry(rng.randbytes(rng.randrange(1, size)), rng.randrange(1, 60), rng.choice(["reading", "event", ""]))


def refusal(rng: random.Random) -> Refusal:
    """Something that was refused."""
    return Refusal("malformed", "[3].bt: no number", "town/bridge", rng.randbytes(50), rng.randrange(1 << 41), 3)


def tell(journal: Journal) -> tuple:
    """All that a journal says of itself, but its stream."""
    cursors = [journal.cursor(name) for name in ("store", "judge")]
    return everything(journal), counters(journal), journal.refusals(), journal.notes(""), cursors


def call_of_story(rng: random.Random, stats: Stats) -> Callable[[Journal], object]:
    """The next call of a story that goes on for ever: of all kinds, mostly appends; one commit each."""
    numbers = range(stats.base, stats.next_seq)
    some = rng.sample(numbers, min(len(numbers), 3))
    kind = rng.randrange(20)
    if kind < 8:
        size = rng.choice([50, 600, 9000])
        entries = [entry(rng, size) for _ in range(rng.randint(1, 5))]
        return lambda journal: journal.append(entries)
    if kind < 10:
        item, more, notes = entry(rng), refusal(rng), {rng.choice("abc"): rng.randbytes(20)}
        return lambda journal: journal.append([item], refusals=[more], notes=notes)
    if kind < 13:
        return lambda journal: journal.mark_sent(some)
    if kind < 16:
        upto, also = stats.base + rng.randint(-1, 4), [(number, number + 1) for number in some[:1]]
        return lambda journal: journal.remove(upto, also)
    if kind < 17:
        return lambda journal: journal.entomb(some)
    if kind < 18:
        name, seq = rng.choice(["store", "judge"]), rng.choice(some or [0])
        return lambda journal: journal.advance(name, seq)
    if kind < 19:
        return lambda journal: journal.trim()
    if rng.random() < 0.5:
        return lambda journal: journal.forget_refusals([item.id for item in journal.refusals()[:1]])
    return lambda journal: journal.renew("a test")
