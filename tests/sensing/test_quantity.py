"""The table of quantities against the vocabularies it speaks."""

import math

import pytest
import ucumvert
from support.senml_registry import PRIMARY, SECONDARY

from hinomi.errors import Rejected
from sensing.quantity import QUANTITIES, Quantity
from sensing.units import SENML_SECONDARY, linear

ROWS = list(QUANTITIES.values())
UCUM = ucumvert.PintUcumRegistry()

# Everything that a town was promised to be able to measure.
PROMISED = {
    "water_level",
    "water_distance",
    "rain_increment",
    "rain_rate",
    "temperature",
    "humidity",
    "pressure",
    "wbgt",
    "globe_temperature",
    "wind_speed",
    "wind_gust",
    "wind_direction",
    "pm1",
    "pm2_5",
    "pm10",
    "co2",
    "no2",
    "o3",
    "noise",
    "illuminance",
    "uv_index",
    "irradiance",
    "snow_depth",
    "soil_moisture",
    "soil_temperature",
    "water_temperature",
    "discharge",
    "seismic_intensity",
    "door_open",
    "motion",
    "battery_voltage",
    "battery_level",
    "signal_strength",
    "people_count",
    "radiation_dose_rate",
    "cpu_temperature",
    "disk_free",
    "memory_free",
}


def test_every_promised_quantity_is_there() -> None:
    assert len(ROWS) >= 30
    assert set(QUANTITIES) >= PROMISED
    assert all(name == row.name for name, row in QUANTITIES.items())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_unit_is_ucum(row: Quantity) -> None:
    """Parsed by a grammar made from the UCUM vocabulary itself."""
    ucumvert.get_ucum_parser().parse(row.unit)
    UCUM.from_ucum(row.unit)


def test_the_ucum_test_would_see_a_wrong_unit() -> None:
    for wrong in ("dBm", "knot", "ug/m^3", "percent", "ppm"):
        with pytest.raises(ucumvert.InvalidUcumError):
            UCUM.from_ucum(wrong)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_wire_unit_is_senml_and_of_the_same_size(row: Quantity) -> None:
    """Registered by RFC 8428 or 8798, and a value crosses the wire bit for bit."""
    if not row.wire_unit:
        # Nothing registered has this size; the field u is left out.
        assert row.unit in {"[ppb]", "uSv/h"}
        return
    assert row.wire_unit in PRIMARY or row.wire_unit in SECONDARY
    assert linear(row.wire_unit, row.unit) == (1.0, 0.0)
    assert linear(row.unit, row.wire_unit) == (1.0, 0.0)


def test_the_secondary_units_are_those_of_the_rfc() -> None:
    assert set(SECONDARY) == SENML_SECONDARY


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_limits_make_sense(row: Quantity) -> None:
    assert math.isfinite(row.low)
    assert math.isfinite(row.high)
    assert row.low < row.high
    assert 0 < row.resolution <= (row.high - row.low)
    assert row.step_per_minute > row.resolution or row.unit == "1"
    assert row.stuck_hours >= 6
    assert row.name_ja
    assert row.name_en
    assert not row.name_ja.isascii() or row.name_ja.startswith("PM")
    assert row.name_en.isascii()
    assert row.name.replace("_", "").isalnum()
    assert row.name.islower()


def test_names_are_told_apart() -> None:
    for names in ([row.name_ja for row in ROWS], [row.name_en for row in ROWS]):
        assert len(set(names)) == len(names)


def test_what_tells_of_a_persons_life_is_personal() -> None:
    assert {row.name for row in ROWS if row.personal} == {"motion", "door_open"}


def test_angles_sums_and_states_have_their_own_aggregates() -> None:
    assert QUANTITIES["wind_direction"].aggregate == "vector_mean"
    assert QUANTITIES["rain_increment"].aggregate == "sum"
    assert QUANTITIES["door_open"].aggregate == "max"


def test_a_pinned_sds011_is_out_of_range() -> None:
    assert QUANTITIES["pm2_5"].high < 999.9


def test_no_name_is_a_measurement_of_the_cloud_itself() -> None:
    assert not any(name.startswith("hinomi") for name in QUANTITIES)


def test_unknown_units_are_rejected_by_name() -> None:
    with pytest.raises(Rejected, match="furlong"):
        linear("furlong", "m")
