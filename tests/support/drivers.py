"""Real drivers, opened as the agent opens them: their own thread, durable values, a place to push to."""

import importlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from edge.context import OwnThread
from edge.sensors import SENSORS
from edge.sensors.base import Measured, Sensor
from hinomi.clock import SystemClock
from hinomi.config import parse

T = TypeVar("T")


class Kept:
    """Implements ``edge.sensors.base.State`` in memory."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def stage(self, key: str, value: bytes) -> None:
        self.values[key] = value

    async def save(self, key: str, value: bytes) -> None:
        self.values[key] = value


class DriverContext:
    """Implements ``edge.sensors.base.Context``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = SystemClock()
        self.rng = random.Random(1)
        self.state = Kept()
        self.pushed: list[Measured] = []
        self._thread = OwnThread(name)

    async def run(self, work: Callable[[], T]) -> T:
        return await self._thread.run(work)

    async def push(self, measured: Sequence[Measured], *, age_s: float = 0.0) -> None:
        assert age_s >= 0.0
        self.pushed += measured

    def close(self) -> None:
        self._thread.close()


@asynccontextmanager
async def driver(table: dict[str, Any]) -> AsyncIterator[tuple[Sensor, DriverContext]]:
    """The driver of a ``[[sensor]]`` table, entered; and what it was given."""
    module, _, name = SENSORS[table["type"]].partition(":")
    config = parse({"name": "x", "interval_s": 10.0, **table}, getattr(importlib.import_module(module), name))
    context = DriverContext(table["type"])
    try:
        async with config.open(context) as sensor:
            yield sensor, context
    finally:
        context.close()


async def reading(table: dict[str, Any]) -> dict[str, float]:
    """One reading of a driver that is opened for it alone."""
    async with driver(table) as (sensor, _):
        return {one.quantity: one.value for one in await sensor.read()}
