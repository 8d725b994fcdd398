"""Promise 6: thirty days without network, ten channels every ten seconds, in virtual time on a real journal."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.acker import Acker
from support.month import CHANNELS, TICKS, fill
from support.servers import Mosquitto
from support.stations import SocketClient, agent_process, reading, resident_mb, write_config

from hinomi.journal.sqlite import SqliteJournal

LIMIT_BYTES = 250_000_000


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
                started, at = time.monotonic(), time.time_ns() // 1_000_000
                client.push(reading("live", value=float(number), measured_at=at))
                cloud.wait(lambda acker, at=at: ("town/bridge/live/pm2_5", at) in acker.values)
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


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_all_of_it_arrives(alone: Path, broker: Mosquitto) -> None:
    with Acker(broker.port, every_s=1.0) as cloud:
        started = time.monotonic()
        with agent_process(write_config(alone.parent, broker.port)):
            cloud.wait(lambda acker: acker.readings >= TICKS * len(CHANNELS), 2900)
        print(f"drained in {time.monotonic() - started:.0f} s")
        assert not cloud.conflicts
