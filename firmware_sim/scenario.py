"""A scenario: which devices a simulated station has, what they measure, and what goes wrong when.

::

    seed = 7

    [clock]                      # optional: virtual time, shared with the agent
    speed = 600.0
    origin_ms = 1562000000000
    anchor_s = 4711.0

    [[device]]
    type = "bme280"
    address = 0x76
    [device.signals]
    temperature = { synthetic = "daily", mean = 18.0, amplitude = 6.0 }
    humidity = { constant = 55.0 }
    pressure = { recorded = "airports", station = "JFK" }
    [[device.fault]]
    kind = "spike"
    quantity = "temperature"
    value = 99.0
    at_s = 60.0
    for_s = 5.0

    [[fault]]                    # of the station itself
    kind = "clock_1970"
    for_s = 600.0
"""

import difflib
import importlib
import random
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from firmware_sim.buses.rack import Rack
from firmware_sim.devices import DEVICES
from firmware_sim.devices.base import DeviceSection
from firmware_sim.faults import (
    DEVICE_FAULTS,
    STATION_FAULTS,
    DeviceFault,
    Faults,
    Scheduled,
    StationFault,
    ValueFault,
)
from firmware_sim.part import Part
from firmware_sim.signals.base import Signal, SignalSection
from firmware_sim.signals.synthetic import SYNTHETIC, ConstantSection
from firmware_sim.world import World
from hinomi.clock import ClockSection
from hinomi.config import Section, Walker, read_toml
from hinomi.errors import ConfigError
from sensing.quantity import QUANTITIES

F = TypeVar("F", bound=Scheduled)


class ScenarioSection(Section, frozen=True):
    """The settings of a scenario beside its devices and faults.

    Attributes:
        seed: decides everything that is left to chance.
        clock: virtual time; without it, real time from the start of the process.
    """

    seed: int = 0
    clock: ClockSection | None = None


class Device(msgspec.Struct, frozen=True):
    """A device of the scenario.

    Attributes:
        section: its settings.
        signals: what it measures, by quantity.
        faults: what goes wrong with it.
        seed: decides what it has of chance.
    """

    section: DeviceSection
    signals: dict[str, Signal]
    faults: list[DeviceFault]
    seed: int


class Scenario(msgspec.Struct, frozen=True):
    """A scenario without fault (of the person who wrote it).

    Attributes:
        settings: seed and clock.
        devices: in the order of the file.
        faults: of the station itself, see ``firmware_sim.faults.StationClock``.
    """

    settings: ScenarioSection
    devices: list[Device]
    faults: list[StationFault]

    def rack(self, world: World) -> Rack:
        """All devices, built and plugged in."""
        rack = Rack(world)
        for device in self.devices:
            faults = Faults(device.faults, world, device.seed)
            rng = random.Random(device.seed)  # noqa: S311 - no secret, and it has to repeat
            device.section.plug(rack, Part(world, device.signals, faults, rng))
        return rack


def load(path: Path) -> Scenario:
    """Read a scenario; paths of recordings in it are relative to the file.

    Raises:
        ConfigError: every fault of the file at once.
    """
    return parse(read_toml(path), base=path.parent)


def parse(data: Mapping[str, Any], *, base: Path = Path()) -> Scenario:
    """The scenario of parsed tables.

    Raises:
        ConfigError: every fault at once.
    """
    return _Reader(base).scenario(data)


def seed_of(*parts: object) -> int:
    """A seed for something named, the same in every process."""
    return zlib.crc32("/".join(map(str, parts)).encode())


