"""Asking sensors on a fixed schedule; each is supervised on its own, so that one bad one never stops the others."""

import asyncio
import logging
import math
import random
from typing import Protocol

from edge.collect import Collector
from edge.context import SensorContext
from edge.health import Health
from edge.sensors.base import Sensor, SensorSection
from hinomi.clock import Clock
from hinomi.errors import HinomiError, Rejected, Transient

_LOG = logging.getLogger("hinomi.edge")

# A sensor is left and opened again after this many failures in a row.
FAILURES_BEFORE_REOPENING = 3
# The longest wait (s of the clock given) before something is opened again.
LONGEST_WAIT_S = 300.0


class Part(Protocol):
    """Something that is entered and runs until it fails."""

    async def __call__(self) -> None:
        """Run once; whatever it raises, it is started again."""
        ...


async def supervise(part: str, run: Part, *, clock: Clock, health: Health, rng: random.Random) -> None:
    """Start ``run`` again and again, waiting longer each time that it fails at once; until cancelled.

    This is the place where any error of a plug-in ends: expected ones are a line in the log, others come with their
    traceback, because they are bugs of the plug-in and must not be bugs of the agent.
    """
    failures = 0
    while True:
        started = clock.monotonic()
        try:
            await run()
            error_text = "ended by itself"
        except (HinomiError, OSError) as error:
            error_text = _text(error)
        except Exception as error:  # noqa: BLE001 - this is the supervisor
            error_text = f"a fault in its code: {error!r}"
            if failures == 0:
                _LOG.exception("%s: a fault in its code", part)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Leaving the part failed while we were being ended: that must not bring it back to life.
            raise asyncio.CancelledError
        health.count(f"{part.replace(' ', '.')}.restarts")
        health.failed(part, error_text)
        failures = 0 if clock.monotonic() - started > LONGEST_WAIT_S else failures + 1
        wait = min(2.0**failures, LONGEST_WAIT_S)
        await clock.sleep(wait * rng.uniform(0.5, 1.0))


class Sampler:
    """One asked sensor: opened, read on its schedule, opened again when it fails."""

    def __init__(
        self, section: SensorSection, context: SensorContext, clock: Clock, collector: Collector, health: Health
    ) -> None:
        self._section = section
        self._context = context
        self._clock = clock
        self._collector = collector
        self._health = health
        self.part = f"sensor {section.name}"

    async def run(self) -> None:
        """Open the sensor and read it until it fails too often in a row.

        Raises:
            Transient: it cannot be opened, or failed again and again.
        """
        sensor = self._section.open(self._context)
        async with asyncio.timeout(self._section.timeout_s):
            await sensor.__aenter__()
        try:
            await self._read_on_schedule(sensor)
        finally:
            async with asyncio.timeout(self._section.timeout_s):
                await sensor.__aexit__(None, None, None)

    async def _read_on_schedule(self, sensor: Sensor) -> None:
        """Read at multiples of the interval; a tick that comes while the sensor is still busy is left out."""
        interval = self._section.interval_s
        failures = 0
        due = math.ceil(self._clock.monotonic() / interval) * interval
        while True:
            await self._clock.sleep(due - self._clock.monotonic())
            try:
                await self._read(sensor)
                failures = 0
            except (Transient, TimeoutError) as error:
                failures += 1
                if failures >= FAILURES_BEFORE_REOPENING:
                    raise
                self._failed(error)
            except Rejected as error:
                # The device answers, only not with a reading: opening it again would change nothing.
                self._failed(error)
            now = self._clock.monotonic()
            missed = math.floor((now - due) / interval)
            if missed > 0:
                self._health.count(f"sensor.{self._section.name}.missed", missed)
            due += (max(missed, 0) + 1) * interval

    async def _read(self, sensor: Sensor) -> None:
        state = self._context.kept
        try:
            async with asyncio.timeout(self._section.timeout_s):
                measured = await sensor.read()
        except BaseException:
            state.discard()
            raise
        self._collector.add(self._section.name, measured, notes=state.take(), urgent=self._section.urgent)
        self._health.works(self.part)

    def _failed(self, error: Exception) -> None:
        self._health.count(f"sensor.{self._section.name}.failures")
        self._health.failed(self.part, _text(error))


def _text(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer within its time limit"
    return str(error) or type(error).__name__
