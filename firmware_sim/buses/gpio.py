"""A GPIO chip behind a unix socket.

A client sends one line of JSON, ``{"line": 17}``, and then receives events of 9 bytes: u64le time in ns on the
machine's monotonic clock, u8 level; the first one tells the present level. An event that happens while nobody
listens is lost, as it is on a real chip.
"""

import asyncio
import contextlib
import json
import struct
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from firmware_sim.buses.sockets import listening
from firmware_sim.part import Part, Powered
from firmware_sim.world import World

PERIOD_S = 0.1
"""Virtual seconds between two looks at the lines."""

LINES = 54
"""As many as a Raspberry Pi's chip has."""


class GpioDevice(Powered, Protocol):
    """What is wired to one line."""

    @property
    def level(self) -> int:
        """The present level."""
        ...

    def advance(self, until_ns: int) -> list[tuple[int, int]]:
        """The edges (time, new level) up to ``until_ns``, in order; ``level`` is then that of the last one."""
        ...


def event(at_ns: int, level: int) -> bytes:
    """The 9 bytes of an event."""
    return struct.pack("<QB", at_ns, level)


class GpioChip:
    """Lines with something wired to them; all others stay low."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: dict[int, tuple[GpioDevice, Part]] = {}
        self._clients: dict[asyncio.StreamWriter, int | None] = {}

    def plug(self, line: int, device: GpioDevice, part: Part) -> None:
        """Wire a device to a line."""
        self._lines[line] = (device, part)

    def serving(self, path: Path) -> AbstractAsyncContextManager[None]:
        """Listen on the unix socket ``path``; gone when left."""
        return listening(path, self._client)

    async def run(self) -> None:
        """Let the lines live until cancelled."""
        while True:
            await self._world.step(PERIOD_S)
            self.update()

    def update(self) -> None:
        """Send what has happened up to now to whoever listens."""
        now = self._world.machine_ns()
        for line, (device, part) in self._lines.items():
            part.revive(device)
            data = b"".join(event(at, level) for at, level in device.advance(now))
            if not data:
                continue
            for writer, wanted in self._clients.items():
                if wanted == line:
                    writer.write(data)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = None
        try:
            with contextlib.suppress(ValueError):
                line = _asked(await reader.readline())
                writer.write(
                    event(self._world.machine_ns(), self._lines[line][0].level if line in self._lines else 0)
                )
                self._clients[writer] = line
                await reader.read(1)
        finally:
            del self._clients[writer]


def _asked(request: bytes) -> int:
    """The line that a client wants.

    Raises:
        ValueError: no such line, or no such request.
    """
    asked = json.loads(request)
    line = asked.get("line") if isinstance(asked, dict) else None
    if not isinstance(line, int) or not 0 <= line < LINES:
        raise ValueError(f"no line {line!r}")
    return line
