"""Scenarios: every fault of the file at once, by its path; the samples are good."""

import contextlib
import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmware_sim
from firmware_sim.devices import DEVICES
from firmware_sim.devices.base import DeviceSection
from firmware_sim.faults import DEVICE_FAULTS, STATION_FAULTS, Clock1970
from firmware_sim.scenario import load, parse
from firmware_sim.world import real_world
from hinomi.errors import ConfigError
from sensing.quantity import QUANTITIES

SAMPLES = sorted((Path(firmware_sim.__file__).parent / "scenarios").glob("*.toml"))

GOOD = """
[[device]]
type = "sds011"
port = "ttySIM0"
[device.signals]
pm2_5 = { constant = 1.0 }
pm10 = { constant = 2.0 }
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text))
    return [str(fault) for fault in caught.value.faults]


def test_all_faults_of_a_file_are_told_at_once_with_their_paths() -> None:
    found = faults("""
        sead = 1
        [clock]
        speed = 0.0
        origin_ms = 1
        anchor_s = 0.0
        [[device]]
        type = "sds001"
        [[device]]
        type = "bme280"
        address = 0x75
        [device.signals]
        temperature = { constant = "warm" }
        pressure = { synthetic = "tied" }
        humidity = { constant = 1.0, recorded = "x.csv" }
        co2 = { constant = 400.0 }
        [[device.fault]]
        kind = "checksum"
        [[device.fault]]
        kind = "spike"
        quantity = "temperature"
        [[device.fault]]
        kind = "stuck"
        repeat_s = 5.0
        [[device]]
        type = "sds011"
        port = "ttySIM0"
        [device.signals]
        pm2_5 = { recorded = "bonfire" }
        [[device.fault]]
        kind = "spike"
        value = 1.0
        quantity = "pm25"
        [[device]]
        type = "ultrasonic"
        port = "ttySIM0"
        signals = 3
        [[fault]]
        kind = "clock_1971"
    """)
    expected = [
        "sead: is not a setting; did you mean 'seed'?",
        "clock: speed must be above 0",
        "device[0].type: got 'sds001', expected one of bme280, scd4x,",
        "device[1].address: got 117, expected one of 118, 119",
        "device[1].signals.temperature.constant: got 'warm', expected a number",
        "device[1].signals.pressure.synthetic: got 'tied', expected one of tide, daily, storm, gust; did you mean",
        "device[1].signals.humidity: got {'constant': 1.0, 'recorded': 'x.csv'}, expected a table with one",
        "device[1].fault[0].kind: got 'checksum', expected one of battery, drift, dropout, hang, reboot,",
        "device[1].fault[1].value: is missing, expected a number",
        "device[1].fault[2]: repeat_s needs for_s",
        "device[2].signals.pm2_5: station: the file holds several, name one of",
        "device[2].signals.pm10: is missing, expected a signal, e.g. { constant = 1.0 }",
        "device[2].fault[0].quantity: got 'pm25', expected one of pm10, pm2_5",
        "device[3]: ttySIM0 is taken by device[2]",
        "device[3].signals: got 3, expected a table",
        "fault[0].kind: got 'clock_1971', expected one of clock_1970, clock_step; did you mean 'clock_1970'?",
    ]
    assert [next((line for line in found if line.startswith(start)), start) for start in expected] == found


def test_a_signal_that_the_device_does_not_measure_is_refused() -> None:
    assert faults(GOOD + "pm1 = { constant = 1.0 }") == [
        "device[0].signals.pm1: is not measured by this device; known here: pm10, pm2_5"
    ]


@pytest.mark.parametrize(
    ("one", "two", "problem"),
    [
        ({"type": "bme280"}, {"type": "bme280"}, "device[1]: i2c-1 address 0x76 is taken by device[0]"),
        ({"type": "bme280"}, {"type": "bme280", "address": 0x77}, None),
        ({"type": "bme280"}, {"type": "bme280", "bus": 3}, None),
        (
            {"type": "contact", "line": 4},
            {"type": "motion", "line": 4},
            "device[1]: GPIO line 4 is taken by device[0]",
        ),
    ],
)
def test_two_devices_need_two_places(one: dict[str, Any], two: dict[str, Any], problem: str | None) -> None:
    world = {
        "bme280": ("temperature", "pressure", "humidity"),
        "contact": ("door_open",),
        "motion": ("motion",),
    }
    tables = [
        {**table, "signals": {quantity: {"constant": 1.0} for quantity in world[table["type"]]}}
        for table in (one, two)
    ]
    if problem is None:
        assert len(parse({"device": tables}).devices) == 2
        return
    with pytest.raises(ConfigError) as caught:
        parse({"device": tables})
    assert str(caught.value) == problem


def test_units_share_a_modbus_line_but_not_with_another_kind_of_device() -> None:
    gauge = {
        "type": "modbus_gauge",
        "port": "ttySIM0",
        "register": [{"quantity": "water_level", "address": 0}],
        "signals": {"water_level": {"constant": 1.0}},
    }
    sonar = {"type": "ultrasonic", "port": "ttySIM0", "signals": {"water_distance": {"constant": 1.0}}}
    assert len(parse({"device": [gauge, {**gauge, "unit": 2}]}).devices) == 2
    for pair in ([gauge, sonar], [sonar, gauge], [gauge, gauge]):
        with pytest.raises(ConfigError, match=r"device\[1\]: ttySIM0( unit 1)? is taken by device\[0\]"):
            parse({"device": pair})


def test_a_gauges_registers_must_not_overlap_and_must_be_quantities() -> None:
    found = faults("""
        [[device]]
        type = "modbus_gauge"
        port = "ttySIM0"
        register = [
            { quantity = "water_level", address = 0, format = "float32" },
            { quantity = "water_temperature", address = 1 },
        ]
        [[device]]
        type = "modbus_gauge"
        port = "ttySIM1"
        register = [{ quantity = "water_lefel", address = 0 }]
        [device.signals]
        water_lefel = { constant = 1.0 }
    """)
    assert found[0] == "device[0]: register: holding 1 overlaps another one"
    assert found[-1] == "device[1].signals: no quantity 'water_lefel'"


@pytest.mark.parametrize("text", ["", "device = 3", "device = [1]", "[[device]]", "[device]\ntype = 'bme280'"])
def test_a_scenario_needs_devices(text: str) -> None:
    assert any(line.startswith("device") for line in faults(text))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["seed", "clock", "device", "fault", "type", "signals", "kind", "name", "port", "address"])
tables = st.dictionaries(
    keys, values | st.lists(st.dictionaries(keys, values | st.sampled_from(list(DEVICES)), max_size=4), max_size=2)
)


@given(tables)
def test_nothing_but_its_own_error_is_raised(data: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        parse(data)


@pytest.mark.parametrize("row", DEVICES)
def test_every_row_is_a_device_whose_faults_exist(row: str) -> None:
    module, _, name = DEVICES[row].partition(":")
    section = getattr(importlib.import_module(module), name)
    assert issubclass(section, DeviceSection)
    assert section.FAULTS
    assert set(DEVICE_FAULTS) >= section.FAULTS


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_are_good(path: Path) -> None:
    scenario = load(path)
    scenario.rack(real_world(None))
    for device in scenario.devices:
        for quantity, signal in device.signals.items():
            known = QUANTITIES[quantity]
            for hour in range(0, 24 * 60, 5):
                value = signal.value(1_750_000_000_000 + hour * 3_600_000)
                assert value is None or known.low <= value <= known.high, quantity


def test_the_samples_use_every_device_and_every_fault() -> None:
    scenarios = [load(path) for path in SAMPLES]
    used = {device.section.type for scenario in scenarios for device in scenario.devices}
    assert used == set(DEVICES)
    kinds = {fault.kind for scenario in scenarios for device in scenario.devices for fault in device.faults}
    assert kinds == set(DEVICE_FAULTS)
    assert {fault.kind for scenario in scenarios for fault in scenario.faults} == set(STATION_FAULTS)


def test_station_faults_are_handed_to_whoever_plays_the_station() -> None:
    scenario = parse(tomllib.loads(GOOD + "[[fault]]\nkind = 'clock_1970'\nfor_s = 60.0"))
    assert scenario.faults == [Clock1970(kind="clock_1970", for_s=60.0)]


def test_the_same_seed_gives_the_same_world_and_another_one_another() -> None:
    text = GOOD.replace("{ constant = 1.0 }", '{ synthetic = "tide" }')

    def first(seed: int) -> float | None:
        return parse({**tomllib.loads(text), "seed": seed}).devices[0].signals["pm2_5"].value(0)

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_a_recordings_path_is_relative_to_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "levels.csv").write_text("when,cm\n2024-05-01 00:00,123\n2024-05-01 01:00,456\n")
    (tmp_path / "s.toml").write_text("""
        [[device]]
        type = "ultrasonic"
        port = "ttySIM0"
        [device.signals]
        water_distance = { recorded = "levels.csv", column = "cm", unit = "cm", time_columns = ["when"] }
    """)
    signal = load(tmp_path / "s.toml").devices[0].signals["water_distance"]
    assert signal.value(1714521600000) == pytest.approx(1.23)
