"""Worlds that were never recorded: constant, tide, daily cycle, storm, gust.

All are pure functions of (seed, time): nothing is remembered between two questions, so several processes and any
order of asking agree, and a month can be skipped at no cost. Randomness is a hash of (seed, index), not a stream.
"""

import math
from typing import Annotated, Literal

import msgspec

from firmware_sim.signals.base import Signal, SignalSection

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_MASK = (1 << 64) - 1

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]


def unit_hash(seed: int, index: int) -> float:
    """A number in [0, 1) that looks random but is decided by (seed, index); finaliser of SplitMix64."""
    mixed = (
        (seed & _MASK) * 0xD1342543DE82EF95 + (index & _MASK) * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019
    ) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def noise(seed: int, at_ms: int, period_ms: float) -> float:
    """Smooth noise between -1 and 1 that changes within about ``period_ms``."""
    place = at_ms / period_ms
    index = math.floor(place)
    part = place - index
    weight = part * part * (3.0 - 2.0 * part)
    left, right = unit_hash(seed, index), unit_hash(seed, index + 1)
    return 2.0 * (left + (right - left) * weight) - 1.0


class ConstantSection(SignalSection, frozen=True):
    """``{constant = 21.5}``: a world that stands still.

    Attributes:
        constant: the value, in the quantity's unit.
    """

    constant: float

    def signal(self, quantity: str, seed: int) -> Signal:  # noqa: ARG002 - the protocol names them
        """The constant."""
        return Constant(self.constant)


class Constant:
    """The same at any time."""

    def __init__(self, level: float) -> None:
        self._level = level

    def value(self, at_ms: int) -> float | None:  # noqa: ARG002 - the protocol names it
        """The constant."""
        return self._level


class TideSection(SignalSection, frozen=True):
    """``{synthetic = "tide", mean = 1.2, amplitude = 0.8}``: the four greatest constituents at seeded phases.

    Attributes:
        synthetic: this kind.
        mean: mean level, in the quantity's unit.
        amplitude: amplitude of M2, the lunar half-day tide; the others follow in a usual proportion.
    """

    synthetic: Literal["tide"]
    mean: float = 0.0
    amplitude: NotNegative = 0.5

    def signal(self, quantity: str, seed: int) -> Signal:  # noqa: ARG002 - the protocol names it
        """The tide with the phases that ``seed`` gives."""
        return Tide(self, seed)


class Tide:
    """Sum of M2, S2, K1, O1; periods in hours from Doodson's numbers, as every tide table has them."""

    _CONSTITUENTS = ((12.4206012, 1.0), (12.0, 0.4), (23.93447213, 0.3), (25.81933871, 0.2))

    def __init__(self, section: TideSection, seed: int) -> None:
        self._mean = section.mean
        self._waves = [
            (2.0 * math.pi / (hours * _HOUR_MS), section.amplitude * share, 2.0 * math.pi * unit_hash(seed, index))
            for index, (hours, share) in enumerate(self._CONSTITUENTS)
        ]

    def value(self, at_ms: int) -> float | None:
        """The level at ``at_ms``."""
        return self._mean + sum(height * math.cos(speed * at_ms + phase) for speed, height, phase in self._waves)


class DailySection(SignalSection, frozen=True):
    """``{synthetic = "daily", mean = 18, amplitude = 6}``: one wave a day with a slow seeded wander.

    Attributes:
        synthetic: this kind.
        mean: daily mean, in the quantity's unit.
        amplitude: half the daily range.
        peak_hour: local hour of the greatest value.
        utc_offset_h: local time minus UTC, hours.
        wander: greatest deviation of the weather from that wave; changes within ``wander_h`` hours.
        wander_h: see ``wander``.
    """

    synthetic: Literal["daily"]
    mean: float = 0.0
    amplitude: NotNegative = 1.0
    peak_hour: float = 14.0
    utc_offset_h: float = 9.0
    wander: NotNegative = 0.0
    wander_h: Positive = 6.0

    def signal(self, quantity: str, seed: int) -> Signal:  # noqa: ARG002 - the protocol names it
        """The daily cycle with the wander that ``seed`` gives."""
        return Daily(self, seed)


class Daily:
    """A cosine over the day plus smooth noise."""

    def __init__(self, section: DailySection, seed: int) -> None:
        self._section = section
        self._seed = seed
        self._peak_ms = (section.peak_hour - section.utc_offset_h) * _HOUR_MS

    def value(self, at_ms: int) -> float | None:
        """The value at ``at_ms``."""
        section = self._section
        wave = math.cos(2.0 * math.pi * (at_ms - self._peak_ms) / _DAY_MS)
        wander = noise(self._seed, at_ms, section.wander_h * _HOUR_MS) if section.wander else 0.0
        return section.mean + section.amplitude * wave + section.wander * wander


