"""PMS5003 (Plantower): PM1, PM2.5, PM10 over UART, after its data manual (appendices I and II).

Frames begin with 42 4D and a length, and end with the 16-bit sum of everything before. Active: about one a second;
passive: only when asked.
"""

import struct
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection, Port
from firmware_sim.part import Part

_HEAD = b"\x42\x4d"
_COMMAND_LENGTH = 7
_CHANGE_MODE, _READ, _SLEEP = 0xE1, 0xE2, 0xE4
_VERSION = 0x97


class Pms5003Section(DeviceSection, frozen=True, kw_only=True):
    """``type = "pms5003"``; signals: pm1, pm2_5, pm10.

    Attributes:
        port: serial port.
    """

    port: Port

    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "checksum", "hang", "reboot", "battery"}
    )

    def measures(self) -> AbstractSet[str]:
        """All three."""
        return {"pm1", "pm2_5", "pm10"}

    def wire(self) -> str:
        """The port."""
        return self.port

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on its port."""
        rack.plug_uart(self.port, Pms5003(part), part)


def framed(body: bytes) -> bytes:
    """Head, length and sum around ``body``."""
    frame = _HEAD + struct.pack(">H", len(body) + 2) + body
    return frame + struct.pack(">H", sum(frame) & 0xFFFF)


def measured(pm1: float, pm2_5: float, pm10: float) -> bytes:
    """A frame of measured values (ug/m3 under atmospheric environment)."""
    air = [round(min(max(value, 0.0), 999.0)) for value in (pm1, pm2_5, pm10)]
    # What it would be in a factory's standard particles: the same in clean air, half as much again in smoke.
    factory = [value if value <= 30 else round(value * 1.5) for value in air]
    return framed(struct.pack(">12HBB", *factory, *air, *_counts(air), _VERSION, 0))


def _counts(air: Sequence[int]) -> list[int]:
    """Particles in 0.1 l above 0.3, 0.5, 1, 2.5, 5, 10 um: a usual distribution for these masses."""
    pm1, pm2_5, pm10 = air
    counts = [pm1 * 180, pm1 * 52, pm2_5 * 9, pm2_5, max(pm10 - pm2_5, 0) // 2, max(pm10 - pm2_5, 0) // 8]
    return [min(count, 0xFFFF) for count in counts]


class Pms5003:
    """The sensor."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.power_on()

    def power_on(self) -> None:
        """Active and awake."""
        self._active = True
        self._asleep = False
        self._buffer = b""

    def period_s(self) -> float:
        """It sends about once a second."""
        return 1.0

    def tick(self) -> bytes:
        """A frame in active mode."""
        return self._frame() if self._active and not self._asleep else b""

    def _frame(self) -> bytes:
        return measured(*(self._part.value(name) for name in ("pm1", "pm2_5", "pm10")))

    def receive(self, data: bytes) -> bytes:
        """The answers to all commands that are complete now."""
        self._buffer += data
        answers = b""
        while (start := self._buffer.find(_HEAD)) >= 0 and len(self._buffer) - start >= _COMMAND_LENGTH:
            frame = self._buffer[start : start + _COMMAND_LENGTH]
            if sum(frame[:5]) == int.from_bytes(frame[5:], "big"):
                self._buffer = self._buffer[start + _COMMAND_LENGTH :]
                answers += self._answer(frame[2], frame[4])
            else:
                self._buffer = self._buffer[start + 1 :]
        self._buffer = self._buffer[-_COMMAND_LENGTH:]
        return answers

    def _answer(self, command: int, value: int) -> bytes:
        if command == _SLEEP:
            self._asleep = value == 0
            return framed(bytes([command, value])) if self._asleep else b""
        if self._asleep:
            return b""
        if command == _CHANGE_MODE:
            self._active = value == 1
            return framed(bytes([command, value]))
        if command == _READ and not self._active:
            return self._frame()
        return b""
