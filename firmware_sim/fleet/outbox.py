"""What one light station has accepted and the cloud has not yet acknowledged: pure, time is handed in.

New packs go first, the newest before the older; what was sent is sent again after 5 s, then 10, 20 … at most 300 s,
each with jitter, until the end-to-end acknowledgement covers it.
"""

import heapq
import random

import msgspec

from firmware_sim.fleet.pack import Acked, Pack

FIRST_RETRY_S = 5.0
LAST_RETRY_S = 300.0
AFTER_CONNECT_S = 1.0
"""The retained acknowledgement arrives with the subscription; what it covers need not be sent again."""


class Ack(msgspec.Struct, frozen=True):
    """The body of an ``ack`` message: packs up to ``upto`` and in the ranges ``also`` are durable in the cloud."""

    stream: str
    upto: int
    also: list[tuple[int, int]] = []
    now: int = 0


class Outbox:
    """One station's packs.

    Args:
        station: ``community/station``.
        stream: random id of its numbering.
        rng: jitter.

    Attributes:
        next_seq: what the next pack gets.
        accepted: readings ever accepted.
        acked: readings of those that are acknowledged.
        packs: packs ever accepted.
        resent: how often a pack was sent again.
        strange_acks: acknowledgements of numbers never given out (somebody else uses this name); none is believed.
    """

    def __init__(self, station: str, stream: str, rng: random.Random) -> None:
        self.station = station
        self.stream = stream
        self.next_seq = 1
        self.accepted = 0
        self.acked = 0
        self.packs = 0
        self.resent = 0
        self.strange_acks = 0
        self._rng = rng
        self._base = 1
        self._pending: dict[int, Pack] = {}
        self._attempts: dict[int, int] = {}
        self._fresh: list[int] = []
        self._retries: list[tuple[float, int]] = []

    @property
    def pending(self) -> int:
        """Readings accepted and not acknowledged."""
        return self.accepted - self.acked

    @property
    def base(self) -> int:
        """The lowest seq not acknowledged; the next one when there is none."""
        while self._base < self.next_seq and self._base not in self._pending:
            self._base += 1
        return self._base

    def add(self, pack: Pack) -> None:
        """Take a pack that is on the disk; its seq is at least ``next_seq``."""
        self.next_seq = pack.seq + 1
        self.accepted += pack.count
        self.packs += 1
        self._pending[pack.seq] = pack
        self._fresh.append(pack.seq)

    def acknowledge(self, ack: Ack | Acked) -> bool:
        """Let go of what is durable in the cloud; returns whether that was anything new."""
        if ack.stream != self.stream:
            return False
        ranges = [(self.base, ack.upto), *ack.also]
        if max(last for _, last in ranges) >= self.next_seq:
            self.strange_acks += 1
            return False
        before = self.acked
        for first, last in ranges:
            for seq in range(max(first, self._base), last + 1):
                if (pack := self._pending.pop(seq, None)) is not None:
                    self._attempts.pop(seq, None)
                    self.acked += pack.count
        return self.acked > before

    def due(self, now: float) -> Pack | None:
        """The pack to be sent next, if any; it counts as sent at ``now`` (s)."""
        while self._fresh:
            if (pack := self._pending.get(self._fresh.pop())) is not None:
                return self._sent(pack, now)
        while self._retries and self._retries[0][0] <= now:
            if (pack := self._pending.get(heapq.heappop(self._retries)[1])) is not None:
                self.resent += 1
                return self._sent(pack, now)
        return None

    def recovered(self) -> None:
        """After a restart: what the log holds was probably sent, so the acknowledgement is awaited first."""
        self._attempts = dict.fromkeys(self._pending, 0)
        self._fresh.clear()

    def connected(self, now: float) -> None:
        """A new connection: whatever was sent over the old one may not have arrived."""
        self._retries = [(self._jittered(now, AFTER_CONNECT_S), seq) for seq in self._attempts]
        heapq.heapify(self._retries)
        self._attempts = dict.fromkeys(self._attempts, 0)

    def _sent(self, pack: Pack, now: float) -> Pack:
        attempts = self._attempts.get(pack.seq, 0)
        self._attempts[pack.seq] = attempts + 1
        wait = min(FIRST_RETRY_S * 2 ** min(attempts, 10), LAST_RETRY_S)
        heapq.heappush(self._retries, (self._jittered(now, wait), pack.seq))
        return pack

    def _jittered(self, now: float, wait: float) -> float:
        return now + wait * self._rng.uniform(1.0, 1.5)
