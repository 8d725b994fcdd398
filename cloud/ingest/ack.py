"""Telling stations what is durable here: retained, QoS 0, at most once a second for each station."""

import bisect
import itertools
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
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
        also: inclusive ranges above, at most ``MAX_ALSO``.
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
        # By stream, the numbers of packs that came and were not answered yet.
        self._dirty: dict[StationId, dict[str, set[int]]] = {}

    def committed(self, commit: Commit) -> None:
        """These streams moved, or were resent because their acknowledgement got lost."""
        for (station, stream), came in commit.changed.items():
            if stream not in {PLAIN, FOLDED}:
                self._later(station, {stream: came})

    def everybody(self) -> None:
        """The broker has forgotten us and maybe its retained messages: say all of it again."""
        for station in self._tracker.stations():
            current = self._tracker.current(station)
            if current is not None:
                self._later(station, {current: set()})

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._pace.sleep(PERIOD_S)
            await self.flush()

    async def flush(self) -> None:
        """Publish what has moved; what cannot be sent now stays for the next time."""
        dirty, self._dirty = self._dirty, {}
        for number, (station, streams) in enumerate(dirty.items()):
            self._later(station, self._publish(station, streams))
            if number % 100 == 99:
                await self._pace.sleep(0)

    def _later(self, station: StationId, streams: Mapping[str, set[int]]) -> None:
        if streams:
            waiting = self._dirty.setdefault(station, {})
            for name, came in streams.items():
                waiting.setdefault(name, set()).update(came)

    def _publish(self, station: StationId, streams: Mapping[str, set[int]]) -> Mapping[str, set[int]]:
        """Say how streams stand; returns what is left to say: all without a connection, else what found no room."""
        left = {}
        current = self._tracker.current(station)
        # The retained one is the last: that of the journal in use.
        for name in sorted(streams, key=lambda name: (name == current, name)):
            state = self._tracker.streams(station).get(name)
            if state is None:
                continue
            also, rest = chosen(state.ranges, streams[name])
            body = msgspec.json.encode(Ack(name, state.upto, also, self._clock.now()))
            if self.publisher is None or not self.publisher.publish(station.topic("ack"), body, retain=True):
                return streams
            self._counters.acks += 1
            if rest:
                left[name] = rest
        return left


def chosen(ranges: Sequence[tuple[int, int]], came: Iterable[int]) -> tuple[list[tuple[int, int]], set[int]]:
    """Which ranges to tell, and the numbers that came and must wait for the next time.

    What just came goes first. A station may hold a pack back for long (its time is not settled); if only the lowest
    ranges were told, nothing that it sends meanwhile would ever be acknowledged. The lowest fill what is left.
    """
    fresh: dict[int, set[int]] = {}
    for seq in came:
        index = bisect.bisect_right(ranges, (seq, math.inf)) - 1
        if index >= 0 and seq <= ranges[index][1]:
            fresh.setdefault(index, set()).add(seq)
    told = sorted(fresh)[:MAX_ALSO]
    rest = {seq for index in sorted(fresh)[MAX_ALSO:] for seq in fresh[index]}
    others = (index for index in range(len(ranges)) if index not in fresh)
    told += itertools.islice(others, MAX_ALSO - len(told))
    return [ranges[index] for index in sorted(told)], rest
