"""The whole service in one loop, with a real broker: what it does, and that nothing of it blocks the loop."""

import asyncio
import json
import random
from pathlib import Path

import aiohttp
import pytest
from support.blocking import no_blocking_calls

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
