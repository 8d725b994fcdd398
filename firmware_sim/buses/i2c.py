"""An I2C bus behind a unix socket.

A transfer is one request, as one I2C_RDWR call: u16le length of what follows, u8 number of messages, for each one
u8 address, u8 flags (1: read), u16le length, and the bytes if it is a write. The answer is u8 status (0, or an
errno of Linux' I2C adapters), u16le length, and all bytes read, one message after the other.
"""

import asyncio
import contextlib
import errno
import struct
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from firmware_sim.buses.sockets import listening
from firmware_sim.part import Part, Powered, Silent, spoilt
from firmware_sim.world import World

_READ = 1


class I2cDevice(Powered, Protocol):
    """A device with one address."""

    def write(self, data: bytes) -> None:
        """Take the bytes of one write message.

        Raises:
            Silent: not acknowledged.
        """
        ...

    def read(self, length: int) -> bytes:
        """Exactly ``length`` bytes for one read message.

        Raises:
            Silent: not acknowledged.
        """
        ...


class Message(msgspec.Struct, frozen=True):
    """One message of a transfer.

    Attributes:
        address: 7 bits.
        data: what is written; None for a read.
        length: of either.
    """

    address: int
    data: bytes | None
    length: int


def messages(request: bytes) -> list[Message]:
    """The messages of a request (without its length).

    Raises:
        ValueError: truncated, or bytes left over.
    """
    if not request:
        raise ValueError("empty request")
    found = []
    offset = 1
    for _ in range(request[0]):
        if len(request) < offset + 4:
            raise ValueError("truncated header")
        address, flags, length = struct.unpack_from("<BBH", request, offset)
        offset += 4
        if flags & _READ:
            found.append(Message(address, None, length))
            continue
        found.append(Message(address, request[offset : offset + length], length))
        offset += length
    if offset != len(request):
        raise ValueError(f"{len(request)} bytes, expected {offset}")
    return found


def answer(status: int, data: bytes = b"") -> bytes:
    """The answer to a request."""
    return struct.pack("<BH", status, len(data)) + data


class I2cBus:
    """Several devices by address; one transfer after the other, as on two real wires."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._devices: dict[int, tuple[I2cDevice, Part]] = {}
        self._busy = asyncio.Lock()

    def plug(self, address: int, device: I2cDevice, part: Part) -> None:
        """Put a device on the bus."""
        self._devices[address] = (device, part)

    async def transfer(self, request: bytes) -> bytes:
        """The answer to one request; waits while somebody else has the bus or a device holds it."""
        try:
            parts = messages(request)
        except ValueError:
            return answer(errno.EINVAL)
        async with self._busy:
            for _, part in self._devices.values():
                if (hang := part.faults.hung()) is not None:
                    await self._world.wait_real(hang.timeout_s)
                    return answer(errno.ETIMEDOUT)
            try:
                return answer(0, b"".join([self._one(message) for message in parts]))
            except Silent:
                return answer(errno.EREMOTEIO)

    def _one(self, message: Message) -> bytes:
        if message.address not in self._devices:
            raise Silent(hex(message.address))
        device, part = self._devices[message.address]
        part.revive(device)
        if part.silent():
            raise Silent(hex(message.address))
        if message.data is not None:
            device.write(message.data)
            return b""
        data = device.read(message.length)
        return spoilt(data) if part.faults.damaged() else data

    def serving(self, path: Path) -> AbstractAsyncContextManager[None]:
        """Listen on the unix socket ``path``; gone when left."""
        return listening(path, self._client)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack("<H", await reader.readexactly(2))
                writer.write(await self.transfer(await reader.readexactly(length)))
                await writer.drain()
