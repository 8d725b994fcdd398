"""The frame of sensors that listen to a GPIO line between their readings."""

import asyncio
import functools
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import msgspec

from edge.buses import gpio
from edge.sensors.base import Context, SensorSection


class LineSection(SensorSection, frozen=True, kw_only=True):
    """Settings that such sensors share.

    Attributes:
        line: number of the GPIO line on its chip (GPIO17 is 17, whatever the pin).
        chip: GPIO chip.
        pull: resistor inside the Raspberry Pi: up, down, none.
        debounce_ms: how long a level must last to count.
    """

    line: gpio.Offset
    chip: Path = Path("/dev/gpiochip0")
    pull: gpio.Pull = "up"
    debounce_ms: Annotated[float, msgspec.Meta(ge=0.0, le=1000.0)] = 10.0

    @property
    def debounce_ns(self) -> int:
        """The same in ns."""
        return round(self.debounce_ms * 1_000_000)


class Listening:
    """Subclass it with ``begin``, ``heard`` and ``work``; call ``check`` first in ``read``."""

    def __init__(self, context: Context, config: LineSection) -> None:
        self.context = context
        self._line_config = config
        self._line: gpio.Line | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, first: gpio.Change) -> None:
        """The line is open and has this level."""
        raise NotImplementedError

    def heard(self, changes: list[gpio.Change]) -> None:
        """The line has changed."""
        raise NotImplementedError

    async def work(self) -> None:
        """What else has to go on; cancelled at the end."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise what made listening end."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def __aenter__(self) -> Self:
        config = self._line_config
        line, first = await self.context.run(
            functools.partial(gpio.open_line, config.chip, config.line, config.pull)
        )
        self._line = line
        self.begin(first)
        self._tasks = [
            asyncio.create_task(gpio.listen(line, self.heard)),
            asyncio.create_task(self.work()),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._line is not None:
            self._line.close()
            self._line = None
