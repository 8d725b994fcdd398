"""Every driver of the agent reads its simulated device over the real bus; and what each fault makes of it.

Neither side knows the other's code: what they agree on is in the data sheets.
"""

import asyncio
import socket
import struct
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.drivers import driver, reading
from support.hardware import hosted

from edge.sensors import SENSORS
from firmware_sim.devices import DEVICES
from hinomi.errors import ConfigError, Transient
from sensing.quantity import QUANTITIES

THERMOMETER = "28-0316a2798bff"


class Pair(msgspec.Struct, frozen=True):
    """A device with its signals, its driver's settings, and how near a reading comes (else: the resolution)."""

    device: dict[str, Any]
    signals: dict[str, float]
    driver: dict[str, Any]
    within: dict[str, float] = {}
    checked: bool = True
    """Damaged bytes can be noticed."""


PAIRS = {
    "bme280": Pair(
        {"type": "bme280", "calibration": 5},
        {"temperature": -3.21, "humidity": 61.5, "pressure": 987.65},
        {"type": "bme280", "bus": "i2c-1.sock"},
        within={"pressure": 0.03, "humidity": 0.02},  # at one sample; 16 bits
        checked=False,
    ),
    "bme280 averaging": Pair(
        {"type": "bme280", "address": 0x77, "calibration": 6},
        {"temperature": 41.07, "humidity": 8.25, "pressure": 1031.5},
        {"type": "bme280", "address": 0x77, "bus": "i2c-1.sock", "oversampling": 16},
        within={"humidity": 0.02},
        checked=False,
    ),
    "scd4x": Pair(
        {"type": "scd4x"},
        {"co2": 1234.0, "temperature": 23.45, "humidity": 44.4},
        {"type": "scd4x", "bus": "i2c-1.sock", "altitude_m": 200},
    ),
    "sds011": Pair(
        {"type": "sds011", "port": "ttySIM0"},
        {"pm2_5": 123.4, "pm10": 256.7},
        {"type": "sds011", "port": "ttySIM0", "warm_up_s": 0.0},
    ),
    "pms5003": Pair(
        {"type": "pms5003", "port": "ttySIM1"},
        {"pm1": 12.0, "pm2_5": 66.0, "pm10": 170.0},
        {"type": "pms5003", "port": "ttySIM1", "warm_up_s": 0.0},
        within={"pm1": 0.5, "pm2_5": 0.5, "pm10": 0.5},
    ),
    "a02": Pair(
        {"type": "ultrasonic", "port": "ttySIM2", "mounting_height": 4.0},
        {"water_level": 1.234},
        {"type": "ultrasonic", "port": "ttySIM2", "mounting_height_m": 4.0, "samples": 3},
    ),
    "maxbotix": Pair(
        {"type": "ultrasonic", "port": "ttySIM3", "protocol": "maxbotix"},
        {"water_distance": 2.345},
        {"type": "ultrasonic", "port": "ttySIM3", "protocol": "maxbotix", "mounting_height_m": 3.0},
    ),
    "modbus": Pair(
        {
            "type": "modbus_gauge",
            "port": "ttySIM4",
            "unit": 3,
            "register": [
                {"quantity": "water_level", "address": 0, "format": "int16", "scale": 0.001},
                {
                    "quantity": "water_temperature",
                    "address": 7,
                    "table": "input",
                    "format": "float32",
                    "words": "low_first",
                },
            ],
        },
        {"water_level": -0.123, "water_temperature": 17.25},
        {
            "type": "modbus_level",
            "port": "ttySIM4",
            "device": 3,
            "answer_s": 0.3,
            "register": [
                {"quantity": "water_level", "address": 0, "format": "int16", "unit": "mm"},
                {
                    "quantity": "water_temperature",
                    "address": 7,
                    "kind": "input",
                    "format": "float32",
                    "words": "low_first",
                },
            ],
        },
    ),
    "ds18b20": Pair(
        {"type": "ds18b20", "id": THERMOMETER, "quantity": "water_temperature"},
        {"water_temperature": -1.69},
        {"type": "ds18b20", "id": THERMOMETER, "quantity": "water_temperature", "root": "w1/devices"},
        within={"water_temperature": 0.0313},
    ),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only makes it quicker: how long the drivers wait on a dead line is their own tests' matter."""
    for name, value in (
        ("edge.sensors.resting._SILENCE_S", 0.4),
        ("edge.sensors.ultrasonic._SILENCE_S", 0.4),
        ("edge.buses.uart._MAX_GARBAGE", 150),
    ):
        monkeypatch.setattr(name, value, raising=False)


def devices(fault: dict[str, Any] | None = None, names: list[str] | None = None) -> list[dict[str, Any]]:
    return [
        {
            **pair.device,
            "signals": {quantity: {"constant": value} for quantity, value in pair.signals.items()},
            "fault": [] if fault is None or (fault["kind"] == "checksum" and not pair.checked) else [fault],
        }
        for name, pair in PAIRS.items()
        if names is None or name in names
    ]


def settings(pair: Pair, root: Path) -> dict[str, Any]:
    """The driver's settings with its paths below ``root``."""
    return {
        key: str(root / value) if key in {"bus", "port", "root", "chip"} else value
        for key, value in pair.driver.items()
    }


async def read_all(root: Path, names: list[str] | None = None) -> dict[str, dict[str, float] | BaseException]:
    """Every driver at the same time, as in an agent: its readings, or what it raised."""
    chosen = list(PAIRS) if names is None else names
    found = await asyncio.gather(*(reading(settings(PAIRS[name], root)) for name in chosen), return_exceptions=True)
    return dict(zip(chosen, found, strict=True))


def test_every_sensor_that_has_hardware_is_met_here() -> None:
    used = {pair.driver["type"] for pair in PAIRS.values()} | {"rain_gauge", "contact", "motion"}
    assert used == set(SENSORS) - {"host"}
    simulated = {pair.device["type"] for pair in PAIRS.values()} | {"rain_gauge", "contact", "motion"}
    assert simulated == set(DEVICES)


async def test_every_driver_reads_what_its_device_measures(tmp_path: Path) -> None:
    async with hosted(devices(), tmp_path, speed=10.0):
        found = await read_all(tmp_path)
    for name, pair in PAIRS.items():
        measured = found[name]
        assert isinstance(measured, dict), (name, measured)
        for quantity, value in pair.signals.items():
            within = pair.within.get(quantity, QUANTITIES[quantity].resolution)
            assert measured[quantity] == pytest.approx(value, abs=within * 1.001), (name, quantity)
    assert found["a02"]["water_distance"] == pytest.approx(2.766, abs=0.001)
    assert found["maxbotix"]["water_level"] == pytest.approx(0.655, abs=0.001)


async def test_a_spike_reaches_the_reading_it_is_not_the_drivers_to_judge(tmp_path: Path) -> None:
    values = {
        "bme280": ("temperature", 59.0),
        "scd4x": ("co2", 39_999.0),
        "sds011": ("pm10", 999.9),
        "pms5003": ("pm2_5", 900.0),
        "a02": ("water_level", 3.83),
        "modbus": ("water_level", 9.99),
        "ds18b20": ("water_temperature", 60.0),
    }
    tables = []
    for name, (quantity, value) in values.items():
        tables += devices({"kind": "spike", "quantity": quantity, "value": value}, [name])
    async with hosted(tables, tmp_path, speed=10.0):
        found = await read_all(tmp_path, list(values))
    for name, (quantity, value) in values.items():
        measured = found[name]
        assert isinstance(measured, dict), (name, measured)
        assert measured[quantity] == pytest.approx(value, rel=1e-3), name


async def test_damaged_bytes_are_never_a_reading(tmp_path: Path) -> None:
    async with hosted(devices({"kind": "checksum"}), tmp_path, speed=10.0):
        found = await read_all(tmp_path)
    for name, pair in PAIRS.items():
        assert isinstance(found[name], Transient if pair.checked else dict), (name, found[name])


async def test_now_and_then_damaged_bytes_cost_a_reading_and_falsify_none(tmp_path: Path) -> None:
    names = ["sds011", "a02", "modbus"]
    async with hosted(devices({"kind": "checksum", "chance": 0.3}, names), tmp_path, speed=10.0):
        rounds = [await read_all(tmp_path, names) for _ in range(3)]
    for found in rounds:
        for name, measured in found.items():
            assert isinstance(measured, dict | Transient), (name, measured)
            if isinstance(measured, dict):
                for quantity, value in PAIRS[name].signals.items():
                    assert measured[quantity] == pytest.approx(value, abs=0.0011), name


async def test_a_hanging_bus_ends_in_a_time_out(tmp_path: Path) -> None:
    start = time.monotonic()
    async with hosted(devices({"kind": "hang", "timeout_s": 0.2}), tmp_path, speed=10.0):
        found = await read_all(tmp_path)
    for name, what in found.items():
        assert isinstance(what, Transient), (name, what)
    assert "hangs" in str(found["bme280"])
    assert time.monotonic() - start < 10.0


async def test_an_unplugged_device_is_told_and_nothing_is_invented(tmp_path: Path) -> None:
    async with hosted(devices({"kind": "dropout"}), tmp_path, speed=10.0):
        found = await read_all(tmp_path)
    for name, what in found.items():
        assert isinstance(what, Transient | ConfigError), (name, what)


async def test_a_gap_in_the_recording_is_a_gap_in_the_readings(tmp_path: Path) -> None:
    recording = tmp_path / "gap.csv"
    recording.write_text("when,value\n2020-01-01 00:00,\n2020-01-01 01:00,\n")
    gap = {"recorded": str(recording), "column": "value", "time_columns": ["when"]}
    tables = devices(names=["bme280", "modbus"])
    tables[0]["signals"]["humidity"] = gap
    tables[1]["signals"]["water_level"] = gap
    async with hosted(tables, tmp_path):
        found = await read_all(tmp_path, ["bme280", "modbus"])
    assert isinstance(found["bme280"], Transient)
    assert isinstance(found["modbus"], Transient)


async def test_stuck_and_drift_are_seen_by_the_driver(tmp_path: Path) -> None:
    table = devices(names=["bme280"])[0]
    table["signals"]["temperature"] = {"synthetic": "daily", "mean": 10.0, "amplitude": 10.0}
    table["fault"] = [
        {"kind": "stuck", "quantity": "temperature"},
        {"kind": "drift", "quantity": "pressure", "per_hour": 360.0},
    ]
    seen = []
    async with (
        hosted([table], tmp_path, speed=3600.0) as world,
        driver(settings(PAIRS["bme280"], tmp_path)) as (sensor, _),
    ):
        for _ in range(4):
            asked = world.elapsed()
            values = {one.quantity: one.value for one in await sensor.read()}
            seen.append((asked, world.elapsed(), values))
            await asyncio.sleep(0.05)
    assert len({values["temperature"] for _, _, values in seen}) == 1
    for asked, answered, values in seen:
        assert asked / 10.0 - 0.05 <= values["pressure"] - 987.65 <= answered / 10.0 + 0.05


async def test_a_bme280_that_lost_its_power_measures_on(tmp_path: Path) -> None:
    """It forgets its settings; a driver that sets them only once would then read what was never measured."""
    names = ["bme280"]
    tables = devices({"kind": "reboot", "at_s": 1.0, "for_s": 0.5}, names)
    async with hosted(tables, tmp_path) as world, driver(settings(PAIRS["bme280"], tmp_path)) as (sensor, _):
        before = await sensor.read()
        await asyncio.sleep(max(1.1 - world.elapsed(), 0.0))
        with pytest.raises(Transient):
            await sensor.read()
        await asyncio.sleep(max(1.6 - world.elapsed(), 0.0))
        assert await sensor.read() == before


async def test_a_scd4x_that_lost_its_power_is_noticed_and_started_again(tmp_path: Path) -> None:
    tables = devices({"kind": "reboot", "at_s": 60.0, "for_s": 1.0}, ["scd4x"])
    async with hosted(tables, tmp_path, speed=20.0) as world:
        async with driver(settings(PAIRS["scd4x"], tmp_path)) as (sensor, _):
            assert await sensor.read()
            await asyncio.sleep(max(62.0 - world.elapsed(), 0.0) / 20.0)
            with pytest.raises(Transient):
                await sensor.read()
        # The start-up time of the chip is real: it acknowledges nothing for a second.
        await asyncio.sleep(1.0)
        assert (await reading(settings(PAIRS["scd4x"], tmp_path)))["co2"] == 1234.0


async def test_a_thermometer_that_lost_its_power_does_not_report_85_degrees(tmp_path: Path) -> None:
    tables = devices({"kind": "reboot", "at_s": 2.5, "for_s": 1.0}, ["ds18b20"])
    seen: list[str] = []
    async with hosted(tables, tmp_path, speed=4.0) as world:
        while world.elapsed() < 6.0:
            try:
                found = await reading(settings(PAIRS["ds18b20"], tmp_path))
                seen.append(f"{found['water_temperature']:g}")
            except (Transient, ConfigError) as error:
                seen.append("85" if "85 Cel" in str(error) else "absent")
            await asyncio.sleep(0.02)
    assert list(dict.fromkeys(seen)) == ["-1.6875", "absent", "85"]
    assert seen[-1] == "-1.6875"


def closings(root: Path, line: int, stop: float) -> int:
    """Counts tips on its own, as an oscilloscope would: falling edges after which the line stays low for 40 ms."""
    events: list[tuple[int, int]] = []
    with socket.socket(socket.AF_UNIX) as chip:
        chip.connect(str(root / "gpiochip0.sock"))
        chip.sendall(b'{"line": %d}\n' % line)
        rest = b""
        while time.monotonic() < stop:
            chip.settimeout(max(stop - time.monotonic(), 0.01))
            try:
                rest += chip.recv(4096)
            except TimeoutError:
                break
            whole = len(rest) // 9 * 9
            events += struct.iter_unpack("<QB", rest[:whole])
            rest = rest[whole:]
    return sum(level == 0 and later[0] - at > 40_000_000 for (at, level), later in pairwise(events))


async def test_the_rain_gauges_tips_are_counted_once_whatever_bounces(tmp_path: Path) -> None:
    gauge = {
        "type": "rain_gauge",
        "line": 17,
        "mm_per_tip": 0.2,
        "signals": {"rain_rate": {"constant": 0.0}},
        # 0.2 mm a second for a minute: 60 tips in 3 real seconds.
        "fault": [{"kind": "spike", "value": 720.0, "at_s": 10.0, "for_s": 60.0}],
    }
    config = {"type": "rain_gauge", "line": 17, "mm_per_tip": 0.2, "chip": str(tmp_path / "gpiochip0.sock")}
    total = 0.0
    async with hosted([gauge], tmp_path, speed=20.0) as world, driver(config) as (sensor, _):
        truth = asyncio.to_thread(closings, tmp_path, 17, time.monotonic() + 90.0 / 20.0)
        counting = asyncio.create_task(truth)
        while world.elapsed() < 90.0:
            await asyncio.sleep(0.2)
            total += sum(one.value for one in await sensor.read())
        tips = await counting
    assert tips == pytest.approx(60, abs=2)
    assert total == pytest.approx(tips * 0.2)


async def test_a_door_is_told_once_for_each_move(tmp_path: Path) -> None:
    home = [
        {
            "type": "contact",
            "line": 27,
            "signals": {"door_open": {"constant": 0.0}},
            "fault": [{"kind": "spike", "value": 1.0, "at_s": 0.5, "for_s": 0.5, "repeat_s": 1.0}],
        },
        {
            "type": "motion",
            "line": 22,
            "signals": {"motion": {"constant": 0.0}},
            "fault": [{"kind": "spike", "value": 1.0, "at_s": 1.0, "for_s": 0.5}],
        },
    ]
    chip = str(tmp_path / "gpiochip0.sock")
    async with (
        hosted(home, tmp_path) as world,
        driver({"type": "contact", "line": 27, "chip": chip}) as (door, door_told),
        driver({"type": "motion", "line": 22, "chip": chip, "pull": "down"}) as (motion, motion_told),
    ):
        assert [one.value for one in await door.read()] == [0.0]
        assert [one.value for one in await motion.read()] == [0.0]
        await asyncio.sleep(2.75 - world.elapsed())
        assert [one.value for one in await door.read()] == [1.0]
        assert [one.value for one in door_told.pushed] == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert [one.value for one in motion_told.pushed] == [1.0, 0.0]
