"""From the link's hand-over to InfluxDB with everything between as it is: for faults of the store under load."""

import asyncio
import json
import os
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from support.ingest import FakeRegistry, header, item, pack, running_ingest
from support.journals import open_sqlite
from support.observations import HOUR
from support.servers import Influx, http_get

from cloud.ingest.ingest import Ingest, Settings
from cloud.ingest.limits import LimitsSection
from cloud.store import influx1
from cloud.store.writer import Writer
from hinomi.clock import SystemClock
from sensing import series
from sensing.senml import Item
from sensing.topic import StationId

STATIONS = [StationId("town", "bridge"), StationId("town", "school"), StationId("village", "bridge")]
READINGS = 60


class Generator:
    """Stations that measure; each pack is in the oracle, on the disk, before the cloud says that it has it."""

    def __init__(self, ingest: Ingest, oracle: Path, start: int) -> None:
        self._ingest = ingest
        self._oracle = os.open(oracle, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._start = start
        self._seqs = dict.fromkeys(STATIONS, 0)
        self._accepted = dict.fromkeys(STATIONS, 0)
        self.readings = 0

    async def send(self, station: StationId, *more: Item) -> None:
        seq = self._seqs[station] = self._seqs[station] + 1
        first = self._start + seq * READINGS * 1000
        items = [item(i / 7 + seq, at=first + i * 1000, station=station) for i in range(READINGS)]
        os.write(self._oracle, "".join(f"{station} {one.measured_at} {one.value!r}\n" for one in items).encode())
        os.fsync(self._oracle)
        self.readings += READINGS + len(more)
        self._accepted[station] += READINGS + len(more)
        head = header(seq, accepted=self._accepted[station], stream=f"stream-{station.community}-{station.station}")
        taken = self._ingest.accept.receive(station.topic("obs"), pack(head, *items, *more), {})
        assert taken is not None
        assert await taken

    async def live(self, packs_per_s: float) -> None:
        for number in range(10**9):
            await self.send(STATIONS[number % len(STATIONS)])
            await asyncio.sleep(1 / packs_per_s)

    async def a_day_at_once(self, packs: int) -> None:
        for first in range(0, packs, 30):
            await asyncio.gather(*(self.send(STATIONS[n % len(STATIONS)]) for n in range(first, first + 30)))


@asynccontextmanager
async def cloud(folder: Path, server: Influx, seed: int) -> AsyncIterator[tuple[Ingest, Writer]]:
    journal = open_sqlite(folder / "arrival.db", cap_bytes=1 << 30)
    clock = SystemClock()
    settings = Settings(limits=LimitsSection(readings_per_s=0), ahead_ms=48 * HOUR)
    registry = FakeRegistry(*STATIONS)
    try:
        async with running_ingest(journal, clock=clock, registry=registry, settings=settings) as ingest:
            store = await influx1.Config(type="influx1", url=server.url).open(clock)
            writer = Writer(ingest.feed, store, pace=clock, random=Random(seed))
            task = asyncio.create_task(writer.run())
            try:
                yield ingest, writer
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await store.close()
    finally:
        journal.close()


async def drained(ingest: Ingest, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while ingest.feed.behind("store") or sum(row.pending_journal for row in losses(ingest)):
            await asyncio.sleep(0.01)


def losses(ingest: Ingest) -> list:
    return [row for community in ingest.loss.communities() for row in ingest.loss.rows(community)]


def stored_in(server: Influx) -> dict[str, float]:
    """Every row of every community, by "community/station time"."""
    found: dict[str, float] = {}
    for community in {station.community for station in STATIONS}:
        query = "SELECT value FROM water_level GROUP BY station"
        form = urllib.parse.urlencode({"db": series.database(community), "q": query, "epoch": "ms"})
        answer = json.loads(http_get(f"{server.url}/query?{form}", timeout=60))
        for one in answer["results"][0].get("series", []):
            station = f"{community}/{one['tags']['station']}"
            for at, value in one["values"]:
                assert f"{station} {at}" not in found, "counted twice"
                found[f"{station} {at}"] = value
    return found


def compare(oracle: Path, server: Influx) -> int:
    expected = {}
    for line in oracle.read_text().splitlines():
        station, at, value = line.split()
        expected[f"{station} {at}"] = float(value)
    server.stop()
    server.start()
    found = stored_in(server)
    lost = expected.keys() - found.keys()
    assert not lost, f"{len(lost)} of {len(expected)} lost"
    assert found == expected
    return len(expected)
