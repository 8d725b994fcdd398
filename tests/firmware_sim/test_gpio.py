"""GPIO lines: tips that bounce, doors, motion, and the socket."""

import asyncio
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.hardware import Settable, part

from firmware_sim.buses.gpio import GpioChip
from firmware_sim.devices.rain_gauge import RainGauge
from firmware_sim.devices.switches import Switch
from firmware_sim.faults import Dropout, Spike, Stuck
from firmware_sim.world import World


def tips(edges: list[tuple[int, int]], closed: int = 0) -> list[int]:
    """When the contact closed, bounces within 20 ms taken as one."""
    found: list[int] = []
    for at, level in edges:
        if level == closed and (not found or at - found[-1] > 20_000_000) and not _opening(edges, at):
            found.append(at)
    return found


def _opening(edges: list[tuple[int, int]], at: int) -> bool:
    """A bounce while opening: open again within 5 ms, for long."""
    later = [level for moment, level in edges if at < moment <= at + 5_000_000]
    return bool(later) and later[-1] == 1


def rain(clock: ManualClock, rate: float, seconds: int, *, step: float = 1.0, faults=()) -> list[tuple[int, int]]:
    one = part(clock, {"rain_rate": rate}, faults)
    bucket = RainGauge(one, 0.2, 0)
    edges = []
    for _ in range(int(seconds / step)):
        clock.tick(step)
        edges += bucket.advance(one.world.machine_ns())
    return edges


@pytest.mark.parametrize("step", [0.05, 1.0, 30.0])
def test_a_bucket_tips_for_each_two_tenths_of_rain(clock: ManualClock, step: float) -> None:
    edges = rain(clock, 36.0, 600, step=step)  # 6 mm
    assert edges == sorted(edges)
    assert all(a[1] != b[1] for a, b in pairwise(edges))
    assert edges[0][1] == 0, "against ground, with a pull-up"
    assert len(tips(edges)) == pytest.approx(30, abs=1)
    distances = [b - a for a, b in pairwise(tips(edges))]
    assert all(distance == pytest.approx(20e9, rel=0.01) for distance in distances)


def test_a_contact_bounces(clock: ManualClock) -> None:
    assert len(rain(clock, 36.0, 600)) > 100


def test_a_blocked_funnel_and_a_gap_give_no_tips(clock: ManualClock) -> None:
    assert rain(clock, 36.0, 600, faults=[Dropout(kind="dropout")]) == []
    one = part(clock, {"rain_rate": Settable(None)})
    bucket = RainGauge(one, 0.2, 0)
    clock.tick(600)
    assert bucket.advance(one.world.machine_ns()) == []
    assert bucket.level == 1


def test_a_cloudburst_beyond_the_bucket_is_limited_by_it(clock: ManualClock) -> None:
    edges = rain(clock, 0.0, 60, faults=[Spike(kind="spike", value=50_000.0)])
    assert len(tips(edges)) < 60 / 0.19


async def test_a_door_and_a_motion_sensor_over_the_chips_socket(clock: ManualClock, tmp_path: Path) -> None:
    world = World(clock, clock)
    chip = GpioChip(world)
    door, motion = Settable(0.0), Settable(0.0)
    for number, quantity, signal in ((17, "door_open", door), (18, "motion", motion)):
        one = part(clock, {quantity: signal})
        chip.plug(number, Switch(one, quantity, 1, bounces=number == 17), one)
    path = tmp_path / "gpiochip0.sock"
    async with chip.serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"line": 17}\n')
        assert struct.unpack("<QB", await reader.readexactly(9)) == (world.machine_ns(), 0)
        door.level = motion.level = 1.0
        start = world.machine_ns()
        for _ in range(30):
            chip.update()
            clock.tick(0.001)
        events = []
        while not events or events[-1][0] < start + 29e6:
            try:
                events.append(struct.unpack("<QB", await asyncio.wait_for(reader.readexactly(9), 0.2)))
            except TimeoutError:
                break
        assert [level for _, level in events][::2] == [1] * ((len(events) + 1) // 2)
        assert events[-1][1] == 1
        assert all(start <= at <= start + 30_000_000 for at, _ in events)
        writer.close()
    assert not path.exists()


@pytest.mark.parametrize("asked", [b"\n", b"{}\n", b'{"line": 99}\n', b'{"line": "x"}\n', b"[1]\n", b"\xff\n", b""])
async def test_a_line_that_the_chip_does_not_have_closes_the_connection(
    clock: ManualClock, tmp_path: Path, asked: bytes
) -> None:
    chip = GpioChip(World(clock, clock))
    async with chip.serving(tmp_path / "chip"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "chip")
        writer.write(asked)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


def test_a_stuck_door_stays_as_it_was(clock: ManualClock) -> None:
    door = Settable(0.0)
    one = part(clock, {"door_open": door}, [Spike(kind="spike", value=1.0, at_s=5.0, for_s=1.0)])
    switch = Switch(one, "door_open", 1, bounces=False)
    seen = []
    for _ in range(8):
        switch.advance(one.world.machine_ns())
        seen.append(switch.level)
        clock.tick(1)
    assert seen == [0, 0, 0, 0, 0, 1, 0, 0]
    assert Stuck(kind="stuck").quantity is None
