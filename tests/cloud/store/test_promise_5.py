"""Promise 5, of readings: InfluxDB killed under load and away for a day; nothing is lost and nothing counts twice.

The arrival journal, the feed, the writer and InfluxDB are the real ones; packs enter where the link hands them
over. The oracle is a file, flushed to the disk beside the generator before a pack counts as taken, and compared
with InfluxDB after another restart of it.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest
from support.flow import READINGS, Generator, cloud, compare, drained, losses
from support.journals import seed_of_run
from support.observations import HOUR
from support.servers import Influx

from cloud.store.writer import BATCH


@pytest.fixture
def server(tmp_path) -> Iterator[Influx]:
    server = Influx(tmp_path / "influx")
    server.start()
    yield server
    server.kill()


async def test_influxdb_killed_and_stopped_under_load_loses_nothing(tmp_path, server):
    await killed_and_stopped(tmp_path, server, seed_of_run(5), rounds=6)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
async def test_many_rounds_of_kills(tmp_path, server, seed):
    await killed_and_stopped(tmp_path, server, seed, rounds=20)


async def killed_and_stopped(tmp_path: Path, server: Influx, seed: int, rounds: int) -> None:
    rng = Random(seed)
    oracle = tmp_path / "oracle"
    async with cloud(tmp_path, server, seed) as (ingest, writer):
        generator = Generator(ingest, oracle, time.time_ns() // 1_000_000 - 4 * HOUR)
        load = asyncio.create_task(generator.live(40))
        for round_ in range(rounds):
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
