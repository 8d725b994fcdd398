"""Simulated devices without a process: on a clock that the test owns, or on real buses in a folder."""

import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.clock import ManualClock

from firmware_sim.faults import DeviceFault, Faults
from firmware_sim.part import Part
from firmware_sim.scenario import parse
from firmware_sim.signals.base import Signal
from firmware_sim.signals.synthetic import Constant
from firmware_sim.world import World, real_world
from hinomi.clock import SystemClock


class Settable:
    """A signal that the test sets; None is a gap."""

    def __init__(self, level: float | None) -> None:
        self.level = level

    def value(self, at_ms: int) -> float | None:
        return self.level


def part(clock: ManualClock, signals: Mapping[str, float | Signal], faults: Iterable[DeviceFault] = ()) -> Part:
    world = World(clock, clock)
    made = {name: Constant(what) if isinstance(what, int | float) else what for name, what in signals.items()}
    return Part(world, made, Faults(list(faults), world, 1), random.Random(1))


@asynccontextmanager
async def hosted(devices: list[dict[str, Any]], root: Path, *, speed: float = 1.0) -> AsyncIterator[World]:
    """The devices of a scenario on real buses below ``root``; virtual time begins now and runs ``speed`` times."""
    clock = {"speed": speed, "origin_ms": time.time_ns() // 1_000_000, "anchor_s": SystemClock().monotonic()}
    scenario = parse({"clock": clock, "device": devices})
    world = real_world(scenario.settings.clock)
    async with scenario.rack(world).serving(root):
        yield world
