"""Fleets for tests, and what their logs say was accepted."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from support.fleet_acker import Acker

from firmware_sim.fleet.fleet import Fleet
from firmware_sim.fleet.link import Broker
from firmware_sim.fleet.log import read_packs
from firmware_sim.fleet.station import Wire
from hinomi.clock import SystemClock

REAL = SystemClock()


def accepted(log: Path):
    found = {}
    for pack in read_packs(log):
        values = [value for series in pack.series for value in series.values]
        found.update(zip(pack.reading_keys(), values, strict=True))
    return found


def delivered(log: Path, acker: Acker):
    """Every reading of the log arrived with its value, and nothing else did."""
    wanted = accepted(log)
    assert acker.keys == set(wanted)
    assert all(acker.values[key] == {value} for key, value in wanted.items())
    return len(wanted)


def make(plans, port, log, *, clock=REAL, seed=1, **settings):
    wire = Wire(Broker("127.0.0.1", port), settings.pop("form", "json"), settings.pop("deflate", False))
    return Fleet(plans, wire, log, clock=clock, pace=REAL, rng=random.Random(seed), **settings)


@contextlib.asynccontextmanager
async def running(fleet):
    """The fleet at work; it is cancelled at the end, until when it may not fail."""
    async with fleet:
        task = asyncio.ensure_future(fleet.run())
        try:
            yield fleet
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
