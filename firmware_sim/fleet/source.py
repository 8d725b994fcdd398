"""When the stations of a fleet measure: each at its intervals, or all together at a rate for a bench."""

import heapq
import random
from collections.abc import Sequence
from typing import Protocol

from firmware_sim.fleet.station import DatastreamPlan, LightStation
from hinomi.clock import Clock

_BATCH = 2000
"""Beats measured in one go; then others have their turn."""
_LATE_BEATS = 20
"""A fleet that cannot keep up leaves out beats rather than falling behind for ever; they are counted."""
_TICK_S = 0.01


class Source(Protocol):
    """What makes stations measure.

    Attributes:
        skipped: readings that were due and not taken, because this machine is too slow.
    """

    skipped: int

    async def measured(self) -> list[LightStation]:
        """Wait until something is due, measure it, and say at which stations."""
        ...


class Beats:
    """Each datastream at its interval of the measurement clock, in a phase of its own."""

    def __init__(self, stations: Sequence[LightStation], clock: Clock, rng: random.Random) -> None:
        self.skipped = 0
        self._clock = clock
        now = clock.now()
        # (due ms, tie-breaker, interval ms, station, what it then measures)
        self._heap: list[tuple[int, int, int, LightStation, tuple[DatastreamPlan, ...]]] = []
        for station in stations:
            for interval, group in station.beats():
                due = now + int(rng.random() * interval)
                self._heap.append((due, len(self._heap), interval, station, group))
        heapq.heapify(self._heap)

    async def measured(self) -> list[LightStation]:
        """Wait for the next beat and measure all that are due."""
        if not self._heap:
            await self._clock.sleep(3600.0)
            return []
        await self._clock.sleep((self._heap[0][0] - self._clock.now()) / 1000)
        now = self._clock.now()
        touched: dict[LightStation, None] = {}
        for _ in range(_BATCH):
            due, order, interval, station, group = self._heap[0]
            if due > now:
                break
            late = (now - due) // interval
            if late > _LATE_BEATS:
                self.skipped += late * len(group)
                due += late * interval
            station.measure(group, due)
            touched[station] = None
            heapq.heapreplace(self._heap, (due + interval, order, interval, station, group))
        return list(touched)


class Load:
    """As many readings a second as asked for, in whole packs, station after station; the clock must be real.

    The times of a pack lie evenly between the station's last one and now, so the newest is as old as its pack.
    """

    def __init__(self, stations: Sequence[LightStation], clock: Clock, *, rate: float, size: int) -> None:
        self.skipped = 0
        self._stations = stations
        self._clock = clock
        self._rate = rate
        self._size = size
        self._begun = clock.monotonic()
        self._made = 0
        self._next = 0
        begun_ms = clock.now() - max(1, round(len(stations) * size / rate * 1000))
        self._last = [max(begun_ms, station.readings.newest) for station in stations]

    async def measured(self) -> list[LightStation]:
        """Wait a moment and measure what is then owed."""
        await self._clock.sleep(_TICK_S)
        owed = int((self._clock.monotonic() - self._begun) * self._rate) - self._made
        packs = owed // self._size
        if packs > _BATCH:
            self.skipped += (packs - _BATCH) * self._size
            self._made += (packs - _BATCH) * self._size
            packs = _BATCH
        touched: dict[LightStation, None] = {}
        for _ in range(packs):
            place = self._next % len(self._stations)
            if self._fill(place):
                self._made += self._size
                touched[self._stations[place]] = None
            self._next += 1
        return list(touched)

    def _fill(self, place: int) -> bool:
        """Measure one pack at a station, unless its last one is so young that two would have the same time."""
        station, last, now = self._stations[place], self._last[place], self._clock.now()
        datastreams = station.plan.datastreams
        turn = self._next // len(self._stations)
        points = -(-self._size // len(datastreams))
        if now - last < points:
            return False
        for index in range(self._size):
            at_ms = last + (now - last) * (index // len(datastreams) + 1) // points
            station.measure((datastreams[(turn + index) % len(datastreams)],), at_ms)
        self._last[place] = now
        return True
