"""The whole service in one loop, with a real broker: what it does, and that nothing of it blocks the loop."""

import asyncio
import json
import random
from pathlib import Path

import aiohttp
import pytest
from support.blocking import no_blocking_calls
from support.servers import Influx

from cloud.config import load_config
from cloud.db import Database
from cloud.fleet.registry import Registry
from cloud.service import run
from firmware_sim.fleet.fleet import Fleet
from firmware_sim.fleet.link import Broker
from firmware_sim.fleet.station import DatastreamPlan, StationPlan, Wire
from firmware_sim.signals.synthetic import Constant
from hinomi.clock import SystemClock
from sensing.station import StationRecord
from sensing.topic import StationId

CONFIG = """
[broker]
port = {port}
[journal]
path = "arrival.db"
[database]
url = "sqlite:///{folder}/hinomi.db"
[store]
type = "sqlite"
path = "readings.db"
[http]
port = 0
"""
STATIONS = [f"town/s{number}" for number in range(5)]


@pytest.fixture
def config(tmp_path: Path, mosquitto):
    path = tmp_path / "cloud.toml"
    path.write_text(CONFIG.format(port=mosquitto.port, folder=tmp_path))
    database = Database(f"sqlite:///{tmp_path}/hinomi.db")
    registry = Registry(database)
    for station in STATIONS:
        registry.add(StationRecord(id=StationId.parse(station)), None, 1)
    database.close()
    return load_config(path)


@pytest.fixture
def influx_config(config, tmp_path: Path):
    """The same service on an InfluxDB of its own, that the test may kill."""
    server = Influx(tmp_path / "influx")
    server.start()
    path = tmp_path / "cloud.toml"
    text = path.read_text().replace(
        'type = "sqlite"\npath = "readings.db"', f'type = "influx1"\nurl = "{server.url}"'
    )
    path.write_text(text)
    yield server, path
    server.kill()


def fleet(port: int, log: Path) -> Fleet:
    plans = [
        StationPlan(station, (DatastreamPlan("air", "temperature", 0.2, Constant(21.5)),)) for station in STATIONS
    ]
    return Fleet(
        plans,
        Wire(Broker("127.0.0.1", port)),
        log,
        clock=SystemClock(),
        pace=SystemClock(),
        rng=random.Random(1),
    )


async def playing(config, port: int, log: Path) -> tuple[int, dict]:
    """Run service and fleet together for two seconds; returns what was accepted and the page's meter."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    service = asyncio.create_task(run(config, ready.set_result))
    done, _ = await asyncio.wait({service, ready}, return_when=asyncio.FIRST_COMPLETED)
    assert ready in done, service
    address = ready.result().removeprefix("ready ")
    async with fleet(port, log) as stations, aiohttp.ClientSession() as session:
        with no_blocking_calls():
            sending = asyncio.create_task(stations.run())
            await asyncio.sleep(2)
            assert await stations.drained(10)
            sending.cancel()
            await asyncio.wait([sending])
            accepted, meter = stations.totals().accepted, {}
            while meter.get("stored") != accepted:
                async with session.get(f"{address}/api/live.json") as answer:
                    meter = json.loads(await answer.text())["meters"]["town"]
            for path, words in (("/healthz", '"ok":true'), ("/metrics", "hinomi_ingest_readings_total")):
                async with session.get(address + path) as answer:
                    assert words in await answer.text()
        service.cancel()
        await asyncio.wait([service])
    assert service.cancelled(), service.exception()
    return accepted, meter


async def test_readings_reach_the_page_and_nothing_blocks_the_loop(config, mosquitto, tmp_path):
    async with asyncio.timeout(60):
        accepted, meter = await playing(config, mosquitto.port, tmp_path / "fleet.log")
    assert accepted > 20
    assert (meter["accepted"], meter["stored"], meter["lost"]) == (accepted, accepted, 0)


async def test_the_page_says_that_the_store_is_away_while_nothing_can_be_written(config, tmp_path, influx_config):
    """Readings are then shown from memory, which must not look like a store that works."""
    server, path = influx_config
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        service = asyncio.create_task(run(load_config(path), ready.set_result))
        await asyncio.wait({service, ready}, return_when=asyncio.FIRST_COMPLETED)
        address = ready.result().removeprefix("ready ")

        async def away() -> bool:
            async with session.get(f"{address}/api/live.json") as answer:
                return json.loads(await answer.text())["store_away"]

        async with fleet(load_config(path).broker.real_port, tmp_path / "fleet.log") as stations:
            sending = asyncio.create_task(stations.run())
            while not stations.totals().acked:
                await asyncio.sleep(0.1)
            assert not await away()
            server.kill()
            while not await away():
                await asyncio.sleep(0.2)
            server.start()
            while await away():
                await asyncio.sleep(0.2)
            sending.cancel()
            await asyncio.wait([sending])
        service.cancel()
        await asyncio.wait([service])
