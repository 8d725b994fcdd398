"""Promise 5, of readings: InfluxDB killed under load and away for a day; nothing is lost and nothing counts twice.

The arrival journal, the feed, the writer and InfluxDB are the real ones; packs enter where the link hands them
over. The oracle is a file, flushed to the disk beside the generator before a pack counts as taken, and compared
with InfluxDB after another restart of it.
"""

import asyncio
import gc
import json
import os
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import psutil
import pytest
from support.ingest import FakeRegistry, header, item, pack, running_ingest
from support.journals import open_sqlite, seed_of_run
from support.observations import HOUR
from support.servers import Influx, http_get

from cloud.ingest.ingest import Ingest, Settings
from cloud.ingest.limits import LimitsSection
from cloud.store import influx1
from cloud.store.writer import BATCH, Writer
from hinomi.clock import SystemClock
from sensing import series
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
        self.readings = 0

    async def send(self, station: StationId) -> None:
        seq = self._seqs[station] = self._seqs[station] + 1
        first = self._start + seq * READINGS * 1000
        items = [item(i / 7 + seq, at=first + i * 1000, station=station) for i in range(READINGS)]
        os.write(self._oracle, "".join(f"{station} {one.measured_at} {one.value!r}\n" for one in items).encode())
        os.fsync(self._oracle)
        self.readings += READINGS
        head = header(seq, accepted=seq * READINGS, stream=f"stream-{station.community}-{station.station}")
        taken = self._ingest.accept.receive(station.topic("obs"), pack(head, *items), {})
        assert taken is not None
        assert await taken

    async def live(self, packs_per_s: float) -> None:
        for number in range(10**9):
            await self.send(STATIONS[number % len(STATIONS)])
            await asyncio.sleep(1 / packs_per_s)

    async def a_day_at_once(self, packs: int) -> None:
        for first in range(0, packs, 30):
            await asyncio.gather(*(self.send(STATIONS[n % len(STATIONS)]) for n in range(first, first + 30)))


@pytest.fixture
def server(tmp_path) -> Iterator[Influx]:
    server = Influx(tmp_path / "influx")
    server.start()
    yield server
    server.kill()


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


async def test_influxdb_killed_and_stopped_under_load_loses_nothing(tmp_path, server):
    seed = seed_of_run(5)
    rng = Random(seed)
    oracle = tmp_path / "oracle"
    async with cloud(tmp_path, server, seed) as (ingest, writer):
        generator = Generator(ingest, oracle, time.time_ns() // 1_000_000 - 4 * HOUR)
        load = asyncio.create_task(generator.live(40))
        for round_ in range(6):
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            await asyncio.to_thread(server.stop if round_ % 3 == 2 else server.kill)
            await asyncio.sleep(rng.uniform(0.0, 0.4))
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
        await drained(ingest, 30)
        assert writer.retries > 0, "the faults did not bite"
        assert writer.problem is None
        rows = losses(ingest)
        assert sum(row.stored for row in rows) == sum(row.accepted for row in rows) == generator.readings
        assert all(row.unaccounted == row.quarantined == row.pending_station == 0 for row in rows)
    assert compare(oracle, server) == generator.readings


async def test_after_a_day_away_it_catches_up_ten_times_as_fast_as_live_in_bounded_memory(tmp_path, server):
    seed = seed_of_run(6)
    oracle = tmp_path / "oracle"
    async with cloud(tmp_path, server, seed) as (ingest, writer):
        generator = Generator(ingest, oracle, time.time_ns() // 1_000_000 - 40 * HOUR)
        await generator.a_day_at_once(150)
        await drained(ingest, 30)
        process = psutil.Process()
        server.kill()
        gc.collect()
        before = process.memory_info().rss
        await generator.a_day_at_once(1500)
        backlog = sum(row.pending_journal for row in losses(ingest))
        assert backlog == 1500 * READINGS
        packs_per_s = 20
        load = asyncio.create_task(generator.live(packs_per_s))
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(40):
            while writer.written <= 150 * READINGS:  # its patience may still run
                await asyncio.sleep(0.005)
        began, written = time.monotonic(), writer.written
        peak = 0
        async with asyncio.timeout(60):
            while ingest.feed.behind("store") > packs_per_s:
                peak = max(peak, process.memory_info().rss)
                await asyncio.sleep(0.01)
        rate = (writer.written - written) / (time.monotonic() - began)
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
        await drained(ingest, 30)
        live = packs_per_s * READINGS
        print(f"live {live}/s, caught up at {rate:.0f}/s; memory grew by {(peak - before) / 2**20:.1f} MiB")
        assert rate >= 10 * live
        # The cache of decoded packs and one batch, however long the store was away.
        assert peak - before < 64 << 20
        assert backlog > 15 * BATCH
    assert compare(oracle, server) == generator.readings
