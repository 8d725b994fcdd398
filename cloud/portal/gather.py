"""From registry, store and loss meter to what the page shows; asked once a second, however many are watching."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from cloud.fleet.registry import Presence
from cloud.ingest.loss import StationLoss
from cloud.portal.spark import draw, window
from cloud.portal.view import DEFAULT_INTERVAL_S, Community, Row, Station, View, is_stale, meter, paged, shown
from cloud.store.protocol import Bucket, Latest
from hinomi.clock import Clock, ScaledClock
from hinomi.errors import Rejected, Transient
from sensing.observation import Datastream
from sensing.quantity import QUANTITIES
from sensing.station import StationRecord
from sensing.topic import StationId

PAGE_STATIONS = 48
# Watchers share an answer of this age (s, real time).
FRESH_S = 1.0
# A store that hangs must not hang the page: all its answers together get so long (s).
PATIENCE_S = 5.0
_SERIES_AT_ONCE = 4


class Registry(Protocol):
    """What the page asks of ``cloud.fleet.registry.Registry``."""

    def get(self, station: StationId) -> StationRecord | None:
        """A station's record."""
        ...

    def stations(self, community: str | None = None) -> list[StationRecord]:
        """All records."""
        ...

    def presence(self, station: StationId) -> Presence | None:
        """What its status said last."""
        ...


class Store(Protocol):
    """What the page asks of a store: public readings only."""

    async def latest(self, community: str) -> list[Latest]:
        """The newest of each datastream."""
        ...

    async def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        """Buckets."""
        ...


class Losses(Protocol):
    """What the page asks of ``cloud.ingest.loss.LossMeter``."""

    def rows(self, community: str) -> list[StationLoss]:
        """One row a station."""
        ...

    def communities(self) -> list[str]:
        """Every community that has a row."""
        ...


class Gatherer:
    """Makes ``View``s.

    Args:
        registry: who there is.
        store: what was measured.
        loss: where every reading is.
        clock: the measuring clock.
        pace: real time.
        refusing: whether the store takes nothing at present; what it answers may then come from memory.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        store: Store,
        loss: Losses,
        clock: Clock,
        pace: Clock,
        refusing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._refusing = refusing
        self._registry = registry
        self._store = store
        self._loss = loss
        self._clock = clock
        self._pace = pace
        self._views: dict[int, tuple[float, View]] = {}
        self._lock = asyncio.Lock()
        self._series = asyncio.Semaphore(_SERIES_AT_ONCE)

    async def view(self, page: int = 1) -> View:
        """The page ``page`` as it was at most ``FRESH_S`` ago."""
        async with self._lock:
            known = self._views.get(page)
            if known is None or self._pace.monotonic() - known[0] >= FRESH_S:
                view = await self._gather(page)
                known = (self._pace.monotonic(), view)
                # Whatever page was asked for, few are kept.
                if len(self._views) > 16:
                    self._views.clear()
                self._views[page] = known
            return known[1]

    async def _gather(self, page: int) -> View:
        records = {record.id for record in self._registry.stations()}
        names = sorted({record.community for record in records} | set(self._loss.communities()))
        losses = {name: self._loss.rows(name) for name in names}
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        newest, away = await self._newest(names, deadline)
        away = away or self._refusing()
        stations = sorted(records | newest.keys())
        here, page, pages = paged(stations, page, PAGE_STATIONS)
        drawn = await asyncio.gather(*(self._station(one, newest.get(one, ()), deadline) for one in here))
        communities = tuple(
            Community(name, meter(rows), tuple(one for one in drawn if one.id.community == name))
            for name, rows in losses.items()
        )
        total = meter(row for rows in losses.values() for row in rows)
        return View(self._clock.now(), self._speed, total, communities, away, len(stations), page, pages)

    async def _newest(
        self, communities: Sequence[str], deadline: float
    ) -> tuple[dict[StationId, list[Latest]], bool]:
        """What is known, and whether the store failed to answer."""
        found: dict[StationId, list[Latest]] = {}
        try:
            async with asyncio.timeout_at(deadline):
                for name in communities:
                    found |= shown(await self._store.latest(name))
        except (Transient, Rejected, TimeoutError):
            return found, True
        return found, False

    async def _station(self, station: StationId, newest: Sequence[Latest], deadline: float) -> Station:
        record = self._registry.get(station)
        presence = self._registry.presence(station)
        rows = await asyncio.gather(*(self._row(one, _interval(one, presence, record), deadline) for one in newest))
        return Station(
            station,
            record.name if record else "",
            record.romaji if record else "",
            None if presence is None else presence.online,
            tuple(rows),
        )

    async def _row(self, newest: Latest, interval_s: float, deadline: float) -> Row:
        stream = newest.datastream
        quantity = QUANTITIES[stream.quantity]
        now = self._clock.now()
        part = window(max(now, newest.measured_at), interval_s)
        buckets: list[Bucket] = []
        try:
            async with asyncio.timeout_at(deadline), self._series:
                buckets = await self._store.series(stream, part.start, part.end, part.step)
        except (Transient, Rejected, TimeoutError):
            pass  # the value stands without its past
        age_ms = now - newest.measured_at
        return Row(
            datastream=stream,
            quantity=quantity,
            interval_s=interval_s,
            newest=newest,
            age_ms=age_ms,
            stale=is_stale(age_ms, interval_s, self._speed),
            spark=draw(buckets, part, quantity, interval_s),
            span_s=part.seconds,
        )

    @property
    def _speed(self) -> float:
        return self._clock.speed if isinstance(self._clock, ScaledClock) else 1.0


def _interval(newest: Latest, presence: Presence | None, record: StationRecord | None) -> float:
    """As the station said last, else as it is registered, else a guess."""
    stream = newest.datastream
    for info in presence.datastreams if presence else ():
        if (info.sensor, info.quantity) == (stream.sensor, stream.quantity):
            return info.interval_s
    known = record.interval_s(stream.sensor, stream.quantity) if record else None
    return known or DEFAULT_INTERVAL_S
