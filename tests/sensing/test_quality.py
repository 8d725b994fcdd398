"""Range, step, stuck, gap: what is flagged, what is not, and that real recordings pass."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recordings import airport, citizens, fukushima, ms, office, river

from sensing.observation import Flag
from sensing.quality import STUCK_READINGS, Checker, State
from sensing.quantity import QUANTITIES

NOW_MS = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def flags_of(
    quantity: str, readings: list[tuple[int, float]], interval_s: float | None = None
) -> list[tuple[int, float, Flag]]:
    """(time, value, flags) of the readings that were flagged."""
    checker, state = Checker(QUANTITIES[quantity], interval_s), State()
    checked = [(at, value, Flag(checker.check(state, at, value))) for at, value in readings]
    return [one for one in checked if one[2]]


def steps(quantity: str, *readings: tuple[float, float], interval_s: float | None = None) -> list[Flag]:
    """Flags of readings given as (minutes, value)."""
    checker, state = Checker(QUANTITIES[quantity], interval_s), State()
    return [Flag(checker.check(state, NOW_MS + round(minutes * MINUTE), value)) for minutes, value in readings]


OK, RANGE, STEP, STUCK, GAP = Flag(0), Flag.RANGE, Flag.STEP, Flag.STUCK, Flag.GAP


@pytest.mark.parametrize(
    ("value", "flag"), [(-50.0, OK), (60.0, OK), (-50.001, RANGE), (60.001, RANGE), (1e300, RANGE), (-1e300, RANGE)]
)
def test_range_includes_its_ends(value: float, flag: Flag) -> None:
    assert steps("temperature", (0, value)) == [flag]


def test_a_spike_is_flagged_and_the_way_back_is_not() -> None:
    """Air temperature may change by 3 degrees a minute."""
    assert steps("temperature", (0, 20), (1, 20.5), (2, 35), (3, 20.6), (4, 20.7)) == [OK, OK, STEP, OK, OK]


def test_a_value_out_of_range_is_no_measure_for_the_next() -> None:
    assert steps("temperature", (0, 20), (1, 85), (2, 20.5)) == [OK, RANGE, OK]


def test_a_step_has_the_time_that_passed() -> None:
    assert steps("temperature", (0, 20), (1, 25)) == [OK, STEP]
    assert steps("temperature", (0, 20), (2, 25)) == [OK, OK]
    assert steps("temperature", (0, 20), (60, 60)) == [OK, OK]


def test_within_a_minute_a_whole_step_is_credible() -> None:
    """Noise does not shrink with the interval."""
    assert steps("temperature", (0, 20), (1 / 60, 22.9), (2 / 60, 20)) == [OK, OK, OK]
    assert steps("temperature", (0, 20), (1 / 60, 23.1)) == [OK, STEP]


def test_a_gauge_that_was_moved_is_believed_after_a_while() -> None:
    """3 m at 1 m a minute: flagged twice, taken at the third minute, and never again."""
    moved = [(minute, 1.0 + 3.0 * (minute > 0)) for minute in range(8)]
    assert steps("water_level", *moved) == [OK, STEP, STEP, OK, OK, OK, OK, OK]


def test_the_flood_of_the_toga_river_is_no_step() -> None:
    """2008: a metre within two minutes, 1.34 m within ten; a flag there would have silenced the alarm."""
    rise = [(0, 0.3), (1, 0.35), (2, 0.8), (3, 1.35), (4, 1.5), (10, 1.64)]
    assert set(steps("water_level", *rise)) == {OK}


def test_doors_counts_and_angles_may_jump() -> None:
    assert steps("wind_direction", (0, 359), (0.1, 2)) == [OK, OK]
    assert steps("door_open", (0, 0), (0.01, 1), (0.02, 0)) == [OK, OK, OK]


def held(quantity: str, value: float, hours: int, minutes: int = 10) -> list[Flag]:
    return steps(quantity, *((minute, value) for minute in range(0, hours * 60 + 1, minutes)))


def test_a_value_held_too_long_is_stuck() -> None:
    """Air temperature: 12 hours, and from then on every reading."""
    found = held("temperature", 21.0, 13)
    assert found[: 12 * 6] == [OK] * 72
    assert found[12 * 6 :] == [STUCK] * 7


def test_stuck_ends_with_the_first_change() -> None:
    readings = [(minute, 21.0) for minute in range(0, 781, 10)] + [(790, 21.01), (800, 21.01)]
    assert steps("temperature", *readings)[-3:] == [STUCK, OK, OK]


def test_a_few_equal_readings_prove_nothing() -> None:
    assert set(steps("temperature", *((hour * 60 * 3, 21.0) for hour in range(STUCK_READINGS - 1)))) == {OK}
    assert steps("temperature", *((hour * 60 * 3, 21.0) for hour in range(STUCK_READINGS)))[-1] == STUCK


def test_an_outage_is_not_holding_still() -> None:
    readings = [(minute, 21.0) for minute in range(0, 300, 10)] + [
        (minute, 21.0) for minute in range(900, 1100, 10)
    ]
    found = steps("temperature", *readings, interval_s=600)
    assert found.count(GAP) == 1
    assert STUCK not in found


@pytest.mark.parametrize("quantity", ["rain_increment", "door_open", "illuminance", "disk_free", "snow_depth"])
def test_what_naturally_holds_still_is_never_stuck(quantity: str) -> None:
    assert set(held(quantity, 0.0, 24 * 7, 60)) == {OK}


def test_a_gap_is_more_than_one_missing_reading() -> None:
    """Interval 60 s: one missing reading and some jitter are no gap, two are."""
    assert steps("pm1", (0, 5), (1, 6), (3.4, 7), (6, 8), (7, 9), interval_s=60) == [OK, OK, OK, GAP, OK]
    assert steps("pm1", (0, 5), (999, 6), interval_s=None) == [OK, OK]


def test_the_first_reading_is_no_gap() -> None:
    assert steps("pm1", (0, 5), interval_s=60) == [OK]


def test_flags_add_up() -> None:
    assert steps("temperature", (0, 20), (3, 99), interval_s=60) == [OK, RANGE | GAP]
    assert steps("temperature", (0, 20), (3, 40), interval_s=60) == [OK, STEP | GAP]


@given(
    st.lists(st.tuples(st.integers(1, 100), st.floats(-100, 100)), min_size=1, max_size=30),
    st.integers(0, 29),
    st.integers(0, 100 * MINUTE),
    st.floats(-100, 100),
)
def test_a_late_reading_disturbs_nothing(
    distances: list[tuple[int, float]], after: int, age: int, value: float
) -> None:
    """It is judged by its range alone, and what follows is flagged as if it had not come."""
    checker = Checker(QUANTITIES["temperature"], 60.0)
    plain, disturbed = State(), State()
    at = NOW_MS
    for i, (minutes, reading) in enumerate(distances):
        at += minutes * MINUTE
        assert checker.check(plain, at, reading) == checker.check(disturbed, at, reading)
        if i == after:
            late = checker.check(disturbed, at - age, value)
            assert late == (0 if -50 <= value <= 60 else RANGE)
    assert plain == disturbed


@given(st.lists(st.tuples(st.integers(-5, 100), st.floats(allow_nan=False, allow_infinity=False)), max_size=50))
def test_any_series_is_judged(distances: list[tuple[int, float]]) -> None:
    """Only the four flags, time never runs backwards in the state, and the state survives a restart."""
    checker, state = Checker(QUANTITIES["water_level"], 10.0), State()
    at = NOW_MS
    for seconds, value in distances:
        at += seconds * 1000
        before = state.at
        assert 0 <= checker.check(state, at, value) <= RANGE | STEP | STUCK | GAP
        assert state.at == max(before, at)
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)
        assert stored == state or state.good != state.good


# Real measurements. A false flag here would be a false flag in a town.


@pytest.mark.parametrize(
    ("quantity", "column", "unit", "to"),
    [("water_level", "gage_height_ft", "ft", "m"), ("discharge", "discharge_cfs", "cfs", "m3/s")],
)
def test_a_flash_flood_is_credible(quantity: str, column: str, unit: str, to: str) -> None:
    """Dead Run, June 2018: 0.13 to 1.88 m, up to 0.2 m in five minutes; nothing of it was an error."""
    readings = river(column, unit, to)
    assert len(readings) == 8928
    assert flags_of(quantity, readings, 300) == []


def test_the_hottest_month_is_credible() -> None:
    month = fukushima()
    assert flags_of("wbgt", [(ms(at), wbgt) for at, wbgt, _ in month], 3600) == []
    assert flags_of("globe_temperature", [(ms(at), globe) for at, _, globe in month], 3600) == []


@pytest.mark.parametrize("name", ["EWR", "JFK", "LGA"])
@pytest.mark.parametrize(
    ("quantity", "column", "unit", "to"),
    [
        ("temperature", "temp", "degF", "Cel"),
        ("humidity", "humid", "%", "%"),
        ("dew_point", "dewp", "degF", "Cel"),
        ("pressure", "pressure", "mb", "hPa"),
        ("wind_speed", "wind_speed", "mph", "m/s"),
        ("wind_gust", "wind_gust", "mph", "m/s"),
        ("wind_direction", "wind_dir", "deg", "deg"),
    ],
)
def test_the_weather_of_a_month_is_credible(name: str, quantity: str, column: str, unit: str, to: str) -> None:
    """Only the hours that the airport left out are gaps."""
    readings = airport(name, column, unit, to)
    found = flags_of(quantity, readings, 3600)
    missing = [at for (before, _), (at, _) in itertools.pairwise(readings) if at - before > 2.5 * HOUR]
    assert [(at, flag) for at, _, flag in found] == [(at, GAP) for at in missing]


@pytest.mark.parametrize(
    ("quantity", "column"),
    [("temperature", "Temperature"), ("humidity", "Humidity"), ("illuminance", "Light"), ("co2", "CO2")],
)
def test_an_office_week_is_credible(quantity: str, column: str) -> None:
    """People come and go, lamps are switched, CO2 jumps by 746 ppm within a minute."""
    assert flags_of(quantity, office(column), 60) == []


def test_the_lone_spike_of_bonfire_night_is_flagged_and_the_smoke_is_not() -> None:
    """Five sensors rise together and none of them is doubted; 7789 shows 736 ug/m3 beside quiet neighbours."""
    doubted = {
        sensor: [value for _, value, flag in flags_of("pm2_5", series, 150) if flag & ~GAP]
        for sensor, series in citizens("P2").items()
    }
    assert doubted.pop("7789") == [400.23, 735.5]
    assert set(doubted) == {"15092", "15462", "5331", "8554", "8733"}
    assert not any(doubted.values())
