"""Which stations a fleet has: alike ones by the number, or those of a scenario.

::

    [[station]]
    name = "smoke-5331"                   # with count = 20: smoke-5331-0001 and so on
    [[station.datastream]]
    sensor = "sds011"
    quantity = "pm10"
    interval_s = 150
    signal = { recorded = "bonfire", station = "5331" }
"""

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from firmware_sim.fleet.station import DatastreamPlan, StationPlan
from firmware_sim.signals.base import Signal, SignalSection
from firmware_sim.signals.choose import read_signal
from firmware_sim.signals.layout import near
from firmware_sim.signals.synthetic import DailySection, StormSection
from hinomi.config import Section, Walker, read_toml
from hinomi.errors import ConfigError
from sensing.quantity import QUANTITIES

_SCENARIOS = Path(__file__).parent / "scenarios"

# The end that a number takes off a name, and SenML's rule that a name begins with a letter or digit.
Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
Interval = Annotated[float, msgspec.Meta(ge=0.001)]


class DatastreamSection(Section, frozen=True):
    """A ``[[station.datastream]]``; ``signal`` is a table of its own kind, see ``firmware_sim.signals.choose``."""

    sensor: Name
    quantity: str
    interval_s: Interval
    signal: dict[str, object]


class StationSection(Section, frozen=True):
    """A ``[[station]]``.

    Attributes:
        name: in topics and in the store.
        count: so many alike, each with a seed of its own.
        datastream: what it measures.
    """

    name: Name
    datastream: list[DatastreamSection]
    count: Annotated[int, msgspec.Meta(ge=1, le=9999)] = 1


class FleetSection(Section, frozen=True):
    """A fleet's scenario."""

    station: list[StationSection]


def alike(
    count: int, community: str, *, seed: int, prefix: str = "fleet", interval_s: float | None = None
) -> list[StationPlan]:
    """So many stations by turns of a river, of the air and of the weather, in synthetic worlds of their own.

    Args:
        count: how many.
        community: theirs.
        seed: decides their worlds.
        prefix: of their names: ``fleet-0001`` and so on.
        interval_s: of all; default 60 s, in the air 150 s.
    """
    return [_alike(index, f"{community}/{prefix}-{index + 1:04d}", seed, interval_s) for index in range(count)]


def _alike(index: int, id_: str, seed: int, interval_s: float | None) -> StationPlan:
    kind = (_RIVER, _AIR, _WEATHER)[index % 3]
    datastreams = [
        DatastreamPlan(sensor, quantity, interval_s or usual, _Shown(section, quantity, _seed(seed, id_, quantity)))
        for sensor, quantity, usual, section in kind
    ]
    return StationPlan(id_, tuple(datastreams))


class _Shown:
    """A synthetic world as an instrument shows it: in steps of the quantity's resolution."""

    def __init__(self, section: SignalSection, quantity: str, seed: int) -> None:
        self._signal = section.signal(quantity, seed)
        self._digits = max(0, -math.floor(math.log10(QUANTITIES[quantity].resolution)))

    def value(self, at_ms: int) -> float | None:
        """The rounded value."""
        value = self._signal.value(at_ms)
        return None if value is None else round(value, self._digits)


_RIVER = (
    ("gauge", "water_level", 60.0, StormSection(synthetic="storm", base=0.4, peak=3.2)),
    ("bucket", "rain_rate", 60.0, StormSection(synthetic="storm", base=0.0, peak=60.0, rise_h=0.5)),
)
_AIR = (
    ("sds011", "pm10", 150.0, DailySection(synthetic="daily", mean=35.0, amplitude=10.0, wander=20.0)),
    ("sds011", "pm2_5", 150.0, DailySection(synthetic="daily", mean=20.0, amplitude=6.0, wander=12.0)),
)
_WEATHER = (
    ("bme280", "temperature", 60.0, DailySection(synthetic="daily", mean=21.0, amplitude=6.0, wander=3.0)),
    (
        "bme280",
        "humidity",
        60.0,
        DailySection(synthetic="daily", mean=65.0, amplitude=15.0, peak_hour=4.0, wander=10.0),
    ),
    ("bme280", "pressure", 60.0, DailySection(synthetic="daily", mean=1008.0, amplitude=1.0, wander=9.0)),
)


def known_scenarios() -> list[str]:
    """The names of the scenarios that come with the fleet."""
    return sorted(path.stem for path in _SCENARIOS.glob("*.toml"))


def scenario(name: str, community: str, *, seed: int = 0, anchor_ms: int | None = None) -> list[StationPlan]:
    """The stations of a scenario.

    Args:
        name: one that comes with the fleet, or the path of a ``.toml``; recordings are relative to the file.
        community: theirs.
        seed: decides what the signals have of chance.
        anchor_ms: wall time (ms of the measurement clock) at which the recordings begin, where the file does not
            say it.

    Raises:
        ConfigError: every fault of the file at once.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in known_scenarios():
            raise ConfigError.of("scenario", f"no scenario {name!r}; {near(name, known_scenarios())}")
        path = _SCENARIOS / f"{name}.toml"
    return _Reader(path.parent, community, seed, anchor_ms).plans(read_toml(path))


class _Reader:
    def __init__(self, base: Path, community: str, seed: int, anchor_ms: int | None) -> None:
        self._walker = Walker(base)
        self._community = community
        self._seed = seed
        self._anchor_ms = anchor_ms

    def plans(self, data: Mapping[str, Any]) -> list[StationPlan]:
        section = self._walker.section(data, FleetSection, "")
        found: dict[str, StationPlan] = {}
        for index, station in enumerate(section.station if section else ()):
            for number in range(station.count):
                name = station.name if station.count == 1 else f"{station.name}-{number + 1:04d}"
                if name in found or len(name) > 32:
                    self._walker.fault(f"station[{index}].name", f"{name!r} is used twice or longer than 32")
                found[name] = self._station(station, name, f"station[{index}]")
                if self._walker.faults:
                    break
        self._walker.finish()
        return list(found.values())

    def _station(self, section: StationSection, name: str, path: str) -> StationPlan:
        id_ = f"{self._community}/{name}"
        datastreams = []
        seen = set()
        for index, each in enumerate(section.datastream):
            where = f"{path}.datastream[{index}]"
            if (each.sensor, each.quantity) in seen:
                self._walker.fault(where, f"{each.sensor}/{each.quantity} stands there twice")
            seen.add((each.sensor, each.quantity))
            if (signal := self._signal(each, id_, where)) is not None:
                datastreams.append(DatastreamPlan(each.sensor, each.quantity, each.interval_s, signal))
        return StationPlan(id_, tuple(datastreams))

    def _signal(self, section: DatastreamSection, id_: str, path: str) -> Signal | None:
        if section.quantity not in QUANTITIES:
            problem = f"no quantity {section.quantity!r}; {near(section.quantity, QUANTITIES)}"
            self._walker.fault(f"{path}.quantity", problem)
            return None
        table = section.signal
        if "recorded" in table and self._anchor_ms is not None:
            table = {"anchor_ms": self._anchor_ms, **table}
        seed = _seed(self._seed, id_, section.sensor, section.quantity)
        return read_signal(self._walker, table, section.quantity, seed=seed, path=f"{path}.signal")


def _seed(*parts: object) -> int:
    return zlib.crc32("/".join(map(str, parts)).encode())
