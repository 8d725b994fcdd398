"""A serial line with one device on it that may speak by itself and may be spoken to."""

import asyncio
from typing import Protocol

from firmware_sim.buses.pty import Pty
from firmware_sim.part import Part, Powered, Silent

_SPLIT_CHANCE = 0.25
_SPLIT_S = 0.002


class UartDevice(Powered, Protocol):
    """The protocol of a serial device without its line."""

    def period_s(self) -> float:
        """Virtual seconds between two calls of ``tick``."""
        ...

    def tick(self) -> bytes:
        """What it sends by itself now; empty for nothing.

        Raises:
            Silent: a recording has a gap.
        """
        ...

    def receive(self, data: bytes) -> bytes:
        """What it answers to bytes that arrived.

        Raises:
            Silent: a recording has a gap.
        """
        ...


class UartLine:
    """Plays ``device`` on a pseudo terminal."""

    def __init__(self, device: UartDevice, part: Part) -> None:
        self._device = device
        self._part = part
        self._wire = asyncio.Lock()

    async def run(self, pty: Pty) -> None:
        """Speak and answer until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(pty))
            tasks.create_task(self._answer(pty))

    async def _speak(self, pty: Pty) -> None:
        while True:
            await self._part.world.step(self._device.period_s())
            self._part.revive(self._device)
            await self._send(pty, self._spoken())

    def _spoken(self) -> bytes:
        try:
            return self._part.spoken(self._device.tick())
        except Silent:
            return b""

    async def _answer(self, pty: Pty) -> None:
        while True:
            data = await pty.read()
            self._part.revive(self._device)
            if not self._part.hears():
                continue
            try:
                reply = self._part.spoken(self._device.receive(data))
            except Silent:
                continue
            await self._send(pty, reply)

    async def _send(self, pty: Pty, frame: bytes) -> None:
        """Send, now and then in two pieces: a driver that takes one read for one frame is wrong."""
        rng = self._part.rng
        async with self._wire:
            if len(frame) > 1 and rng.random() < _SPLIT_CHANCE:
                cut = rng.randrange(1, len(frame))
                pty.write(frame[:cut])
                await self._part.world.wait_real(_SPLIT_S)
                frame = frame[cut:]
            if frame:
                pty.write(frame)
