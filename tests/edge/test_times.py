"""Promise 12 through the whole agent: from a reading under a wrong clock to the time that the cloud gets."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.acker import Acker
from support.clock import ManualClock
from support.servers import Mosquitto
from support.stations import SocketClient, agent_here, eventually, reading, write_config

from edge.clock import EPOCH_MS
from sensing.observation import ClockQuality

DAY_MS = 86_400_000
TRUE_MS = EPOCH_MS + 100 * DAY_MS


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Not started: the network comes later."""
    broker = Mosquitto(tmp_path / "mosquitto")
    yield broker
    broker.kill()


class Station:
    """One card in a machine that boots again and again; readings are numbered and their true times remembered."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.config = write_config(folder, broker.port)
        self.config.write_text(self.config.read_text().replace("clock_trusted = true", ""))
        self.client = SocketClient(folder / "in.sock")
        self.true_ms = TRUE_MS
        self.truth: dict[float, int] = {}
        self.boots = 0
        self.synced = False

    def boot(self, wall_ms: int):
        self.boots += 1
        self.synced = False
        self.clock = ManualClock(wall_ms, 20.0)
        self.true_ms += 20_000
        return agent_here(self.config, clock=self.clock, boot=f"boot-{self.boots}", synced=lambda: self.synced)

    def pass_time(self, seconds: int) -> None:
        self.clock.tick(seconds)
        self.true_ms += seconds * 1000

    async def measure(self, count: int, every_s: int) -> list[float]:
        await asyncio.to_thread(self.client.wait_until_there)
        numbers = [float(len(self.truth) + index) for index in range(count)]
        for number in numbers:
            answer = await asyncio.to_thread(self.client.push, reading(value=number))
            assert answer["accepted"] == 1
            self.truth[number] = self.true_ms
            self.pass_time(every_s)
        return numbers

    def sync(self) -> None:
        self.clock.step(self.true_ms - self.clock.now())
        self.synced = True


def times(cloud: Acker) -> dict[float, int]:
    return {value: at for (_, at), value in cloud.values.items() if value is not None}


def qualities(cloud: Acker) -> dict[float, ClockQuality]:
    return {
        record.value: pack.header.clock
        for pack in cloud.packs.values()
        if pack.header is not None
        for record in pack.records
        if record.value is not None and not record.name.endswith("dropped")
    }


@pytest.mark.parametrize("wall_ms", [0, TRUE_MS - 3 * DAY_MS, TRUE_MS + 3 * DAY_MS], ids=["1970", "-3 d", "+3 d"])
async def test_a_sync_after_six_hours_corrects_what_was_measured_before(
    tmp_path: Path, broker: Mosquitto, wall_ms: int
) -> None:
    station = Station(tmp_path, broker)
    async with station.boot(wall_ms):
        early = await station.measure(12, every_s=1800)
        station.sync()
        late = await station.measure(3, every_s=10)
        broker.start()
        with Acker(broker.port) as cloud:
            await eventually(lambda: cloud.readings == 15)
        station.client.close()
    arrived = times(cloud)
    assert all(abs(arrived[number] - true) < 1000 for number, true in station.truth.items())
    assert [arrived[number] for number in early + late] == sorted(arrived.values())
    assert {qualities(cloud)[number] for number in early} == {ClockQuality.CORRECTED}
    assert {qualities(cloud)[number] for number in late} == {ClockQuality.SYNCED}


async def test_a_boot_that_never_learnt_the_time_is_flagged_and_shares_no_key(
    tmp_path: Path, broker: Mosquitto
) -> None:
    station = Station(tmp_path, broker)
    async with station.boot(TRUE_MS):
        station.sync()
        known = await station.measure(5, every_s=60)
        station.client.close()
    async with station.boot(0):
        blind = await station.measure(5, every_s=60)
        station.client.close()
    async with station.boot(0):
        station.sync()
        after = await station.measure(5, every_s=60)
        broker.start()
        with Acker(broker.port) as cloud:
            await eventually(lambda: cloud.readings == 15)
        station.client.close()
    arrived = times(cloud)
    assert len(arrived) == 15
    for number in known + after:
        assert abs(arrived[number] - station.truth[number]) < 1000
    assert {qualities(cloud)[number] for number in blind} == {ClockQuality.UNSYNCED}
    assert min(arrived[number] for number in blind) > max(arrived[number] for number in known)
    assert [arrived[number] for number in blind] == sorted(arrived[number] for number in blind)


async def test_a_jump_while_nobody_disciplines_the_clock_is_not_followed(tmp_path: Path, broker: Mosquitto) -> None:
    station = Station(tmp_path, broker)
    broker.start()
    async with station.boot(TRUE_MS):
        station.sync()
        await station.measure(3, every_s=10)
        station.synced = False
        for days in (3, -6, 3):
            station.clock.step(days * DAY_MS)
            await station.measure(3, every_s=10)
        with Acker(broker.port) as cloud:
            cloud.now = lambda: station.true_ms
            await eventually(lambda: cloud.readings == 12)
        station.client.close()
    arrived = times(cloud)
    assert all(abs(arrived[number] - true) < 1000 for number, true in station.truth.items())
    assert set(qualities(cloud).values()) == {ClockQuality.SYNCED, ClockQuality.HOLDOVER}


async def test_a_restart_of_the_agent_before_the_sync_keeps_the_correction(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """The same boot: what the first run measured is corrected from the anchor that the second one finds."""
    station = Station(tmp_path, broker)
    async with station.boot(0):
        early = await station.measure(3, every_s=600)
        station.client.close()
    again = agent_here(station.config, clock=station.clock, boot="boot-1", synced=lambda: station.synced)
    async with again:
        await station.measure(3, every_s=600)
        station.sync()
        await station.measure(1, every_s=1)
        broker.start()
        with Acker(broker.port) as cloud:
            await eventually(lambda: cloud.readings == 7)
        station.client.close()
    arrived = times(cloud)
    assert all(abs(arrived[number] - true) < 1000 for number, true in station.truth.items())
    assert {qualities(cloud)[number] for number in early} == {ClockQuality.CORRECTED}
