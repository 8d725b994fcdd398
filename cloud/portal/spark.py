"""Sparklines: from buckets to the path of a small picture. Pure."""

from collections.abc import Sequence

import msgspec

from cloud.store.protocol import Bucket
from sensing.quantity import Quantity

WIDTH = 120
HEIGHT = 32
STEPS = 60
_MARGIN = 3.0
_HOUR_MS = 3_600_000
_INTERVALS = 180
# Below so many times the resolution a wiggle is noise, and is drawn as one.
_LEAST_RANGE = 10.0


class Window(msgspec.Struct, frozen=True):
    """What part of a series is drawn: [start, end) in ms, in steps of ``step`` ms."""

    start: int
    end: int
    step: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start) / 1000


class Spark(msgspec.Struct, frozen=True):
    """A picture of ``WIDTH`` by ``HEIGHT``.

    Attributes:
        line: path of the line, or of the bars; empty without data.
        area: path of what lies below the line; empty for bars.
        dot: path of a point at the newest value; empty for bars.
        low: lowest value in the window, None without data.
        high: highest value in the window, None without data.
    """

    line: str
    area: str
    dot: str
    low: float | None
    high: float | None


def window(now: int, interval_s: float) -> Window:
    """About 180 intervals before ``now``, at least an hour, at most two days."""
    span = min(max(round(interval_s * 1000) * _INTERVALS, _HOUR_MS), 48 * _HOUR_MS)
    step = span // STEPS
    end = (now // step + 1) * step
    return Window(end - STEPS * step, end, step)


def draw(buckets: Sequence[Bucket], view: Window, quantity: Quantity, interval_s: float) -> Spark:
    """The picture of a series: bars for what adds up (rain), else a line that is broken where data are missing."""
    if not buckets:
        return Spark("", "", "", None, None)
    if quantity.aggregate == "sum":
        return _bars([(b.start, b.mean * b.count) for b in buckets], view)
    values = [(b.start, b.max if quantity.aggregate == "max" else b.mean) for b in buckets]
    low, high = min(b.min for b in buckets), max(b.max for b in buckets)
    bottom, scale = _scale(low, high, quantity.resolution)
    gap = max(3 * view.step, round(3000 * interval_s))
    runs: list[list[tuple[float, float]]] = []
    before: int | None = None
    for at, value in values:
        if before is None or at - before > gap:
            runs.append([])
        runs[-1].append((_x(at, view), HEIGHT - _MARGIN - (value - bottom) * scale))
        before = at
    line = " ".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _visible(run)) for run in runs)
    area = " ".join(_below(run) for run in runs if len(run) > 1)
    x, y = runs[-1][-1]
    return Spark(line, area, f"M{x:.1f} {y:.1f}h0", low, high)


def _below(run: list[tuple[float, float]]) -> str:
    corners = [(run[0][0], HEIGHT), *run, (run[-1][0], HEIGHT)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"


def _visible(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A single point becomes a short stroke: a path of one point draws nothing."""
    if len(run) > 1:
        return run
    ((x, y),) = run
    return [(x - 0.5, y), (x + 0.5, y)]


def _bars(values: Sequence[tuple[int, float]], view: Window) -> Spark:
    high = max(value for _, value in values)
    scale = (HEIGHT - _MARGIN) / high if high > 0 else 0.0
    bars = " ".join(f"M{_x(at, view):.1f} {HEIGHT}V{HEIGHT - max(value * scale, 0.8):.1f}" for at, value in values)
    return Spark(bars, "", "", min(value for _, value in values), high)


def _scale(low: float, high: float, resolution: float) -> tuple[float, float]:
    """Value at the bottom, and units of the picture a unit of the value."""
    span = max(high - low, _LEAST_RANGE * resolution)
    bottom = (low + high - span) / 2
    return bottom, (HEIGHT - 2 * _MARGIN) / span


def _x(at: int, view: Window) -> float:
    return (at + view.step / 2 - view.start) / (view.end - view.start) * WIDTH
