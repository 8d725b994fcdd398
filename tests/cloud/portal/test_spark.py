"""Sparklines: what is drawn of a series."""

import re

import pytest

from cloud.portal.spark import HEIGHT, STEPS, WIDTH, draw, window
from cloud.store.protocol import Bucket
from sensing.quantity import QUANTITIES

NOW = 1_700_000_000_000
HOUR = 3_600_000
LEVEL, RAIN, GUST = (QUANTITIES[name] for name in ("water_level", "rain_increment", "wind_gust"))


def buckets(values: dict[int, float], view) -> list[Bucket]:
    return [Bucket(view.start + i * view.step, v, v, v, 1) for i, v in sorted(values.items())]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


@pytest.mark.parametrize(("interval", "hours"), [(1, 1), (10, 1), (60, 3), (300, 15), (3600, 48)])
def test_the_window_follows_the_interval_within_bounds(interval, hours):
    view = window(NOW, interval)
    assert view.end - view.start == pytest.approx(hours * HOUR, rel=0.01)
    assert view.start % view.step == 0
    assert view.end > NOW >= view.end - view.step
    assert (view.end - view.start) // view.step == STEPS


def test_nothing_is_drawn_of_nothing():
    spark = draw([], window(NOW, 60), LEVEL, 60)
    assert (spark.line, spark.area, spark.dot, spark.low, spark.high) == ("", "", "", None, None)


def test_a_rising_value_goes_up_and_to_the_right_inside_the_picture():
    view = window(NOW, 60)
    spark = draw(buckets({i: float(i) for i in range(STEPS)}, view), view, LEVEL, 60)
    found = points(spark.line)
    assert len(found) == STEPS
    assert found == sorted(found)
    assert [y for _, y in found] == sorted((y for _, y in found), reverse=True)
    assert all(0 <= x <= WIDTH and 0 < y < HEIGHT for x, y in found)
    assert (spark.low, spark.high) == (0.0, 59.0)
    assert spark.dot.startswith(f"M{found[-1][0]:.1f} {found[-1][1]:.1f}")


def test_missing_data_break_the_line():
    view = window(NOW, 60)
    spark = draw(buckets({0: 1.0, 1: 1.1, 20: 1.2, 21: 1.3, 40: 1.0}, view), view, LEVEL, 60)
    assert spark.line.count("M") == 3
    assert spark.area.count("Z") == 2


def test_noise_below_the_resolution_looks_flat():
    view = window(NOW, 60)
    spark = draw(buckets({i: 1.0 + 0.0005 * (i % 2) for i in range(STEPS)}, view), view, LEVEL, 60)
    heights = [y for _, y in points(spark.line)]
    assert max(heights) - min(heights) < HEIGHT / 10


def test_what_adds_up_is_drawn_as_bars_of_sums():
    view = window(NOW, 300)
    rain = [Bucket(view.start, 0.5, 0.0, 1.0, 6), Bucket(view.start + view.step, 0.0, 0.0, 0.0, 6)]
    spark = draw(rain, view, RAIN, 300)
    assert spark.high == 3.0
    assert spark.line.count("V") == 2
    assert spark.area == spark.dot == ""


def test_gusts_are_drawn_by_their_highest():
    view = window(NOW, 60)
    spark = draw(
        [Bucket(view.start, 5.0, 1.0, 30.0, 9), Bucket(view.start + view.step, 5.0, 4.0, 6.0, 9)], view, GUST, 60
    )
    heights = [y for _, y in points(spark.line)]
    assert heights[0] < heights[1]
