"""Telling stations what is durable here: retained, QoS 0, at most once a second for each station."""

import logging
from typing import Protocol

import msgspec

from cloud.ingest.commit import Commit
from cloud.ingest.metrics import Counters
from cloud.ingest.tracker import FOLDED, PLAIN, Tracker
from hinomi.clock import Clock
from sensing.topic import StationId

log = logging.getLogger(__name__)

PERIOD_S = 1.0
MAX_ALSO = 64


class Ack(msgspec.Struct, frozen=True):
    """The body of the ``ack`` topic.

    Attributes:
        stream: which journal of the station.
        upto: all its packs up to here are durable.
        also: inclusive ranges above, at most ``MAX_ALSO``; the lowest, so that ``upto`` can follow.
        now: cloud's wall time, ms; stations without NTP set their clocks by it.
    """

    stream: str
    upto: int
    also: list[tuple[int, int]]
    now: int


class Publisher(Protocol):
    """The part of the link that is needed here."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send with QoS 0; False when there is no connection."""
        ...


class Acker:
    """Remembers whose acknowledgement has moved and publishes it at the next tick.

    Attributes:
        publisher: the link, once there is one.
    """

    def __init__(self, tracker: Tracker, counters: Counters, *, clock: Clock, pace: Clock) -> None:
        self.publisher: Publisher | None = None
        self._tracker = tracker
        self._counters = counters
        self._clock = clock
        self._pace = pace
        self._dirty: dict[StationId, set[str]] = {}

    def committed(self, commit: Commit) -> None:
        """These streams moved, or were resent because their acknowledgement got lost."""
        for station, stream in commit.changed:
            if stream not in {PLAIN, FOLDED}:
                self._dirty.setdefault(station, set()).add(stream)

    def everybody(self) -> None:
        """The broker has forgotten us and maybe its retained messages: say all of it again."""
        for station in self._tracker.stations():
            current = self._tracker.current(station)
            if current is not None:
                self._dirty.setdefault(station, set()).add(current)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._pace.sleep(PERIOD_S)
            await self.flush()

    async def flush(self) -> None:
        """Publish what has moved; what cannot be sent now stays for the next time."""
        dirty, self._dirty = self._dirty, {}
        for number, (station, streams) in enumerate(dirty.items()):
            if not self._publish(station, streams):
                self._dirty.setdefault(station, set()).update(streams)
            if number % 100 == 99:
                await self._pace.sleep(0)

    def _publish(self, station: StationId, streams: set[str]) -> bool:
        if self.publisher is None:
            return False
        current = self._tracker.current(station)
        # The retained one is the last: that of the journal in use.
        for name in sorted(streams, key=lambda name: (name == current, name)):
            state = self._tracker.streams(station).get(name)
            if state is None:
                continue
            body = Ack(name, state.upto, state.ranges[:MAX_ALSO], self._clock.now())
            if not self.publisher.publish(station.topic("ack"), msgspec.json.encode(body), retain=True):
                return False
            self._counters.acks += 1
        return True
