"""Which packs are on their way, which may follow, and which must go again. Pure: no clock, no disk, no network."""

import random
from collections.abc import Iterable

import msgspec

# A resend waits longer each time, up to this many times the first wait.
LONGEST_WAIT = 10.0
# Part of the window that is left free for packs that were just measured.
FOR_FRESH = 0.25
# How many bytes may be on their way.
WINDOW_BYTES = 512 * 1024


class Ack(msgspec.Struct, frozen=True):
    """What the cloud says is durable.

    Attributes:
        stream: whose numbers these are.
        upto: every number up to and including this one.
        also: inclusive ranges above.
        now: the cloud's time, ms.
    """

    stream: str
    upto: int
    also: list[tuple[int, int]]
    now: int

    def __post_init__(self) -> None:
        if self.upto < 0 or any(not 0 < low <= high for low, high in self.also):
            raise ValueError("upto and ranges must be numbers of packs")

    @property
    def highest(self) -> int:
        """The highest number it names."""
        return max([self.upto, *(high for _, high in self.also)])

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """All that it names, inclusive."""
        return [(1, self.upto), *self.also]

    def covers(self, seq: int) -> bool:
        """Whether ``seq`` is durable in the cloud."""
        return seq <= self.upto or any(low <= seq <= high for low, high in self.also)


class Flight(msgspec.Struct):
    """A pack on its way.

    Attributes:
        size: bytes of its body.
        sent_at: when it went for the first time, s of the pace.
        tries: how often it was sent.
        due: when it goes again, s of the pace.
        taken: the broker said that it has it.
    """

    size: int
    sent_at: float
    tries: int
    due: float
    taken: bool = False


class Outbox:
    """The window of packs that were sent and are not yet acknowledged by the cloud."""

    def __init__(self, window: int, resend_s: float, rng: random.Random) -> None:
        self._window = window
        self._resend_s = resend_s
        self._rng = rng
        self._flights: dict[int, Flight] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def under_way(self) -> frozenset[int]:
        """The numbers in the window."""
        return frozenset(self._flights)

    @property
    def room(self) -> int:
        """How many fresh packs may follow."""
        return max(0, self._window - len(self._flights)) if self._bytes < WINDOW_BYTES else 0

    @property
    def room_for_backlog(self) -> int:
        """How many old packs may follow; a part of the window stays free for fresh ones."""
        return max(0, self.room - int(self._window * FOR_FRESH))

    @property
    def next_due(self) -> float | None:
        """When the next resend is due, s of the pace."""
        return min((flight.due for flight in self._flights.values()), default=None)

    def due(self, now: float, limit: int) -> list[int]:
        """Numbers that go again now, newest first."""
        return sorted((seq for seq, flight in self._flights.items() if flight.due <= now), reverse=True)[:limit]

    def sent(self, seq: int, size: int, now: float) -> None:
        """A pack goes out, for the first time or again."""
        before = self._flights.get(seq)
        tries = before.tries + 1 if before else 1
        if before is None:
            self._bytes += size
        first = before.sent_at if before else now
        self._flights[seq] = Flight(size, first, tries, now + self._wait(tries))

    def taken(self, seq: int) -> None:
        """The broker has it; only the cloud's acknowledgement ends its flight."""
        if seq in self._flights:
            self._flights[seq].taken = True

    def acknowledged(self, ack: Ack) -> float | None:
        """End the flights that ``ack`` covers; returns when the last of them first went, None: it covers none.

        Between that moment and now the acknowledgement was made; after a resend it may be older than the resend.
        """
        covered = [seq for seq in self._flights if ack.covers(seq)]
        last = None
        for seq in covered:
            flight = self._flights.pop(seq)
            self._bytes -= flight.size
            last = flight.sent_at if last is None else max(last, flight.sent_at)
        return last

    def cloud_is_there(self, now: float) -> None:
        """The cloud acknowledges again: what it does not cover was lost on the way and need not wait for long."""
        for flight in self._flights.values():
            flight.tries = 1
            flight.due = min(flight.due, now + self._wait(1))

    def connection_lost(self, now: float) -> None:
        """What the broker had not taken goes again with the next connection."""
        for flight in self._flights.values():
            if not flight.taken:
                flight.due = now

    def forget(self, seqs: Iterable[int]) -> None:
        """These are not in the journal any more."""
        for seq in seqs:
            flight = self._flights.pop(seq, None)
            self._bytes -= flight.size if flight else 0

    def clear(self) -> None:
        """A new stream: nothing of it was sent."""
        self._flights.clear()
        self._bytes = 0

    def _wait(self, tries: int) -> float:
        factor = min(2.0 ** (tries - 1), LONGEST_WAIT)
        return self._resend_s * factor * self._rng.uniform(0.75, 1.25)
