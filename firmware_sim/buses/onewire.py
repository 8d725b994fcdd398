"""The sysfs tree of the 1-Wire thermometers: ``w1/devices/28-…/w1_slave``, as the kernel's w1_therm shows it."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from firmware_sim.part import Part, Powered, Silent, spoilt
from firmware_sim.world import World

PERIOD_S = 1.0
"""Virtual seconds between two conversions (a DS18B20 needs 0.75)."""


class OneWireDevice(Powered, Protocol):
    """A thermometer."""

    def scratchpad(self) -> bytes:
        """The nine bytes of a fresh conversion, the last one the CRC.

        Raises:
            Silent: a recording has a gap.
        """
        ...


def crc8(data: bytes) -> int:
    """Dallas' CRC: x^8 + x^5 + x^4 + 1, reflected, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


def shown(scratchpad: bytes) -> str:
    """The two lines of ``w1_slave`` for nine bytes read from the line."""
    crc = crc8(scratchpad[:8])
    raw = int.from_bytes(scratchpad[:2], "little", signed=True)
    # The kernel divides as C does, towards zero.
    millidegrees = int(raw * 1000 / 16)
    text = scratchpad.hex(" ")
    verdict = "YES" if crc == scratchpad[8] else "NO"
    return f"{text} : crc={crc:02x} {verdict}\n{text} t={millidegrees}\n"


class OneWireTree:
    """Rewrites each thermometer's file when its temperature has changed; an absent one has no folder."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._devices: dict[str, tuple[OneWireDevice, Part]] = {}
        self._written: dict[str, str | None] = {}

    def plug(self, identity: str, device: OneWireDevice, part: Part) -> None:
        """Put a thermometer on the line; ``identity`` is ``28-`` and twelve hexadecimal digits."""
        self._devices[identity] = (device, part)

    @contextmanager
    def serving(self, root: Path) -> Iterator[None]:
        """Keep the tree below ``root``; gone when left."""
        self._written.clear()
        self.update(root)
        try:
            yield
        finally:
            shutil.rmtree(root, ignore_errors=True)

    async def run(self, root: Path) -> None:
        """Go on measuring until cancelled."""
        while True:
            await self._world.step(PERIOD_S)
            await asyncio.to_thread(self.update, root)

    def update(self, root: Path) -> None:
        """Measure once."""
        for identity, (device, part) in self._devices.items():
            part.revive(device)
            text = _measured(device, part)
            if identity in self._written and self._written[identity] == text:
                continue
            self._written[identity] = text
            _show(root / "devices" / identity, text)


def _measured(device: OneWireDevice, part: Part) -> str | None:
    if part.silent():
        return None
    if part.faults.hung() is not None:
        # A shorted line reads 0 in every bit, and nine zeros have a good CRC: the kernel says YES.
        return shown(bytes(9))
    try:
        data = device.scratchpad()
    except Silent:
        return None
    return shown(spoilt(data) if part.faults.damaged() else data)


def _show(folder: Path, text: str | None) -> None:
    if text is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / ".w1_slave"
    fresh.write_text(text, "ascii")
    fresh.replace(folder / "w1_slave")
