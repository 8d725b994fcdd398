"""Synthetic signals: in their range, seeded, functions of time alone."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.signals.synthetic import (
    ConstantSection,
    DailySection,
    GustSection,
    StormSection,
    TideSection,
    noise,
    unit_hash,
)

HOUR = 3_600_000
NOW = 1_700_000_000_000

SECTIONS = [
    TideSection(synthetic="tide", mean=1.0, amplitude=0.5),
    DailySection(synthetic="daily", mean=18.0, amplitude=6.0, wander=3.0),
    StormSection(synthetic="storm", base=0.4, peak=3.0),
    GustSection(synthetic="gust", mean=4.0, gust=12.0),
]


def values(section, seed: int, hours: float, step_s: float) -> list[float]:
    signal = section.signal("any", seed)
    return [signal.value(NOW + round(index * step_s * 1000)) for index in range(int(hours * 3600 / step_s))]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.synthetic)
def test_it_is_a_function_of_seed_and_time_alone(section) -> None:
    one, again = section.signal("any", 7), section.signal("any", 7)
    moments = [NOW + index * 1_234_567 for index in range(200)]
    assert [one.value(at) for at in moments] == [again.value(at) for at in reversed(moments)][::-1]
    other = section.signal("any", 8)
    assert [one.value(at) for at in moments] != [other.value(at) for at in moments]


@pytest.mark.parametrize(
    ("section", "low", "high"),
    [(SECTIONS[0], 0.05, 1.95), (SECTIONS[1], 9.0, 27.0), (SECTIONS[2], 0.4, 3.0), (SECTIONS[3], 2.8, 12.0)],
    ids=lambda item: getattr(item, "synthetic", None),
)
def test_it_stays_in_its_range_and_uses_it(section, low: float, high: float) -> None:
    found = values(section, 3, 24 * 40, 600)
    assert min(found) >= low
    assert max(found) <= high
    assert max(found) - min(found) > 0.5 * (high - low)


def test_a_tide_has_about_two_high_waters_a_day() -> None:
    found = values(SECTIONS[0], 1, 24 * 28, 600)
    highs = sum(a < b >= c for a, b, c in zip(found, found[1:], found[2:], strict=False))
    assert 50 <= highs <= 56


def test_a_day_is_warmest_at_its_peak_hour_in_local_time() -> None:
    signal = DailySection(synthetic="daily", mean=20.0, amplitude=5.0, peak_hour=14.0, utc_offset_h=9.0).signal(
        "t", 0
    )
    midnight_utc = NOW - NOW % (24 * HOUR)
    hours = [signal.value(midnight_utc + hour * HOUR) for hour in range(24)]
    assert hours.index(max(hours)) == 5, "14:00 in Japan is 05:00 UTC"
    assert max(hours) == pytest.approx(25.0)


def test_a_storm_rises_steeply_and_falls_slowly() -> None:
    found = values(StormSection(synthetic="storm", base=0.0, peak=10.0, rise_h=1.0, every_h=48.0), 5, 96, 60)
    top = found.index(max(found))
    assert max(found) >= 5.0
    half = max(found) / 2
    rise = next(n for n in range(1, 1000) if found[top - n] < half)
    fall = next(n for n in range(1, 1000) if found[top + n] < half)
    assert rise < fall
    assert sum(value < 0.01 for value in found) > len(found) / 3, "quiet between storms"


def test_gusts_stand_out_of_the_mean() -> None:
    found = values(SECTIONS[3], 2, 4, 1)
    assert 3.5 < statistics.fmean(found) < 5.0
    assert sum(value > 8.0 for value in found) > 50


@given(st.integers(0, 2**32), st.integers(-(2**40), 2**40))
def test_noise_is_bounded_and_smooth(seed: int, at_ms: int) -> None:
    assert 0.0 <= unit_hash(seed, at_ms) < 1.0
    here, there = noise(seed, at_ms, 10_000), noise(seed, at_ms + 10, 10_000)
    assert -1.0 <= here <= 1.0
    assert abs(here - there) < 0.0035


def test_the_hash_spreads_evenly() -> None:
    drawn = [unit_hash(1, index) for index in range(10_000)]
    assert statistics.fmean(drawn) == pytest.approx(0.5, abs=0.01)
    assert statistics.pstdev(drawn) == pytest.approx(1 / math.sqrt(12), abs=0.01)


def test_a_constant_is_constant() -> None:
    assert ConstantSection(constant=2.5).signal("any", 1).value(NOW) == 2.5
