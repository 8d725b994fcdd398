"""Promise 6: thirty days without network, ten channels every ten seconds, in virtual time on a real journal."""

import itertools
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.acker import Acker
from support.clock import ManualClock
from support.servers import Mosquitto
from support.stations import SocketClient, agent_process, reading, write_config

from edge.clock import StationClock
from edge.collect import NOTE_CLOCK
from edge.group import Group
from hinomi.journal.protocol import Entry
from hinomi.journal.sqlite import SqliteJournal
from sensing.observation import Kind, Reading

DAYS = 30
EVERY_S = 10
TICKS = DAYS * 86_400 // EVERY_S
CHANNELS = (
    ("gauge", "water_level", 1.2, 0.001),
    ("gauge", "battery_voltage", 12.6, 0.01),
    ("weather", "temperature", 18.0, 0.01),
    ("weather", "humidity", 60.0, 0.01),
    ("weather", "pressure", 1008.0, 0.01),
    ("rain", "rain_increment", 0.0, 0.2),
    ("air", "pm2_5", 12.0, 0.1),
    ("air", "pm10", 20.0, 0.1),
    ("room", "co2", 600.0, 1.0),
    ("pi", "cpu_temperature", 48.0, 0.1),
)
LIMIT_BYTES = 250_000_000


def month(clock: ManualClock, station: StationClock, rng: random.Random) -> Iterator[Entry]:
    """One group, as the collector makes it, every ten seconds."""
    values = [start for _, _, start, _ in CHANNELS]
    for tick in range(TICKS):
        group = Group()
        readings = group.sampled.setdefault((Kind.READING, station.setting.number), [])
        tide = math.sin(tick / 1400)
        for index, (sensor, quantity, start, resolution) in enumerate(CHANNELS):
            values[index] += resolution * rng.choice((-2, -1, 0, 0, 0, 1, 2)) - 0.001 * (values[index] - start)
            value = round(round((values[index] + tide * 20 * resolution) / resolution) * resolution, 4)
            readings.append(Reading(sensor, quantity, station.stamp(sensor, quantity), value))
        yield from group.entries()
        clock.tick(EVERY_S)


def fill(path: Path) -> SqliteJournal:
    """The journal of a station that was alone for a month; its last reading is of just now."""
    clock = ManualClock(time.time_ns() // 1_000_000 - TICKS * EVERY_S * 1000)
    station = StationClock(clock, boot="a-month-ago", synced=lambda: True, saved=[], known_ms=0)
    journal = SqliteJournal.open(path, cap_bytes=200_000_000, new_stream=lambda: "month")
    journal.append([], notes={NOTE_CLOCK: msgspec.json.encode(station.dump())})
    entries = month(clock, station, random.Random(6))
    while chunk := list(itertools.islice(entries, 2000)):
        journal.append(chunk)
    return journal


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("month") / "edge.db"
    fill(path).close()
    return path


@pytest.fixture
def broker(alone: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(alone.parent / "mosquitto")
    broker.start()
    yield broker
    broker.kill()


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def test_a_month_fits(alone: Path) -> None:
    stats = SqliteJournal.peek(alone)
    per_reading = stats.file_bytes / stats.accepted_readings
    print(f"{stats.file_bytes / 1e6:.1f} MB, {per_reading:.1f} bytes a reading")
    assert stats.accepted_readings == stats.pending_readings == TICKS * len(CHANNELS)
    assert stats.dropped_readings == 0
    assert stats.file_bytes < LIMIT_BYTES


def test_while_it_drains_fresh_readings_go_first(alone: Path, broker: Mosquitto) -> None:
    config = write_config(alone.parent, broker.port)
    client = SocketClient(alone.parent / "in.sock")
    try:
        with Acker(broker.port, every_s=0.2) as cloud, agent_process(config) as agent:
            client.wait_until_there()
            cloud.wait(lambda acker: len(acker.packs) > 500)
            first = [pack.header.seq for pack in list(cloud.packs.values())[:64] if pack.header]
            assert min(first) <= 32
            assert max(first) >= TICKS - 32
            waits = []
            for number in range(10):
                started = time.monotonic()
                client.push(reading("live", value=float(number)))
                cloud.wait(lambda acker, number=number: ("town/bridge/live/pm2_5", float(number)) in live(acker))
                waits.append(time.monotonic() - started)
            assert resident_mb(agent.pid) < 60
            totals = client.totals()
            assert totals["dropped"] == 0
            assert totals["acked"] + totals["pending"] == totals["accepted"] == TICKS * len(CHANNELS) + 10
            assert totals["pending"] > 1_000_000, "it was still draining"
            agent.stop()
        print(f"live readings arrived after {max(waits):.2f} s at most")
        assert max(waits) < 3.0
        assert not cloud.conflicts
    finally:
        client.close()


def live(cloud: Acker) -> set[tuple[str, float | None]]:
    return {(name, value) for (name, _), value in cloud.values.items() if "/live/" in name}


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_all_of_it_arrives(alone: Path, broker: Mosquitto) -> None:
    with Acker(broker.port, every_s=1.0) as cloud:
        started = time.monotonic()
        with agent_process(write_config(alone.parent, broker.port)):
            cloud.wait(lambda acker: acker.readings >= TICKS * len(CHANNELS), 2900)
        print(f"drained in {time.monotonic() - started:.0f} s")
        assert not cloud.conflicts
