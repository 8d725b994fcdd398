"""The frame of sensors whose bus calls block: all three run in the sensor's own thread."""

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from edge.sensors.base import Context, Measured
from hinomi.errors import Transient


class Blocking:
    """Subclass it with ``start``, ``measure`` and ``stop``; that makes a Sensor.

    A read that was given up goes on in its thread until its own time-out. It then closes the bus itself, so that
    the port is free when the sensor is opened again.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._abandoned = False

    def start(self) -> None:
        """Open the bus and prove that the device is there."""
        raise NotImplementedError

    def measure(self) -> Sequence[Measured]:
        """Take one reading."""
        raise NotImplementedError

    def stop(self) -> None:
        """Close what ``start`` opened, however far it came; may be called again."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        try:
            await self.context.run(self._start)
        except BaseException:
            self._abandoned = True
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned = True
        with contextlib.suppress(Transient):  # still hanging: it stops itself when it comes back
            await self.context.run(self.stop)

    async def read(self) -> Sequence[Measured]:
        """Measure in the sensor's thread."""
        return await self.context.run(self._measure)

    def _start(self) -> None:
        self._abandoned = False
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        if self._abandoned:
            self.stop()

    def _measure(self) -> Sequence[Measured]:
        try:
            return self.measure()
        finally:
            if self._abandoned:
                self.stop()
