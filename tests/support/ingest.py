"""Stations made of labels and numbers, for tests of ingest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloud.fleet.registry import Presence
from cloud.ingest.ingest import Ingest, Settings
from hinomi.clock import Clock
from hinomi.disk import Disk
from hinomi.journal.protocol import Journal
from sensing.observation import ClockQuality, Kind
from sensing.senml import Header, Item, Pack, encode
from sensing.station import StationRecord
from sensing.topic import StationId

BRIDGE = StationId("town", "bridge")
NOW = 1_700_000_000_000


def header(
    seq: int,
    *,
    base: int = 1,
    accepted: int | None = None,
    dropped: int = 0,
    stream: str = "s1",
    kind: Kind = Kind.READING,
    clock: ClockQuality = ClockQuality.SYNCED,
) -> Header:
    return Header(stream, seq, base, seq if accepted is None else accepted, dropped, clock, kind)


def item(
    value: float = 1.5,
    *,
    at: int = NOW,
    sensor: str = "gauge",
    quantity: str = "water_level",
    unit: str | None = "m",
    station: StationId = BRIDGE,
) -> Item:
    return Item(f"{station}/{sensor}/{quantity}", unit, at, value)


def pack(head: Header | None, *items: Item) -> bytes:
    return encode(Pack(head, list(items)))


def tombstone(head: Header, readings: int, station: StationId = BRIDGE) -> bytes:
    return encode(Pack(head, [Item(f"{station}/dropped", None, NOW, float(readings))]))


class FakeRegistry:
    """Everybody of ``town`` is registered; statuses are remembered."""

    def __init__(self, *stations: StationId) -> None:
        self._stations = {station: StationRecord(station) for station in stations or (BRIDGE,)}
        self.seen: dict[StationId, Presence] = {}

    def get(self, station: StationId) -> StationRecord | None:
        return self._stations.get(station)

    def presence(self, station: StationId) -> Presence | None:
        return self.seen.get(station)

    async def seen_status(self, station: StationId, presence: Presence) -> None:
        self.seen[station] = presence


class Outbox:
    """A publisher that keeps the last of each topic."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.up = True

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        assert retain
        if self.up:
            self.sent.append((topic, payload))
        return self.up


@asynccontextmanager
async def running_ingest(
    journal: Journal,
    *,
    clock: Clock,
    registry: FakeRegistry | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Ingest]:
    """Ingest on a journal, without a broker; the journal stays open."""
    async with Disk() as disk:
        ingest = Ingest(
            journal,
            disk,
            registry or FakeRegistry(),  # type: ignore[arg-type]
            settings or Settings(),
            clock=clock,
            pace=clock,
        )
        await ingest.load()
        task = asyncio.create_task(ingest.run())
        try:
            yield ingest
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
