"""Serial sensors on real terminals: asking, warming up, resting, and everything that happens to a cable."""

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock, settle
from support.sensors import Serial, Surroundings, config, hexadecimal, serial

from edge.buses import uart
from edge.buses.uart import Uart
from edge.sensors import pms5003, resting, sds011, ultrasonic
from hinomi.errors import ConfigError, Transient

CASES = Path(__file__).parent / "cases"
SDS = hexadecimal((CASES / "sds011/data-sheet-example/input.hex").read_text())
PMS = hexadecimal((CASES / "pms5003/recorded-frame/input.hex").read_text())
MODELS = [
    pytest.param("sds011", sds011, SDS, {"pm2_5": 123.6, "pm10": 261.8}, id="sds011"),
    pytest.param("pms5003", pms5003, PMS, {"pm1": 31.0, "pm2_5": 46.0, "pm10": 60.0}, id="pms5003"),
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real lines, but no human patience."""
    monkeypatch.setattr(resting, "_SILENCE_S", 0.2)
    monkeypatch.setattr(resting, "_COMMAND_S", 0.0)
    monkeypatch.setattr(ultrasonic, "_SILENCE_S", 0.3)


class DustSensor:
    """Answers the question with a frame; remembers what it was told."""

    def __init__(self, model, frame: bytes) -> None:
        self.model = model
        self.frame = frame
        self.told = b""
        self.asked = 0
        self.spoilt = 0

    def __call__(self, heard: bytes) -> bytes:
        before, question, _ = heard.partition(self.model.ASK)
        if not question:
            return b""
        self.told += before
        self.asked += 1
        if self.asked <= self.spoilt:
            return self.frame[:-3] + b"\0\0\0"
        return b"\x00\xaa" + self.frame


def values(readings) -> dict[str, float]:
    return {one.quantity: one.value for one in readings}


@pytest.mark.parametrize(("kind", "model", "frame", "expected"), MODELS)
async def test_it_is_set_to_speak_when_asked_and_warms_up_before_it_counts(kind, model, frame, expected) -> None:
    device = DustSensor(model, frame)
    context = Surroundings()
    with serial(device) as line:
        async with config(kind, port=str(line.path), interval_s=10).open(context) as sensor:
            assert model.WORK in device.told
            assert model.ONLY_WHEN_ASKED in device.told
            assert list(await sensor.read()) == []
            await context.clock.advance(29)
            assert list(await sensor.read()) == []
            await context.clock.advance(1)
            assert values(await sensor.read()) == expected
            assert values(await sensor.read()) == expected
    assert model.SLEEP not in device.told


@pytest.mark.parametrize(("kind", "model", "frame", "expected"), MODELS)
async def test_with_a_long_interval_it_sleeps_and_is_warm_again_in_time(kind, model, frame, expected) -> None:
    device = DustSensor(model, frame)
    clock = ManualClock()
    with serial(device) as line:
        async with config(kind, port=str(line.path), interval_s=150).open(Surroundings(clock=clock)) as sensor:
            await clock.advance(30)
            for _ in range(3):
                device.told = b""
                assert values(await sensor.read()) == expected
                await clock.advance(117)  # still asleep
                assert list(await sensor.read()) == []
                await clock.advance(2)
                await woken(sensor)
                await clock.advance(31)
    # The last question came after this: sleep, then wake.
    assert device.told.startswith(model.SLEEP + model.WORK)


async def woken(sensor) -> None:
    """The waking runs in the sensor's thread, in real time."""
    async with asyncio.timeout(5):
        while not sensor._waking.done():
            await asyncio.sleep(0.005)
    await settle()


async def test_waking_each_time_writes_no_setting_into_an_sds011s_memory() -> None:
    assert sds011.PROTOCOL.wake == (sds011.WORK,)


async def test_one_disturbed_frame_is_asked_for_again() -> None:
    device = DustSensor(sds011, SDS)
    device.spoilt = 1
    with serial(device) as line:
        async with config("sds011", port=str(line.path), interval_s=10, warm_up_s=0).open(Surroundings()) as sensor:
            assert values(await sensor.read()) == {"pm2_5": 123.6, "pm10": 261.8}
            device.spoilt = device.asked + 2
            with pytest.raises(Transient, match=r"bytes came, but no frame with a good checksum.*baud"):
                await sensor.read()
            assert values(await sensor.read()) == {"pm2_5": 123.6, "pm10": 261.8}


async def test_silence_is_told_when_it_is_opened_and_lets_the_port_go() -> None:
    with serial() as line:
        for _ in range(2):
            with pytest.raises(Transient, match="says nothing; check its power"):
                await config("sds011", port=str(line.path)).open(Surroundings()).__aenter__()
        Uart(line.path, 9600).close()


async def test_a_babbling_line_is_given_up() -> None:
    with (
        serial(lambda heard: b"\x55" * 3000) as line,
        pytest.raises(Transient, match="no frame with a good checksum"),
    ):
        await config("pms5003", port=str(line.path)).open(Surroundings()).__aenter__()


async def test_a_port_that_is_not_there_says_what_to_plug_or_enable() -> None:
    with pytest.raises(ConfigError, match=r"ttyNONE.*by-id.*raspi-config"):
        await config("sds011", port="/dev/ttyNONE").open(Surroundings()).__aenter__()


async def test_a_port_in_use_says_so() -> None:
    with serial() as line:
        other = Uart(line.path, 9600)
        with pytest.raises(Transient, match=r"in use by another program.*login console.*fuser"):
            await config("sds011", port=str(line.path)).open(Surroundings()).__aenter__()
        other.close()


def test_a_port_of_others_names_the_group() -> None:
    assert "usermod -aG dialout" in str(uart._cannot_open(OSError(errno.EACCES, ""), Path("/dev/ttyUSB0")))


async def test_an_adapter_that_is_pulled_out_is_a_passing_error() -> None:
    with serial(DustSensor(sds011, SDS)) as line:
        async with config("sds011", port=str(line.path), interval_s=10, warm_up_s=0).open(Surroundings()) as sensor:
            await sensor.read()
    with pytest.raises(Transient, match="port was closed"):
        await sensor.read()
    line = Serial()
    port = Uart(line.path, 9600)
    line.hang_up()
    with pytest.raises(Transient, match="plugged in"):
        port.frame(sds011.take, 1.0)
    port.close()
    port.close()


async def test_a_read_that_is_given_up_frees_the_port_when_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    device = DustSensor(sds011, SDS)
    with serial(device) as line:
        sensor = config("sds011", port=str(line.path), interval_s=10, warm_up_s=0).open(Surroundings())
        await sensor.__aenter__()
        monkeypatch.setattr(resting, "_SILENCE_S", 0.5)
        device.frame = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await sensor.read()
        await sensor.__aexit__(None, None, None)  # cannot wait for the thread
        with pytest.raises(Transient, match="in use"):
            Uart(line.path, 9600)
        async with asyncio.timeout(5):
            while True:
                try:
                    Uart(line.path, 9600).close()
                    break
                except Transient:
                    await asyncio.sleep(0.02)


@contextlib.contextmanager
def speaking(line: Serial, *parts: bytes) -> Iterator[None]:
    """The gauge says these, over and over."""
    stop = threading.Event()

    def speak() -> None:
        while not stop.is_set():
            for part in parts:
                os.write(line.far, part)
                time.sleep(0.003)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def a02(mm: int) -> bytes:
    body = bytes([0xFF, mm >> 8, mm & 0xFF])
    return body + bytes([sum(body) & 0xFF])


async def test_an_ultrasonic_gauge_tells_level_and_distance_by_the_median_of_fresh_frames() -> None:
    with serial() as line:
        sensor = config("ultrasonic", port=str(line.path), mounting_height_m=4.0, samples=3).open(Surroundings())
        with speaking(line, a02(1111)):
            await sensor.__aenter__()
            await asyncio.sleep(0.05)
        # What came before the question is old; then two echoes and one miss, wherever the three begin.
        with speaking(line, a02(1500), a02(60000), a02(1510)):
            assert values(await sensor.read()) == {"water_level": 2.495, "water_distance": 1.505}
        await sensor.__aexit__(None, None, None)


async def test_a_maxsonar_in_a_split_stream() -> None:
    with serial() as line, speaking(line, b"R0", b"987", b"\rR09", b"87\r"):
        sensor = config(
            "ultrasonic", port=str(line.path), protocol="maxbotix", mounting_height_m=5, samples=4
        ).open(Surroundings())
        async with sensor:
            assert values(await sensor.read()) == {"water_level": 4.013, "water_distance": 0.987}


async def test_a_gauge_that_falls_silent_is_told() -> None:
    with serial() as line:
        sensor = config("ultrasonic", port=str(line.path)).open(Surroundings())
        with speaking(line, a02(1000)):
            await sensor.__aenter__()
        with pytest.raises(Transient, match="says nothing"):
            await sensor.read()
        await sensor.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("ultrasonic", {"nearest_m": 5.0}, "less than farthest_m"),
        ("ultrasonic", {"samples": 0}, "at least 1"),
        ("sds011", {"sleep_from_s": 20}, "could not warm up"),
        ("ultrasonic", {"protocol": "a2"}, "did you mean 'a02'"),
    ],
)
def test_settings_that_cannot_work_are_refused(kind: str, settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config(kind, **settings)
