"""I2C: one transfer (messages joined by repeated starts) to one device.

The kernel makes a transfer atomic on a shared bus, so sensors on one bus need no lock between them.

Simulated hardware listens on a unix socket; numbers are little endian. Request: u16 length of the rest, u8 count of
messages, then for each u8 address, u8 flags (1: read), u16 length and, when writing, the bytes. Answer: u8 status
(0, or the errno that the kernel would give), u16 length, the bytes read.
"""

import errno
import socket
import struct
import time
from pathlib import Path
from typing import Protocol

import smbus2

from edge.buses import trouble
from hinomi.errors import Transient

_READ = 1
_SOCKET_SECONDS = 2.0
_MEANINGS = {
    errno.EREMOTEIO: "no device answers there; check wiring, power and address (i2cdetect -y 1)",
    errno.ENXIO: "no device answers there; check wiring, power and address (i2cdetect -y 1)",
    errno.ETIMEDOUT: "the bus hangs; check pull-ups and cable length, and power the sensor off and on",
    errno.EAGAIN: "another master held the bus",
}


class I2C(Protocol):
    """An opened bus."""

    def transfer(self, address: int, *messages: bytes | int) -> bytes:
        """Send bytes and read as many as an int says, in order; returns all that was read.

        Raises:
            Transient: no device answers, the bus hangs, or any other error of the bus.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Give the hardware time: real seconds, whatever clock measures."""
        ...

    def close(self) -> None:
        """Let go of the bus; a second time is harmless."""
        ...


def open_i2c(path: Path) -> I2C:
    """The bus behind ``path``: a kernel bus (``/dev/i2c-1``) or a simulator's socket.

    Raises:
        ConfigError: it is not there, or this user may not use it.
        Transient: it is in use.
    """
    try:
        return _SocketBus(path) if path.is_socket() else _KernelBus(path)
    except OSError as error:
        raise trouble.opening(
            error, path, group="i2c", when_absent="enable I2C: sudo raspi-config nonint do_i2c 0, then reboot"
        ) from error


class _Bus:
    """What both kinds share: words for errors, waiting."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def _failed(self, error: OSError, address: int) -> Transient:
        meaning = _MEANINGS.get(error.errno or 0, trouble.words(error))
        return Transient(f"I2C address 0x{address:02x} on {self._path}: {meaning}")


class _KernelBus(_Bus):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._bus = smbus2.SMBus(str(path))

    def transfer(self, address: int, *messages: bytes | int) -> bytes:
        made = [
            smbus2.i2c_msg.read(address, item) if isinstance(item, int) else smbus2.i2c_msg.write(address, item)
            for item in messages
        ]
        try:
            self._bus.i2c_rdwr(*made)
        except OSError as error:
            raise self._failed(error, address) from error
        return b"".join(
            bytes(message) for message, item in zip(made, messages, strict=True) if isinstance(item, int)
        )

    def close(self) -> None:
        self._bus.close()


class _SocketBus(_Bus):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_SOCKET_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def transfer(self, address: int, *messages: bytes | int) -> bytes:
        try:
            self._socket.sendall(_request(address, messages))
            status, length = struct.unpack("<BH", self._exactly(3))
            answer = self._exactly(length)
        except TimeoutError as error:
            self._socket.close()  # a late answer would be taken for the next one's
            raise self._failed(OSError(errno.ETIMEDOUT, ""), address) from error
        except OSError as error:
            raise self._failed(error, address) from error
        if status:
            raise self._failed(OSError(status, ""), address)
        return answer

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._socket.recv(length - len(parts))
            if not part:
                raise OSError(errno.EPIPE, "")
            parts += part
        return bytes(parts)


def _request(address: int, messages: tuple[bytes | int, ...]) -> bytes:
    body = bytearray([len(messages)])
    for item in messages:
        if isinstance(item, int):
            body += struct.pack("<BBH", address, _READ, item)
        else:
            body += struct.pack("<BBH", address, 0, len(item)) + item
    return struct.pack("<H", len(body)) + body
