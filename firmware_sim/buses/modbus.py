"""Modbus RTU slaves on one serial line, by unit.

An own slave and not a library's: the driver uses a library, and two independent readings of the standard (Modbus
over serial line V1.02, application protocol V1.1b3) test more than one; damaged answers are easy then.
"""

import struct
from collections.abc import Mapping
from typing import Literal, Protocol

from firmware_sim.buses.pty import Pty
from firmware_sim.part import Part, Powered, Silent
from firmware_sim.world import World

Table = Literal["holding", "input"]

_TABLES: dict[int, Table] = {3: "holding", 4: "input"}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_GAP_S = 0.05
"""Silence (real seconds) that ends a request; the standard's 3.5 characters are too short for a busy machine."""


class ModbusDevice(Powered, Protocol):
    """The registers of one unit."""

    def words(self, table: Table) -> Mapping[int, int]:
        """All registers of a table at this moment, address to 16-bit word.

        Raises:
            Silent: a recording has a gap.
        """
        ...


def crc16(data: bytes) -> bytes:
    """The CRC as it follows ``data`` on the line (polynomial 0xA001 reflected, low byte first)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


def framed(body: bytes) -> bytes:
    """``body`` (unit, function, data) with its CRC."""
    return body + crc16(body)


def length(buffer: bytes) -> int | None:
    """How long the request at the begin of ``buffer`` is; None while that cannot be told."""
    if len(buffer) < 2:
        return None
    function = buffer[1]
    if function in {15, 16}:
        return 9 + buffer[6] if len(buffer) > 6 else None
    if 1 <= function <= 6:
        return 8
    return len(buffer)


def respond(device: ModbusDevice, body: bytes) -> bytes:
    """The answer (without CRC) to a request (without CRC)."""
    unit, function = body[0], body[1]

    def refuse(code: int) -> bytes:
        return bytes([unit, function | 0x80, code])

    table = _TABLES.get(function)
    if table is None or len(body) != 6:
        return refuse(_ILLEGAL_FUNCTION)
    address, count = struct.unpack(">HH", body[2:])
    if not 1 <= count <= 125:
        return refuse(_ILLEGAL_VALUE)
    words = device.words(table)
    wanted = range(address, address + count)
    if any(place not in words for place in wanted):
        return refuse(_ILLEGAL_ADDRESS)
    data = b"".join(struct.pack(">H", words[place]) for place in wanted)
    return bytes([unit, function, len(data)]) + data


class ModbusLine:
    """One RS-485 line; requests to absent units and requests with a bad CRC stay unanswered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._units: dict[int, tuple[ModbusDevice, Part]] = {}
        self._buffer = b""
        self._heard = 0.0

    def plug(self, unit: int, device: ModbusDevice, part: Part) -> None:
        """Put a unit on the line."""
        self._units[unit] = (device, part)

    async def run(self, pty: Pty) -> None:
        """Answer until cancelled."""
        while True:
            reply = self.receive(await pty.read())
            if reply:
                pty.write(reply)

    def receive(self, data: bytes) -> bytes:
        """The answer to the bytes that arrived now; empty for none."""
        now = self._world.real()
        if now - self._heard > _GAP_S:
            self._buffer = b""
        self._heard = now
        self._buffer += data
        end = length(self._buffer)
        if end is None or len(self._buffer) < end:
            return b""
        request, self._buffer = self._buffer[:end], b""
        if len(request) < 4 or crc16(request[:-2]) != request[-2:]:
            return b""
        return self._reply(request[:-2])

    def _reply(self, body: bytes) -> bytes:
        if body[0] not in self._units:
            return b""
        device, part = self._units[body[0]]
        part.revive(device)
        if part.silent():
            return b""
        try:
            return part.spoken(framed(respond(device, body)))
        except Silent:
            return b""
