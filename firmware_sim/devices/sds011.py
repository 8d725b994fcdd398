"""SDS011 (Nova Fitness): PM2.5 and PM10 over UART, after its control protocol V1.3.

Frames begin with AA and end with AB; the byte before the end is the sum of the data bytes. It speaks once a second
in active mode and only when asked in query mode; asleep it hears nothing but the command that wakes it.
"""

import struct
from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar

import msgspec

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection, Port
from firmware_sim.part import Part

_HEAD, _TAIL = 0xAA, 0xAB
_COMMAND, _REPLY, _MEASURED = 0xB4, 0xC5, 0xC0
_COMMAND_LENGTH = 19
_MODE, _QUERY, _SET_ID, _SLEEP, _FIRMWARE, _PERIOD = 2, 4, 5, 6, 7, 8
_ACTIVE = 0
_EVERYBODY = b"\xff\xff"
_VERSION = (15, 7, 10)
_WORKING_S = 30.0


class Sds011Section(DeviceSection, frozen=True, kw_only=True):
    """``type = "sds011"``; signals: pm2_5, pm10.

    Attributes:
        port: serial port.
        device_id: its two bytes, hexadecimal.
    """

    port: Port
    device_id: Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{4}$")] = "A160"

    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "checksum", "hang", "reboot", "battery"}
    )

    def measures(self) -> AbstractSet[str]:
        """Both."""
        return {"pm2_5", "pm10"}

    def wire(self) -> str:
        """The port."""
        return self.port

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on its port."""
        rack.plug_uart(self.port, Sds011(part, bytes.fromhex(self.device_id)), part)


def measured(pm2_5: float, pm10: float, device_id: bytes) -> bytes:
    """A frame of measured values (ug/m3, in tenths, 0 to 999.9)."""
    tenths = (round(min(max(value, 0.0), 999.9) * 10) for value in (pm2_5, pm10))
    return _framed(_MEASURED, struct.pack("<HH", *tenths) + device_id)


def _framed(kind: int, data: bytes) -> bytes:
    return bytes([_HEAD, kind]) + data + bytes([sum(data) & 0xFF, _TAIL])


class Sds011:
    """The sensor."""

    def __init__(self, part: Part, device_id: bytes) -> None:
        self._part = part
        self._id = device_id
        # These two survive a power cut (protocol V1.3), the state of sleep does not.
        self._mode = _ACTIVE
        self._minutes = 0
        self.power_on()

    def power_on(self) -> None:
        """Working, nothing half received."""
        self._asleep = False
        self._buffer = b""
        self._woke = self._part.world.elapsed()

    def period_s(self) -> float:
        """It measures once a second."""
        return 1.0

    def tick(self) -> bytes:
        """A frame in active mode; with a working period one at the end of each 30 seconds of work."""
        if self._asleep or self._mode != _ACTIVE or not self._period_over():
            return b""
        return self._frame()

    def _period_over(self) -> bool:
        if self._minutes == 0:
            return True
        now = self._part.world.elapsed()
        if now - self._woke < _WORKING_S:
            return False
        self._woke = max(self._woke + self._minutes * 60.0, now - _WORKING_S)
        return True

    def _frame(self) -> bytes:
        return measured(self._part.value("pm2_5"), self._part.value("pm10"), self._id)

    def receive(self, data: bytes) -> bytes:
        """The answers to all commands that are complete now."""
        self._buffer += data
        answers = b""
        while (start := self._buffer.find(_HEAD)) >= 0 and len(self._buffer) - start >= _COMMAND_LENGTH:
            frame = self._buffer[start : start + _COMMAND_LENGTH]
            if _whole(frame):
                self._buffer = self._buffer[start + _COMMAND_LENGTH :]
                answers += self._answer(frame)
            else:
                self._buffer = self._buffer[start + 1 :]
        self._buffer = self._buffer[-_COMMAND_LENGTH:]
        return answers

    def _answer(self, frame: bytes) -> bytes:
        command, setting, value = frame[2], frame[3], frame[4]
        if frame[15:17] not in {_EVERYBODY, self._id}:
            return b""
        if command == _SLEEP and setting:
            self._asleep = value == 0
            self._woke = self._part.world.elapsed()
            return self._reply(command, setting, value)
        if self._asleep:
            return b""
        if command == _QUERY:
            return self._frame()
        return self._settings(command, setting, value, frame)

    def _settings(self, command: int, setting: int, value: int, frame: bytes) -> bytes:
        if command == _MODE:
            self._mode = value if setting else self._mode
            return self._reply(command, setting, self._mode)
        if command == _SET_ID:
            self._id = frame[13:15]
            return self._reply(command, 0, 0)
        if command == _SLEEP:
            return self._reply(command, setting, 1)
        if command == _FIRMWARE:
            return _framed(_REPLY, bytes([command, *_VERSION]) + self._id)
        if command == _PERIOD:
            self._minutes = min(value, 30) if setting else self._minutes
            return self._reply(command, setting, self._minutes)
        return b""

    def _reply(self, command: int, setting: int, value: int) -> bytes:
        return _framed(_REPLY, bytes([command, setting, value, 0]) + self._id)


def _whole(frame: bytes) -> bool:
    return frame[1] == _COMMAND and frame[-1] == _TAIL and sum(frame[2:17]) & 0xFF == frame[17]
