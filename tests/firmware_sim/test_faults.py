"""Faults happen when the scenario says, do what it says, and repeat with the same seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import Settable, part

from firmware_sim.faults import (
    Battery,
    Checksum,
    Clock1970,
    ClockStep,
    Drift,
    Dropout,
    Hang,
    Reboot,
    Spike,
    StationClock,
    Stuck,
)
from firmware_sim.part import Silent, spoilt
from firmware_sim.signals.base import Signal
from firmware_sim.world import World


class Ramp:
    """One unit a second."""

    def __init__(self, start_ms: int) -> None:
        self._start = start_ms

    def value(self, at_ms: int) -> float | None:
        return (at_ms - self._start) / 1000.0


def ramp(clock: ManualClock) -> Signal:
    return Ramp(clock.now())


def test_a_spike_stands_for_its_time_and_then_the_signal_is_back(clock: ManualClock) -> None:
    device = part(clock, {"humidity": 5.0}, [Spike(kind="spike", value=99.0, at_s=10.0, for_s=5.0)])
    seen = []
    for _ in range(20):
        seen.append(device.value("humidity"))
        clock.tick(1)
    assert seen == [5.0] * 10 + [99.0] * 5 + [5.0] * 5


def test_a_repeated_fault_begins_again(clock: ManualClock) -> None:
    device = part(clock, {"humidity": 5.0}, [Spike(kind="spike", value=9.0, at_s=2.0, for_s=1.0, repeat_s=4.0)])
    seen = []
    for _ in range(10):
        seen.append(device.value("humidity"))
        clock.tick(1)
    assert [index for index, value in enumerate(seen) if value == 9.0] == [2, 6]


def test_stuck_holds_the_value_of_the_moment_it_began_even_if_nobody_looked_then(clock: ManualClock) -> None:
    device = part(clock, {"humidity": ramp(clock)}, [Stuck(kind="stuck", at_s=3.0, for_s=10.0)])
    clock.tick(8)
    assert device.value("humidity") == 3.0
    clock.tick(6)
    assert device.value("humidity") == 14.0


def test_drift_grows_with_time_and_touches_only_its_quantity(clock: ManualClock) -> None:
    device = part(
        clock,
        {"humidity": 50.0, "co2": 400.0},
        [Drift(kind="drift", quantity="humidity", per_hour=2.0, at_s=3600.0)],
    )
    clock.tick(3600 * 3.5)
    assert device.value("humidity") == pytest.approx(55.0)
    assert device.value("co2") == 400.0


def test_a_dropout_silences_it_and_a_gap_too(clock: ManualClock) -> None:
    signal = Settable(5.0)
    device = part(clock, {"humidity": signal}, [Dropout(kind="dropout", at_s=5.0, for_s=1.0)])
    assert not device.silent()
    clock.tick(5)
    assert device.silent()
    assert device.spoken(b"frame") == b""
    clock.tick(1)
    assert not device.silent()
    signal.level = None
    assert device.silent()
    with pytest.raises(Silent):
        device.value("humidity")


def test_damaged_bytes_differ_in_one_bit(clock: ManualClock) -> None:
    device = part(clock, {}, [Checksum(kind="checksum")])
    sent, arrived = b"\x01\x02\x03\x04", device.spoken(b"\x01\x02\x03\x04")
    assert [(a ^ b).bit_count() for a, b in zip(sent, arrived, strict=True)] == [0, 0, 1, 0]
    assert spoilt(b"") == b""
    assert not spoilt(b"R1234\r")[1:5].isdigit()


def test_a_hang_breaks_one_frame_off_and_then_nothing_comes(clock: ManualClock) -> None:
    device = part(clock, {}, [Hang(kind="hang", at_s=1.0, for_s=5.0)])
    assert device.spoken(b"abcdef") == b"abcdef"
    assert device.hears()
    clock.tick(1)
    assert [device.spoken(b"abcdef") for _ in range(3)] == [b"abc", b"", b""]
    assert not device.hears()
    clock.tick(5)
    assert device.spoken(b"abcdef") == b"abcdef"


def test_a_reboot_takes_the_power_and_then_forgets(clock: ManualClock) -> None:
    class Memory:
        starts = 0

        def power_on(self) -> None:
            self.starts += 1

    memory = Memory()
    device = part(clock, {}, [Reboot(kind="reboot", at_s=10.0, repeat_s=100.0)])
    device.revive(memory)
    assert memory.starts == 0
    clock.tick(11)
    assert device.silent()
    clock.tick(2)
    device.revive(memory)
    device.revive(memory)
    assert not device.silent()
    assert memory.starts == 1
    clock.tick(500)
    device.revive(memory)
    assert memory.starts == 2, "five power cuts while nobody looked are one for whoever looks afterwards"


def test_a_fading_battery_falls_stammers_and_dies(clock: ManualClock) -> None:
    device = part(
        clock, {"battery_voltage": 4.0, "co2": 400.0}, [Battery(kind="battery", at_s=0.0, for_s=1000.0, empty=0.5)]
    )
    clock.tick(500)
    assert device.value("battery_voltage") == pytest.approx(3.0)
    assert device.value("co2") == 400.0
    assert not device.silent()
    clock.tick(400)
    silent = 0
    for _ in range(50):
        silent += device.silent()
        clock.tick(0.5)
    assert 15 < silent < 45, "between half and three quarters of the time"
    clock.tick(1e6)
    assert device.silent(), "empty stays empty"


def test_chance_hits_about_its_part_and_the_same_ones_again() -> None:
    def run() -> list[bool]:
        clock = ManualClock()
        device = part(clock, {}, [Checksum(kind="checksum", chance=0.1)])
        hits = []
        for _ in range(2000):
            hits.append(device.faults.damaged())
            clock.tick(1)
        return hits

    hits = run()
    assert 150 < sum(hits) < 250
    assert hits == run()


@given(st.floats(0, 100), st.floats(0.001, 10), st.one_of(st.none(), st.floats(10.01, 50)), st.floats(0, 500))
def test_an_occurrence_that_is_active_has_begun_and_not_ended(
    at_s: float, for_s: float, repeat_s: float | None, elapsed: float
) -> None:
    fault = Dropout(kind="dropout", at_s=at_s, for_s=for_s, repeat_s=repeat_s)
    begun = fault.begun_at(elapsed)
    if begun is not None:
        assert at_s <= begun <= elapsed < begun + for_s
        assert fault.times_begun(elapsed) >= 1
    if elapsed < at_s:
        assert fault.times_begun(elapsed) == 0


def test_a_station_without_a_clock_begins_in_1970_until_it_is_set(clock: ManualClock) -> None:
    faulty = StationClock(clock, [Clock1970(kind="clock_1970", at_s=0.0, for_s=600.0)], begun=clock.monotonic())
    clock.tick(10)
    assert faulty.now() == 10_000
    assert faulty.monotonic() == clock.monotonic()
    clock.tick(590)
    assert faulty.now() == clock.now()


def test_a_clock_step_shifts_wall_time_and_never_time_since_boot(clock: ManualClock) -> None:
    faulty = StationClock(clock, [ClockStep(kind="clock_step", step_s=-86400.0, at_s=5.0)], begun=clock.monotonic())
    assert faulty.now() == clock.now()
    clock.tick(5)
    assert faulty.now() == clock.now() - 86_400_000
    assert faulty.monotonic() == clock.monotonic()


async def test_a_station_sleeps_by_the_true_clock(clock: ManualClock) -> None:
    faulty = StationClock(clock, [], begun=clock.monotonic())
    await faulty.sleep(0)
    assert faulty.now() == clock.now()


def test_the_machines_clock_runs_as_fast_as_the_virtual_one() -> None:
    fast, real = ManualClock(), ManualClock(monotonic=50.0)
    world = World(fast, real, speed=600.0)
    start = world.machine_ns()
    assert start == 50_000_000_000
    fast.tick(600)
    real.tick(1)
    assert world.machine_ns() - start == 600_000_000_000