class StormSection(SignalSection, frozen=True):
    """``{synthetic = "storm", base = 0.4, peak = 3.0, rise_h = 1}``: quiet, then a steep rise and a long fall.

    Fits rain (``base = 0``) and rivers alike.

    Attributes:
        synthetic: this kind.
        peak: greatest value of the greatest storm, in the quantity's unit.
        base: value between storms.
        rise_h: hours from its begin to its peak; it has gone after about ten times that.
        every_h: one storm in each window of this many hours, at a seeded moment, 50 to 100 % as high.
    """

    synthetic: Literal["storm"]
    peak: float
    base: float = 0.0
    rise_h: Positive = 1.0
    every_h: Positive = 72.0

    def __post_init__(self) -> None:
        if self.peak <= self.base:
            raise ValueError("peak must be above base")
        if self.every_h < 10 * self.rise_h:
            raise ValueError("every_h must be at least ten times rise_h: a storm needs that long to pass")

    def signal(self, quantity: str, seed: int) -> Signal:  # noqa: ARG002 - the protocol names it
        """The storms that ``seed`` gives."""
        return Storm(self, seed)


class Storm:
    """Each storm is x·exp(1-x) of the time since its begin over its rise: 0 at the begin, 1 at the peak."""

    def __init__(self, section: StormSection, seed: int) -> None:
        self._section = section
        self._seed = seed
        self._window_ms = section.every_h * _HOUR_MS
        self._rise_ms = section.rise_h * _HOUR_MS

    def value(self, at_ms: int) -> float | None:
        """The value at ``at_ms``: the present storm and what is left of the one before."""
        window = math.floor(at_ms / self._window_ms)
        height = sum(self._storm(index, at_ms) for index in (window - 1, window))
        section = self._section
        return section.base + (section.peak - section.base) * min(height, 1.0)

    def _storm(self, window: int, at_ms: int) -> float:
        begin = (window + unit_hash(self._seed, 2 * window)) * self._window_ms
        since = (at_ms - begin) / self._rise_ms
        if since <= 0.0:
            return 0.0
        return (0.5 + 0.5 * unit_hash(self._seed, 2 * window + 1)) * since * math.exp(1.0 - since)


class GustSection(SignalSection, frozen=True):
    """``{synthetic = "gust", mean = 4, gust = 12}``: turbulent wind with single gusts; never below 0.

    Attributes:
        synthetic: this kind.
        mean: mean speed, in the quantity's unit.
        gust: speed at the height of the strongest gust.
        every_s: one gust in each window of this many seconds, at a seeded moment.
        length_s: how long a gust lasts.
    """

    synthetic: Literal["gust"]
    mean: NotNegative = 3.0
    gust: NotNegative = 9.0
    every_s: Positive = 120.0
    length_s: Positive = 6.0

    def __post_init__(self) -> None:
        if self.gust < self.mean:
            raise ValueError("gust must be at least mean")
        if self.every_s < 2 * self.length_s:
            raise ValueError("every_s must be at least twice length_s")

    def signal(self, quantity: str, seed: int) -> Signal:  # noqa: ARG002 - the protocol names it
        """The wind that ``seed`` gives."""
        return Gust(self, seed)


class Gust:
    """Smooth noise of 30 % around the mean, and a half sine wave for each gust."""

    def __init__(self, section: GustSection, seed: int) -> None:
        self._section = section
        self._seed = seed

    def value(self, at_ms: int) -> float | None:
        """The speed at ``at_ms``."""
        section = self._section
        breeze = section.mean * (1.0 + 0.3 * noise(self._seed, at_ms, 15_000))
        place = at_ms / (section.every_s * 1000.0)
        window = math.floor(place)
        room = 1.0 - section.length_s / section.every_s
        begin = unit_hash(self._seed ^ 1, 2 * window) * room
        since = (place - window - begin) * section.every_s / section.length_s
        if not 0.0 < since < 1.0:
            return breeze
        height = (section.gust - section.mean) * (0.6 + 0.4 * unit_hash(self._seed ^ 1, 2 * window + 1))
        return max(breeze, section.mean + height * math.sin(math.pi * since))


SYNTHETIC: dict[str, type[SignalSection]] = {
    "tide": TideSection,
    "daily": DailySection,
    "storm": StormSection,
    "gust": GustSection,
}
