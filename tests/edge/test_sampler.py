"""Asking sensors: on a fixed schedule, each on its own; whatever one does, the others are read."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import pytest
from support.clock import ManualClock, settle

from edge.context import OwnThread, SensorContext
from edge.health import Health
from edge.sampler import Sampler, supervise
from edge.sensors.base import Measured, SensorSection
from hinomi.errors import Rejected, Transient


class Fake(SensorSection, frozen=True):
    """A sensor that does what ``act`` says at each reading."""

    def open(self, context: Any) -> Any:
        return context.device


class Device:
    def __init__(self, act: Callable[[], Any] = lambda: 1.0) -> None:
        self.act = act
        self.enter: Callable[[], Any] = lambda: None
        self.leave: Callable[[], Any] = lambda: None
        self.opened = 0
        self.closed = 0

    async def __aenter__(self) -> Self:
        self.opened += 1
        await self._do(self.enter)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1
        await self._do(self.leave)

    async def read(self) -> Sequence[Measured]:
        value = await self._do(self.act)
        return [] if value is None else [Measured("pm2_5", value)]

    async def _do(self, act: Callable[[], Any]) -> Any:
        result = act()
        return await result if asyncio.iscoroutine(result) else result


class Taken:
    """What a collector would take."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rows: list[tuple[str, float, float]] = []
        self.notes: list[dict[str, bytes]] = []

    def add(self, sensor: str, measured: Sequence[Measured], *, notes: dict[str, bytes], urgent: bool) -> None:
        self.rows += [(sensor, self.clock.monotonic(), one.value) for one in measured]
        self.notes.append(dict(notes))

    def of(self, sensor: str) -> list[float]:
        return [at for name, at, _ in self.rows if name == sensor]


class State:
    def __init__(self) -> None:
        self.staged: dict[str, bytes] = {}

    def take(self) -> dict[str, bytes]:
        staged, self.staged = self.staged, {}
        return staged

    def discard(self) -> None:
        self.staged = {}


