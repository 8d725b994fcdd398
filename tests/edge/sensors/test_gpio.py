"""Rain gauge, contact and motion sensor listening to a line: restarts, bounces, full disks."""

import asyncio
import functools
import random
from pathlib import Path

import pytest
from support.clock import ManualClock, settle
from support.sensors import GpioChip, MemoryState, Surroundings, config, unix_server

from hinomi.errors import ConfigError, Transient


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gpiochip0.sock"


async def until(condition) -> None:
    """Events come over a real socket, so in real time."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)
    await settle()


def gauge(path: Path, state: MemoryState):
    return config("rain_gauge", chip=str(path), mm_per_tip=0.5).open(Surroundings(state=state))


def tip(chip: GpioChip) -> None:
    chip.change(0, 1000)
    chip.change(1, 80)


async def millimetres(sensor, state: MemoryState, *, committed: bool = True) -> float:
    (reading,) = await sensor.read()
    assert reading.quantity == "rain_increment"
    if committed:
        state.commit()
    else:
        state.staged.clear()
    return reading.value


async def test_each_reading_tells_the_rain_since_the_one_before(path: Path) -> None:
    chip, state = GpioChip(1), MemoryState()
    with unix_server(path, chip.serve):
        async with gauge(path, state) as sensor:
            assert await millimetres(sensor, state) == 0.0
            tip(chip)
            tip(chip)
            await until(lambda: sensor._seen == 2)
            assert await millimetres(sensor, state) == 1.0
            assert await millimetres(sensor, state) == 0.0
    assert chip.asked == [{"line": 17}]


async def test_tips_outlive_a_kill_and_are_told_once(path: Path) -> None:
    """Killed after each step; what the disk holds is all that the next run knows."""
    chip, disk = GpioChip(1), {}
    with unix_server(path, chip.serve):
        state = MemoryState(disk)
        sensor = gauge(path, state)
        await sensor.__aenter__()
        tip(chip)
        tip(chip)
        await until(lambda: disk.get("seen") == b"2")
        await abandon(sensor)  # no goodbye

        state = MemoryState(disk)
        sensor = gauge(path, state)
        await sensor.__aenter__()
        assert await millimetres(sensor, state, committed=False) == 1.0  # killed before its commit
        await abandon(sensor)

        state = MemoryState(disk)
        sensor = gauge(path, state)
        await sensor.__aenter__()
        assert await millimetres(sensor, state) == 1.0
        await abandon(sensor)

        state = MemoryState(disk)
        async with gauge(path, state) as sensor:
            assert await millimetres(sensor, state) == 0.0


async def abandon(sensor) -> None:
    """As a kill leaves it: nothing more is written."""
    sensor.context.state.full = True
    sensor.context.state.disk = dict(sensor.context.state.disk)
    await sensor.__aexit__(None, None, None)


async def test_over_any_run_of_tips_readings_kills_and_full_disks_the_sum_is_right(path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    chip, disk = GpioChip(1), {}
    seen, told = 0, 0.0
    with unix_server(path, chip.serve):
        for _ in range(10):
            state = MemoryState(disk)
            sensor = gauge(path, state)
            await sensor.__aenter__()
            for _ in range(rng.randrange(8)):
                match rng.choice(["tip", "tip", "full", "read", "read and die"]):
                    case "tip":
                        tip(chip)
                        seen += 1
                        await until(functools.partial(saw, sensor, seen))
                    case "full":
                        state.full = not state.full
                    case "read" if not state.full:
                        told += await millimetres(sensor, state)
                    case "read and die" if not state.full:
                        await millimetres(sensor, state, committed=False)
                        break
            # A kill loses what a full disk did not take, and nothing else; an orderly end saves it.
            state.full = False
            if rng.random() < 0.5 and int(disk.get("seen", b"0")) == seen:
                await abandon(sensor)
            else:
                await sensor.__aexit__(None, None, None)
        state = MemoryState(disk)
        async with gauge(path, state) as sensor:
            told += await millimetres(sensor, state)
    assert told == pytest.approx(seen * 0.5)


def saw(sensor, tips: int) -> bool:
    return sensor._seen == tips


async def test_a_reading_carries_what_a_full_disk_did_not_save(path: Path) -> None:
    chip, state = GpioChip(1), MemoryState()
    with unix_server(path, chip.serve):
        async with gauge(path, state) as sensor:
            state.full = True
            tip(chip)
            await until(lambda: sensor._seen == 1)
            assert state.saves == 0
            assert await millimetres(sensor, state) == 0.5
    assert state.disk["reported"] == b"1"
    state.full = False
    with unix_server(path.with_name("again.sock"), chip.serve):
        async with gauge(path.with_name("again.sock"), state) as sensor:
            assert await millimetres(sensor, state) == 0.0


async def test_a_chip_that_goes_away_is_told_by_the_next_reading(path: Path) -> None:
    chip, state = GpioChip(1), MemoryState()
    with unix_server(path, chip.serve):
        async with gauge(path, state) as sensor:
            chip.hang_up()
            await until(lambda: any(task.done() for task in sensor._tasks))
            with pytest.raises(Transient, match="gone"):
                await sensor.read()


async def test_a_chip_that_is_not_there_is_told_when_it_is_opened(path: Path) -> None:
    with pytest.raises(ConfigError, match="gpiodetect"):
        await gauge(path, MemoryState()).__aenter__()
    with pytest.raises((ConfigError, Transient)):
        await gauge(Path("/dev/null"), MemoryState()).__aenter__()


async def test_a_simulator_that_refuses_the_line_is_a_missing_chip(path: Path) -> None:
    with unix_server(path, lambda connection: connection.recv(99)), pytest.raises(ConfigError, match="not there"):
        await gauge(path, MemoryState()).__aenter__()


def door(path: Path, context: Surroundings):
    return config("contact", chip=str(path), debounce_ms=20).open(context)


async def test_a_door_is_told_at_once_when_it_moves_and_again_at_each_interval(path: Path) -> None:
    chip, context = GpioChip(0), Surroundings()
    with unix_server(path, chip.serve):
        async with door(path, context) as sensor:
            assert [one.value for one in await sensor.read()] == [0.0]
            chip.change(1, 1000)
            chip.change(0, 1)
            chip.change(1, 1)
            await until(lambda: context.pushed)
            assert [one.value for one in await sensor.read()] == [1.0]
            chip.change(0, 5000)
            await until(lambda: len(context.pushed) == 2)
            assert [one.value for one in await sensor.read()] == [0.0]
    assert [(one.quantity, one.value) for one, _ in context.pushed] == [("door_open", 1.0), ("door_open", 0.0)]


async def test_a_visit_between_two_looks_of_the_loop_is_not_overseen(path: Path) -> None:
    chip, context = GpioChip(0), Surroundings()
    with unix_server(path, chip.serve):
        async with door(path, context) as sensor:
            for level in (1, 0, 1, 0):
                chip.change(level, 3000)  # all of them at once, as after a stall of the loop
            await until(lambda: len(context.pushed) == 4)
            assert [one.value for one in await sensor.read()] == [0.0]
    assert [one.value for one, _ in context.pushed] == [1.0, 0.0, 1.0, 0.0]


async def test_a_full_disk_delays_a_change_and_then_says_how_old_it_is(path: Path) -> None:
    clock = ManualClock()
    chip, context = GpioChip(0), Surroundings(clock=clock)
    context.full = True
    with unix_server(path, chip.serve):
        async with door(path, context) as sensor:
            chip.change(1, 1000)
            await until(lambda: clock._sleepers)
            chip.change(0, 60_000)
            await settle()
            await clock.advance(12)
            assert context.pushed == []
            context.full = False
            await clock.advance(5)
            await until(lambda: len(context.pushed) == 2)
            assert [one.value for one in await sensor.read()] == [0.0]
    (opened, opened_age), (shut, _) = context.pushed
    assert (opened.value, shut.value) == (1.0, 0.0)
    assert 10 <= opened_age <= 15


async def test_motion_has_its_own_quantity(path: Path) -> None:
    chip, context = GpioChip(0), Surroundings()
    with unix_server(path, chip.serve):
        async with config("motion", chip=str(path)).open(context) as sensor:
            chip.change(1, 1000)
            await until(lambda: context.pushed)
            assert [(one.quantity, one.value) for one in await sensor.read()] == [("motion", 1.0)]