class _Reader:
    """Walks the tables that are sections of different kinds, told by one of their keys."""

    def __init__(self, base: Path) -> None:
        self._walker = Walker(base)
        self._seed = 0
        self._wires: dict[str, dict[str, str]] = {}

    def scenario(self, data: Mapping[str, Any]) -> Scenario:
        rest = {key: value for key, value in data.items() if key not in {"device", "fault"}}
        settings = self._walker.section(rest, ScenarioSection, "")
        self._seed = settings.seed if settings else 0
        devices = [self._device(table, path) for table, path in self._tables(data, "device", "")]
        if not devices and "device" not in data:
            self._walker.fault("device", "is missing, expected at least one [[device]]")
        faults = self._faults(data, "", STATION_FAULTS, frozenset(STATION_FAULTS))
        self._walker.finish()
        return Scenario(cast("ScenarioSection", settings), cast("list[Device]", devices), faults)

    def _tables(self, data: Mapping[str, Any], key: str, path: str) -> list[tuple[dict[str, Any], str]]:
        """The tables of ``[[key]]`` with their paths."""
        where = f"{path}.{key}" if path else key
        items = data.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            self._walker.fault(where, f"got {items!r:.60}, expected tables: write [[{where}]]")
            return []
        return [(item, f"{where}[{index}]") for index, item in enumerate(items)]

    def _device(self, table: dict[str, Any], path: str) -> Device | None:
        before = len(self._walker.faults)
        kind = self._kind(table, DEVICES, "type", path)
        if kind is None:
            return None
        module, _, name = DEVICES[kind].partition(":")
        section_type: type[DeviceSection] = getattr(importlib.import_module(module), name)
        own = {key: value for key, value in table.items() if key not in {"signals", "fault"}}
        section = self._walker.section(own, section_type, path)
        label = str(table.get("name") or f"{kind} {path}")
        if section is not None:
            self._place(section, path)
        signals = self._signals(table.get("signals", {}), section, label, f"{path}.signals")
        faults = self._faults(table, path, DEVICE_FAULTS, section_type.FAULTS)
        if section is not None:
            self._known_quantities(faults, section, path)
        if section is None or len(self._walker.faults) > before:
            return None
        return Device(section, signals, faults, seed_of(self._seed, label))

    def _kind(self, table: Mapping[str, Any], known: Iterable[str], key: str, path: str) -> str | None:
        """What ``table`` is by its ``key``."""
        names = list(known)
        kind = table.get(key)
        if isinstance(kind, str) and kind in names:
            return kind
        near = difflib.get_close_matches(str(kind), names, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        got = f"got {kind!r:.60}" if key in table else "is missing"
        self._walker.fault(f"{path}.{key}", f"{got}, expected one of {', '.join(names)}{advice}")
        return None

    def _place(self, section: DeviceSection, path: str) -> None:
        """Note where a device sits, and whether somebody sits there already."""
        wire, place = section.wire(), section.place()
        taken = self._wires.setdefault(wire, {})
        if place in taken or (taken and (place == "" or "" in taken)):
            other = taken.get(place) or next(iter(taken.values()))
            self._walker.fault(path, f"{' '.join(filter(None, (wire, place)))} is taken by {other}")
        taken.setdefault(place, path)

    def _signals(self, data: object, section: DeviceSection | None, label: str, path: str) -> dict[str, Signal]:
        if not isinstance(data, dict):
            self._walker.fault(path, f"got {data!r:.60}, expected a table")
            return {}
        known = set(QUANTITIES) if section is None else section.measures()
        found = {}
        for quantity, table in data.items():
            where = f"{path}.{quantity}"
            if quantity not in known:
                self._walker.fault(where, f"is not measured by this device; known here: {', '.join(sorted(known))}")
            elif (signal := self._signal(table, quantity, seed_of(self._seed, label, quantity), where)) is not None:
                found[quantity] = signal
        for quantity in sorted(() if section is None else section.measures()):
            if quantity not in QUANTITIES:
                self._walker.fault(path, f"no quantity {quantity!r}")
            elif quantity not in data:
                self._walker.fault(f"{path}.{quantity}", "is missing, expected a signal, e.g. { constant = 1.0 }")
        return found

    def _signal(self, table: object, quantity: str, seed: int, path: str) -> Signal | None:
        section = self._signal_section(table, path)
        if section is None:
            return None
        try:
            return section.signal(quantity, seed)
        except ConfigError as error:
            for fault in error.faults:
                self._walker.fault(path, str(fault))
            return None

    def _signal_section(self, table: object, path: str) -> SignalSection | None:
        kinds = ("constant", "synthetic", "recorded")
        has = [kind for kind in kinds if isinstance(table, dict) and kind in table]
        if not isinstance(table, dict) or len(has) != 1:
            self._walker.fault(path, f"got {table!r:.60}, expected a table with one of {', '.join(kinds)}")
            return None
        if has[0] == "constant":
            return self._walker.section(table, ConstantSection, path)
        if has[0] == "recorded":
            # Recordings bring the CSV reader along, which a scenario without any does not need.
            recorded = importlib.import_module("firmware_sim.signals.recorded")
            return self._walker.section(table, cast("type[SignalSection]", recorded.RecordedSection), path)
        kind = self._kind(table, SYNTHETIC, "synthetic", path)
        return None if kind is None else self._walker.section(table, SYNTHETIC[kind], path)

    def _faults(
        self, data: Mapping[str, Any], path: str, kinds: Mapping[str, type[F]], allowed: Iterable[str]
    ) -> list[F]:
        found = []
        for table, where in self._tables(data, "fault", path):
            kind = self._kind(table, sorted(allowed), "kind", where)
            fault = None if kind is None else self._walker.section(table, kinds[kind], where)
            if fault is not None:
                found.append(fault)
        return found

    def _known_quantities(self, faults: Iterable[DeviceFault], section: DeviceSection, path: str) -> None:
        known = section.measures()
        for index, fault in enumerate(faults):
            if isinstance(fault, ValueFault) and fault.quantity not in {None, *known}:
                problem = f"got {fault.quantity!r}, expected one of {', '.join(sorted(known))}"
                self._walker.fault(f"{path}.fault[{index}].quantity", problem)