class Station:
    """Some sensors under their supervisors, on a clock of the test's own."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic=1000.0)
        self.health = Health(self.clock)
        self.taken = Taken(self.clock)
        self.tasks: list[asyncio.Task[None]] = []
        self.states: dict[str, State] = {}

    def start(self, name: str, device: Device, *, interval_s: float = 10.0, timeout_s: float = 0.2) -> None:
        context: Any = type("Context", (), {})()
        context.device = device
        context.kept = self.states[name] = State()
        section = Fake(type="fake", name=name, interval_s=interval_s, timeout_s=timeout_s)
        sampler = Sampler(section, context, self.clock, self.taken, self.health)  # type: ignore[arg-type]
        self.tasks.append(
            asyncio.create_task(
                supervise(sampler.part, sampler.run, clock=self.clock, health=self.health, rng=random.Random(1))
            )
        )

    async def run(self, seconds: float, step: float = 1.0) -> None:
        passed = 0.0
        while passed < seconds:
            await self.clock.advance(step)
            passed += step

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), 5)
        assert all(isinstance(result, asyncio.CancelledError) for result in ended), ended


@pytest.fixture
async def station():
    station = Station()
    yield station
    await station.end()


def fail(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


async def test_readings_are_taken_at_multiples_of_the_interval(station: Station) -> None:
    station.start("air", Device(), interval_s=10)
    await station.run(100)
    assert station.taken.of("air") == [1000.0 + 10 * number for number in range(11)]


async def test_a_slow_reading_does_not_shift_the_schedule_and_what_it_misses_is_counted(station: Station) -> None:
    async def slow() -> float:
        station.clock.tick(25)
        return 1.0

    station.start("air", Device(slow), interval_s=10)
    await station.run(100)
    assert all(at % 10 == 5 for at in station.taken.of("air")), "read at multiples of ten, 25 s long"
    assert station.health.counters["sensor.air.missed"] >= 4


@pytest.mark.parametrize(
    "error",
    [
        Transient("the device is silent"),
        OSError(5, "Input/output error"),
        Rejected("not_a_reading", "0xFFFF"),
        RuntimeError("a bug"),
        ZeroDivisionError(),
        ExceptionGroup("many", [ValueError("x")]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["enter", "act", "leave"])
async def test_one_bad_sensor_never_stops_the_others(
    station: Station, error: BaseException, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Device(fail(error))
    if where != "act":
        setattr(bad, where, fail(error))
    station.start("bad", bad, interval_s=1)
    station.start("good", Device(), interval_s=10)
    await station.run(100)
    assert len(station.taken.of("good")) == 11
    troubles = station.health.summary()["troubles"]
    assert [trouble["part"] for trouble in troubles] == ["sensor bad"]
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) <= 2, "told once, not each time"


async def test_a_hanging_sensor_is_given_up_and_opened_again(station: Station) -> None:
    async def hang() -> None:
        await asyncio.sleep(3600)

    hanging = Device(hang)
    station.start("stuck", hanging, interval_s=1, timeout_s=0.02)
    station.start("good", Device(), interval_s=10)
    for _ in range(60):
        await station.run(1)
        await asyncio.sleep(0.01)
    assert len(station.taken.of("good")) == 7
    assert hanging.opened >= 2
    assert hanging.closed == hanging.opened - 1 or hanging.closed == hanging.opened
    assert "no answer" in station.health.summary()["troubles"][0]["error"]


async def test_a_sensor_that_comes_back_is_told_and_forgiven(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(fail(Transient("unplugged")))
    station.start("air", device, interval_s=1)
    await station.run(30)
    device.act = lambda: 2.0
    await station.run(300)
    assert len(station.taken.of("air")) > 100
    assert not station.health.summary()["troubles"]
    assert "works again" in caplog.text
    assert station.health.counters["sensor.air.failures"] >= 2


async def test_a_single_failure_does_not_cost_a_new_opening(station: Station) -> None:
    answers = iter([1.0, None, 2.0, 3.0])

    def act() -> float:
        value = next(answers, 4.0)
        if value is None:
            raise Transient("checksum")
        return value

    device = Device(act)
    station.start("air", device, interval_s=1)
    await station.run(10)
    assert device.opened == 1
    assert len(station.taken.of("air")) == 10


async def test_waits_grow_while_a_sensor_stays_away(station: Station) -> None:
    device = Device()
    device.enter = fail(Transient("no such device"))
    station.start("air", device, interval_s=1)
    await station.run(60)
    early = device.opened
    await station.run(3600, step=10)
    assert early >= 4
    assert device.opened - early <= 3600 / 150 + 2


async def test_what_a_failed_reading_staged_is_not_committed(station: Station) -> None:
    def act() -> float:
        number = round(station.clock.monotonic() - 1000)
        station.states["rain"].staged[f"told-{number}"] = b"1"
        if number % 2:
            raise Transient("bounce")
        return 0.2

    station.start("rain", Device(act), interval_s=1)
    await station.run(6)
    assert [list(notes) for notes in station.taken.notes] == [[f"told-{number}"] for number in (0, 2, 4, 6)]


async def test_ending_while_leaving_fails_still_ends(station: Station) -> None:
    """A driver that fails while it is closed must not come back to life; the fixture sees that all tasks end."""
    device = Device()
    device.leave = fail(Transient("will not close"))
    station.start("air", device, interval_s=1)
    await station.run(3)


class TestOwnThread:
    async def test_blocking_work_runs_beside_the_event_loop(self) -> None:
        thread = OwnThread("sensor-x")
        names = [await thread.run(lambda: threading.current_thread().name) for _ in range(2)]
        assert names == ["sensor-x", "sensor-x"]
        with pytest.raises(OSError, match="gone"):
            await thread.run(fail(OSError("gone")))
        thread.close()

    async def test_a_call_that_hangs_refuses_the_next_one_and_nothing_else(self) -> None:
        thread = OwnThread("sensor-x")
        release = threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await thread.run(release.wait)
        with pytest.raises(Transient, match="still hangs"):
            await thread.run(lambda: 1)
        release.set()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                assert await thread.run(lambda: 2) == 2
                break
            except Transient:
                await asyncio.sleep(0.001)
        thread.close()

    async def test_it_starts_only_when_it_is_used(self) -> None:
        before = threading.active_count()
        OwnThread("sensor-x")
        assert threading.active_count() == before


async def test_a_context_pushes_under_the_sensors_name(clock: ManualClock) -> None:
    pushed: list[tuple[str, list[Measured], float]] = []

    async def push(sensor: str, measured: Sequence[Measured], *, age_s: float) -> None:
        pushed.append((sensor, list(measured), age_s))

    context = SensorContext("door", clock, random.Random(1), State(), push)  # type: ignore[arg-type]
    await context.push([Measured("door_open", 1.0)], age_s=0.25)
    await settle()
    assert pushed == [("door", [Measured("door_open", 1.0)], 0.25)]
    context.close()
