"""Promises 4, 7, 8 and 9 on real processes: the cloud killed, the broker overflowing, the disk full, poison."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.cloud import CloudProcess, rows_of_sqlite, write_config
from support.proxy import FaultProxy
from support.senders import Oracle, Sender
from support.servers import Mosquitto

from sensing.topic import StationId

STATIONS = [StationId("town", f"s{number}") for number in range(4)]
OPEN = "allow_anonymous true\nmax_inflight_messages 500\nmax_queued_messages 100000\nmax_queued_bytes 0\n"


def seed() -> int:
    number = int(os.environ.get("HINOMI_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"HINOMI_SEED={number}")
    return number


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path / "broker", OPEN)
    server.start()
    yield server
    server.kill()


@contextlib.asynccontextmanager
async def sending(port: int, folder: Path, rng: random.Random) -> AsyncIterator[tuple[list[Sender], Oracle]]:
    oracle = Oracle(folder / "oracle.jsonl")
    senders = [Sender(station, port, oracle, random.Random(rng.random())) for station in STATIONS]
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    try:
        yield senders, oracle
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        oracle.close()


async def drained(senders: list[Sender], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while any(sender.pending for sender in senders):
            await asyncio.sleep(0.05)


def account(loss: dict[str, int], oracle: Oracle, stored: dict) -> None:
    """Nothing lost, nothing double, and the meter says so to the reading."""
    promised = oracle.read()
    assert promised.keys() - stored.keys() == set(), "lost"
    assert stored.keys() - promised.keys() == set(), "invented"
    assert stored == promised
    assert loss["accepted"] == len(promised)
    assert loss["stored"] == len(promised), "counted twice or not at all"
    assert loss["unaccounted"] == 0
    assert loss["written_off"] == 0


async def kills(broker: Mosquitto, folder: Path, count: int) -> None:
    rng = random.Random(seed())
    cloud = CloudProcess(write_config(folder / "cloud", broker.port, STATIONS))
    async with sending(broker.port, folder, rng) as (senders, oracle):
        for _ in range(count):
            cloud.spawn()
            if rng.random() < 0.8:
                await asyncio.to_thread(cloud.wait_ready)
            end = time.monotonic() + rng.uniform(0, 0.6)
            while time.monotonic() < end:
                for sender in senders:
                    sender.produce(rng.randrange(1, 6), rng.randrange(1, 4))
                await asyncio.sleep(0.02)
            cloud.kill()
        await asyncio.to_thread(cloud.start)
        await drained(senders)
        loss = await asyncio.to_thread(cloud.wait_stored)
        cloud.stop()
        account(loss, oracle, rows_of_sqlite(folder / "cloud" / "readings.db"))
        assert len(oracle.read()) > count * 20


async def test_nothing_is_lost_or_doubled_when_the_cloud_is_killed_again_and_again(broker, tmp_path: Path):
    await kills(broker, tmp_path, 8)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_nothing_is_lost_or_doubled_in_a_hundred_kills(broker, tmp_path: Path):
    await kills(broker, tmp_path, 100)


async def test_killed_between_commit_and_acknowledgement(broker, tmp_path: Path):
    """The proxy holds every PUBACK and every ack back; the packs are committed, and come again."""
    rng = random.Random(seed())
    with FaultProxy(broker.port) as proxy:
        cloud = CloudProcess(write_config(tmp_path / "cloud", proxy.port, STATIONS))
        async with sending(broker.port, tmp_path, rng) as (senders, oracle):
            for _ in range(3):
                await asyncio.to_thread(cloud.start)
                proxy.stall("up")
                before = cloud.health()["facts"]["arrival_head"]
                for sender in senders:
                    sender.produce(10, 2)
                async with asyncio.timeout(20):
                    while cloud.health()["facts"]["arrival_head"] < before + 40:
                        await asyncio.sleep(0.02)
                assert sum(sender.pending for sender in senders) >= 40, "nobody was told"
                cloud.kill()
                proxy.cut()
                proxy.flow("up")
            await asyncio.to_thread(cloud.start)
            await drained(senders)
            loss = await asyncio.to_thread(cloud.wait_stored)
            resent = cloud.metrics()["hinomi_ingest_resent_total"]
            cloud.stop()
            assert resent >= 40
            account(loss, oracle, rows_of_sqlite(tmp_path / "cloud" / "readings.db"))


async def test_a_broker_whose_queue_overflows_loses_nothing_for_us(tmp_path: Path):
    limit = 500
    broker = Mosquitto(tmp_path / "small", f"allow_anonymous true\nmax_queued_messages {limit}\n")
    broker.start()
    rng = random.Random(seed())
    cloud = CloudProcess(write_config(tmp_path / "cloud", broker.port, STATIONS))
    try:
        cloud.start()
        cloud.stop()  # its session stays, and its queue fills
        async with sending(broker.port, tmp_path, rng) as (senders, oracle):
            for sender in senders:
                sender.produce(3 * limit // len(senders), 1)
            async with asyncio.timeout(60):
                while any(sender.published < 3 * limit // len(senders) for sender in senders):
                    await asyncio.sleep(0.05)
            assert "being dropped for client hinomi-cloud" in broker.log.read_text()
            await asyncio.to_thread(cloud.start)
            await drained(senders, 100)
            loss = await asyncio.to_thread(cloud.wait_stored)
            cloud.stop()
            account(loss, oracle, rows_of_sqlite(tmp_path / "cloud" / "readings.db"))
    finally:
        cloud.kill()
        broker.kill()
