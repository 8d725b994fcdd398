"""GPIO: the level of one line and each of its changes, as they happen.

Simulated hardware listens on a unix socket: we send one line of JSON, ``{"line": 17}``, and get events of 9 bytes
(u64 little endian CLOCK_MONOTONIC ns, u8 level), beginning with the present level.
"""

import asyncio
import errno
import json
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Protocol

import gpiod
import msgspec
from gpiod.line import Bias, Direction, Edge

from edge.buses import trouble
from hinomi.errors import ConfigError, Transient

Pull = Literal["up", "down", "none"]
Offset = Annotated[int, msgspec.Meta(ge=0, le=1023)]

_BIASES = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "none": Bias.DISABLED}
_EVENT = struct.Struct("<QB")
_KERNEL_QUEUE = 1024  # edges; a bouncing contact must not overflow it while the loop is busy
_SOCKET_SECONDS = 2.0


class Change(msgspec.Struct, frozen=True, gc=False):
    """A level and when the line took it (ns of CLOCK_MONOTONIC); ``high`` is electrical, not logical."""

    at_ns: int
    high: bool


class Line(Protocol):
    """A requested line, as a readable file descriptor."""

    def fileno(self) -> int:
        """Becomes readable when something happened."""
        ...

    def take(self) -> list[Change]:
        """What happened since; call it when readable.

        Raises:
            Transient: the chip is gone.
        """
        ...

    def close(self) -> None:
        """Give the line back; a second time is harmless."""
        ...


def open_line(chip: Path, line: int, pull: Pull) -> tuple[Line, Change]:
    """The line and its present level; blocks for a moment.

    Raises:
        ConfigError: no such chip or line, or this user may not use it.
        Transient: another program holds the line.
    """
    try:
        return _open_socket(chip, line) if chip.is_socket() else _open_chip(chip, line, pull)
    except ValueError as error:
        raise ConfigError.of(str(chip), f"has no line {line}; gpioinfo lists them") from error
    except OSError as error:
        raise trouble.opening(
            error,
            chip,
            group="gpio",
            when_absent="gpiodetect lists the chips (gpiochip0 on a Raspberry Pi; see its model for exceptions)",
            when_busy=f"line {line} is taken, gpioinfo says by whom; an overlay in config.txt may hold it",
        ) from error


async def listen(line: Line, heard: Callable[[list[Change]], None]) -> None:
    """Tell each change as the kernel reports it, until cancelled.

    Raises:
        Transient: the chip is gone.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    number = line.fileno()
    loop.add_reader(number, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            heard(line.take())
    finally:
        loop.remove_reader(number)


class _ChipLine:
    def __init__(self, request: gpiod.LineRequest) -> None:
        self._request = request

    def fileno(self) -> int:
        return self._request.fd

    def take(self) -> list[Change]:
        if not self._request.wait_edge_events(0):
            return []
        try:
            events = self._request.read_edge_events()
        except OSError as error:
            raise Transient(f"GPIO events cannot be read: {trouble.words(error)}") from error
        rising = gpiod.EdgeEvent.Type.RISING_EDGE
        return [Change(event.timestamp_ns, event.event_type is rising) for event in events]

    def close(self) -> None:
        self._request.release()


def _open_chip(chip: Path, line: int, pull: Pull) -> tuple[Line, Change]:
    settings = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH, bias=_BIASES[pull])
    request = gpiod.request_lines(str(chip), {line: settings}, consumer="hinomi", event_buffer_size=_KERNEL_QUEUE)
    return _ChipLine(request), Change(time.monotonic_ns(), bool(request.get_value(line)))


class _SocketLine:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._rest = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> list[Change]:
        try:
            data = self._socket.recv(_EVENT.size * _KERNEL_QUEUE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Transient(f"GPIO events cannot be read: {trouble.words(error)}") from error
        if not data:
            raise Transient("the simulated GPIO chip is gone")
        return self._split(data)

    def close(self) -> None:
        self._socket.close()

    def first(self) -> Change:
        """The present level, which comes first; afterwards the socket no longer blocks."""
        while len(self._rest) < _EVENT.size:
            data = self._socket.recv(_EVENT.size - len(self._rest))
            if not data:
                raise OSError(errno.ENODEV, "")
            self._rest += data
        self._socket.settimeout(0)
        return self._split(b"")[0]

    def _split(self, data: bytes) -> list[Change]:
        data = self._rest + data
        whole = len(data) // _EVENT.size * _EVENT.size
        self._rest = data[whole:]
        return [Change(at_ns, bool(level)) for at_ns, level in _EVENT.iter_unpack(data[:whole])]


def _open_socket(chip: Path, line: int) -> tuple[Line, Change]:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_SOCKET_SECONDS)
    try:
        connection.connect(str(chip))
        connection.sendall(json.dumps({"line": line}).encode() + b"\n")
        opened = _SocketLine(connection)
        return opened, opened.first()
    except OSError:
        connection.close()
        raise
