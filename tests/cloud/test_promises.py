"""Promises 4, 7, 8 and 9 on real processes: the cloud killed, the broker overflowing, the disk full, poison."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from paho.mqtt import publish
from support.cloud import ROOT, CloudProcess, rows_of_influx, rows_of_sqlite, write_config
from support.proxy import FaultProxy
from support.senders import Oracle, Sender
from support.servers import Influx, Mosquitto, http_get
from support.small_disk import SmallDisk, small_disk

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
    lost, invented = promised.keys() - stored.keys(), stored.keys() - promised.keys()
    assert (len(lost), len(invented)) == (0, 0), (sorted(lost)[:5], sorted(invented)[:5])
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


async def test_a_full_disk_stops_all_acknowledging_and_ends_by_itself(broker, tmp_path: Path):
    """Another writer fills the disk while the store is away; first the store comes back, then the room."""
    rng = random.Random(seed())
    server = Influx(tmp_path / "influx")
    server.start()
    store = f'type = "influx1"\nurl = "{server.url}"'
    with small_disk(tmp_path, "24m") as disk:
        journal = f'path = "{disk.mount}/arrival.db"'
        config = write_config(tmp_path / "cloud", broker.port, STATIONS, store=store, journal=journal)
        cloud = CloudProcess(config, wrap=disk.inside)
        try:
            cloud.start()
            async with sending(broker.port, tmp_path, rng) as (senders, oracle):
                for sender in senders:
                    sender.resend_s = 3.0  # what comes again takes room again
                await fill_up(cloud, server, senders, disk)
                await asyncio.to_thread(server.start)
                async with asyncio.timeout(20):
                    while cloud.loss()["pending_journal"]:  # it empties itself on the full disk
                        await asyncio.sleep(0.1)
                disk.free()
                await drained(senders)
                await fill_up(cloud, server, senders, disk)
                cloud.kill()
                disk.free()
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(cloud.start)
                await drained(senders)
                loss = await asyncio.to_thread(cloud.wait_stored)
                assert cloud.health()["ok"]
                cloud.stop()
                account(loss, oracle, await asyncio.to_thread(rows_of_influx, server, "hinomi_town"))
        finally:
            cloud.kill()
            server.kill()


async def fill_up(cloud: CloudProcess, server: Influx, senders: list[Sender], disk: SmallDisk) -> None:
    """No store, no room: until the cloud says that it acknowledges nothing."""
    await asyncio.to_thread(cloud.wait_stored)
    await asyncio.to_thread(server.kill)
    for sender in senders:
        sender.produce(100, 300)
    await drained(senders)
    disk.fill()
    async with asyncio.timeout(30):
        while not any("nothing is acknowledged" in problem for problem in cloud.health()["problems"]):
            for sender in senders:
                if sender.pending < 100:
                    sender.produce(20, 300)
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    assert any(sender.pending for sender in senders)


async def test_poison_and_garbage_stop_nothing_and_stand_in_quarantine(broker, tmp_path: Path):
    """1 % garbage, 30 poison messages at once, a point that InfluxDB refuses; the good around them is stored."""
    rng = random.Random(seed())
    server = Influx(tmp_path / "influx")
    server.start()
    store = f'type = "influx1"\nurl = "{server.url}"'
    cloud = CloudProcess(write_config(tmp_path / "cloud", broker.port, STATIONS, store=store))
    try:
        cloud.start()
        influx(server, "CREATE DATABASE hinomi_town")
        await asyncio.to_thread(refuse_snow, server)
        async with sending(broker.port, tmp_path, rng) as (senders, oracle):
            for sender in senders:
                sender.garbage = one_percent_garbage
            before = await throughput(cloud, senders)
            await asyncio.to_thread(poison, broker.port, rng)
            async with asyncio.timeout(5):
                while await throughput(cloud, senders) < before * 0.7:
                    pass
            await drained(senders)
            loss = await asyncio.to_thread(cloud.wait_stored)
            rows = [json.loads(line) for line in quarantine(cloud, "list", "--json").splitlines()]
            code = cloud.stop()
            promised = oracle.read()
            assert influx(server, "SELECT count(value) FROM water_level WHERE sensor = 'gauge'") == len(promised)
            assert code == 0
            assert loss["stored"] == len(promised) + 30
            assert loss["quarantined"] == 30 + 1
            assert loss["unaccounted"] == 0
            reasons = Counter(row["reason"] for row in rows)
            assert reasons["wrong_unit"] == 30
            assert reasons["must_understand"] == 30
            assert reasons["malformed"] > 3
            refused = next(row for row in rows if "field type conflict" in row["detail"])
            assert refused["source"] == "town/s0"
            assert refused["readings"] == 1
    finally:
        cloud.kill()
        server.kill()


def one_percent_garbage(rng: random.Random) -> bytes | None:
    return rng.randbytes(rng.randrange(1, 300)) if rng.random() < 0.01 else None


def influx(server: Influx, query: str) -> int | None:
    text = (
        http_get(f"{server.url}/query?{urlencode({'q': query, 'db': 'hinomi_town'})}") if query[0] == "S" else None
    )
    if text is None:
        body = urlencode({"q": query}).encode()
        urllib.request.urlopen(f"{server.url}/query", body, timeout=10).close()
        return None
    series = json.loads(text)["results"][0].get("series")
    return series[0]["values"][0][1] if series else 0


def refuse_snow(server: Influx) -> None:
    """From now on this InfluxDB takes no number as a snow depth."""
    line = f'snow_depth,community=town,station=other,sensor=x value="deep" {time.time_ns()}'
    urllib.request.urlopen(f"{server.url}/write?db=hinomi_town", line.encode(), timeout=10).close()


async def throughput(cloud: CloudProcess, senders: list[Sender]) -> float:
    """Readings a second that are acknowledged end to end."""
    begun, before = time.monotonic(), sum(sender.acked for sender in senders)
    while time.monotonic() - begun < 2.0:
        for sender in senders:
            if sender.pending < 100:
                sender.produce(10, 2)
        await asyncio.sleep(0.02)
    return (sum(sender.acked for sender in senders) - before) / (time.monotonic() - begun)


def poison(port: int, rng: random.Random) -> None:
    """30 packs that must be understood and are not, 30 with one reading in a wrong unit, one with snow."""
    now = int(time.time()) - 86_000
    payloads = []
    for number in range(30):
        good = {"n": "town/s0/other/water_level", "u": "m", "v": 1.0, "t": now + number}
        bad = {"n": "town/s0/other/water_level", "u": "Cel", "v": 1.0, "t": now + number + 0.5}
        payloads += [json.dumps([good | {"strange_": number}]), json.dumps([good, bad])]
    payloads.append(json.dumps([{"n": "town/s0/snow/snow_depth", "v": 3.0, "t": now}]))
    rng.shuffle(payloads)
    publish.multiple(
        [{"topic": STATIONS[0].topic("obs"), "payload": payload, "qos": 1} for payload in payloads], port=port
    )


def quarantine(cloud: CloudProcess, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hinomi", "cloud", "quarantine", *arguments, "--config", str(cloud.config)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout
