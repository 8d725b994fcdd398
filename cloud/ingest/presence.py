"""What stations say of themselves on ``status``: kept for people, and for the intervals of their datastreams."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from cloud.fleet.registry import Presence
from cloud.ingest.metrics import Counters
from hinomi.clock import Clock
from hinomi.errors import Transient
from sensing.station import DatastreamInfo
from sensing.topic import StationId

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
MAX_DATASTREAMS = 512
RETRY_S = 1.0


class Seen(Protocol):
    """The part of the registry that is needed here."""

    def presence(self, station: StationId) -> Presence | None:
        """What the station's status said last."""
        ...

    async def seen_status(self, station: StationId, presence: Presence) -> None:
        """Keep a status."""
        ...


class Statuses:
    """Statuses on their way to the registry, the last one of each station.

    ``announced`` is told when the intervals of a station may have changed.

    They are acknowledged at once: the broker retains them and hands them out again at the next subscription.
    """

    def __init__(
        self,
        registry: Seen,
        announced: Callable[[StationId], None],
        counters: Counters,
        *,
        clock: Clock,
        pace: Clock,
    ) -> None:
        self._registry = registry
        self._announced = announced
        self._counters = counters
        self._clock = clock
        self._pace = pace
        self._waiting: dict[StationId, Presence] = {}
        self._wake = asyncio.Event()

    def take(self, station: StationId, body: bytes) -> None:
        """One message of the ``status`` leaf; what cannot be read is counted."""
        self._counters.statuses += 1
        presence = parse(body, self._clock.now())
        if presence is None:
            self._counters.turned_away["bad_status"] += 1
            return
        self._waiting[station] = presence
        self._wake.set()

    async def run(self) -> None:
        """Hand them to the registry until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                station, presence = self._waiting.popitem()
                try:
                    await self._keep(station, presence)
                except Transient as error:
                    log.warning("status of %s: %s", station, error)
                    self._waiting.setdefault(station, presence)
                    await self._pace.sleep(RETRY_S)

    async def _keep(self, station: StationId, presence: Presence) -> None:
        known = self._registry.presence(station)
        # The broker repeats its retained messages; writing each again would cost a transaction a station.
        if known is None or (known.online, known.body) != (presence.online, presence.body):
            await self._registry.seen_status(station, presence)
            self._announced(station)


def parse(body: bytes, now: int) -> Presence | None:
    """A status as it travels; datastreams that make no sense are left out; None when it is none at all."""
    if len(body) > MAX_BODY:
        return None
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not isinstance(fields, dict) or fields.get("status") not in {"online", "offline"}:
        return None
    listed = fields.pop("datastreams", [])
    found = [_datastream(one) for one in listed[:MAX_DATASTREAMS]] if isinstance(listed, list) else []
    datastreams = tuple(one for one in found if one is not None)
    return Presence(fields["status"] == "online", now, fields, datastreams)


def _datastream(fields: Any) -> DatastreamInfo | None:
    try:
        return msgspec.convert(fields, DatastreamInfo)
    except (msgspec.ValidationError, ValueError):
        return None
