"""What drivers need around them in tests: a context, and the far ends of the buses."""

import asyncio
import json
import os
import random
import re
import select
import socket
import struct
import threading
import tomllib
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from support.clock import ManualClock

from edge.context import OwnThread
from edge.sensors import SENSORS
from edge.sensors.base import Measured
from hinomi.clock import Clock
from hinomi.config import parse
from hinomi.errors import Transient


class MemoryState:
    """Durable values as the agent keeps them: ``disk`` is what a crash leaves."""

    def __init__(self, disk: dict[str, bytes] | None = None) -> None:
        self.disk = disk if disk is not None else {}
        self.staged: dict[str, bytes] = {}
        self.full = False
        self.saves = 0

    def get(self, key: str) -> bytes | None:
        return self.staged.get(key, self.disk.get(key))

    def stage(self, key: str, value: bytes) -> None:
        self.staged[key] = value

    async def save(self, key: str, value: bytes) -> None:
        if self.full:
            raise Transient("the disk is full")
        self.saves += 1
        self.disk[key] = value

    def commit(self) -> None:
        """The reading was committed, and what it staged with it."""
        self.disk |= self.staged
        self.staged.clear()


class Surroundings:
    """A context: a real thread, a clock of the test's own, remembered pushes."""

    def __init__(self, *, clock: Clock | None = None, state: MemoryState | None = None) -> None:
        self.name = "sensor"
        self.clock = clock or ManualClock()
        self.rng = random.Random(1)
        self.state = state or MemoryState()
        self.pushed: list[tuple[Measured, float]] = []
        self.told = asyncio.Event()
        self.full = False
        self._thread = OwnThread("test-sensor")

    async def run(self, work: Callable[[], Any]) -> Any:
        return await self._thread.run(work)

    async def push(self, measured: Sequence[Measured], *, age_s: float = 0.0) -> None:
        if self.full:
            raise Transient("the disk is full")
        self.pushed += [(one, age_s) for one in measured]
        self.told.set()


def module(kind: str) -> ModuleType:
    return import_module(SENSORS[kind].partition(":")[0])


def sample(kind: str) -> dict[str, Any]:
    """The first table of a driver's sample."""
    path = Path(module(kind).__file__ or "").with_suffix(".toml")
    table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))["sensor"][0]
    return table


def config(kind: str, *, base: Path = Path(), **settings: Any) -> Any:
    """The sample's configuration, with some settings of the test's own."""
    return parse(sample(kind) | settings, module(kind).Config, base=base)


def hexadecimal(text: str) -> bytes:
    """The bytes in a text of hexadecimal pairs and # comments."""
    return bytes.fromhex(re.sub(r"#.*", "", text))


class Serial:
    """The device's end of a serial line; ``path`` is the driver's."""

    def __init__(self) -> None:
        self.far, self._near = os.openpty()
        tty.setraw(self._near)
        self.path = Path(os.ttyname(self._near))

    def send(self, data: bytes) -> None:
        os.write(self.far, data)

    def hang_up(self) -> None:
        """Pull the plug."""
        for number in (self.far, self._near):
            if number >= 0:
                os.close(number)
        self.far = self._near = -1


@contextmanager
def serial(device: Callable[[bytes], bytes] | None = None) -> Iterator[Serial]:
    """A serial line; ``device`` gets what the driver has sent so far and answers (it is then forgotten)."""
    line = Serial()
    heard = bytearray()
    stop, stopped = os.pipe()

    def play() -> None:
        while True:
            ready, _, _ = select.select([line.far, stop], [], [])
            if stop in ready:
                return
            heard.extend(os.read(line.far, 4096))
            answer = device(bytes(heard)) if device else b""
            if answer:
                heard.clear()
                os.write(line.far, answer)

    thread = threading.Thread(target=play)
    if device:
        thread.start()
    try:
        yield line
    finally:
        os.write(stopped, b".")
        if device:
            thread.join()
        line.hang_up()
        os.close(stop)
        os.close(stopped)


@contextmanager
def unix_server(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """A unix socket whose connections are each served in a thread."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connections.append(connection)
            thread = threading.Thread(target=_quietly, args=(serve, connection))
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        accepting.join()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _quietly(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection:
        try:
            serve(connection)
        except (OSError, struct.error):
            return


class I2cDevices:
    """Answers transfers; a device is a function from one written message to what reads then get."""

    def __init__(self, devices: dict[int, Callable[[bytes], bytes]]) -> None:
        self.devices = devices
        self.written: list[tuple[int, bytes]] = []
        self.status = 0
        self.silent = False
        self._replies: dict[int, bytes] = {}

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            while header := file.read(2):
                (length,) = struct.unpack("<H", header)
                status, data = self._transfer(file.read(length))
                if not self.silent:
                    connection.sendall(struct.pack("<BH", status, len(data)) + data)

    def _transfer(self, request: bytes) -> tuple[int, bytes]:
        if self.status:
            return self.status, b""
        at, data = 1, b""
        for _ in range(request[0]):
            address, flags, length = struct.unpack_from("<BBH", request, at)
            at += 4
            if address not in self.devices:
                return 121, b""
            if flags & 1:
                data += self._replies[address][:length].ljust(length, b"\xff")
                continue
            message = request[at : at + length]
            at += length
            self.written.append((address, message))
            self._replies[address] = self.devices[address](message)
        assert at == len(request)
        return 0, data


class GpioChip:
    """One line of a chip; ``change`` is told to whoever listens."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.asked: list[object] = []
        self.at_ns = 1_000_000_000_000
        self._listeners: list[socket.socket] = []

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            self.asked.append(json.loads(file.readline()))
        self._listeners.append(connection)
        connection.sendall(self._event())
        while connection.recv(1):
            pass
        self._listeners.remove(connection)

    def change(self, level: int, after_ms: float) -> None:
        """The line takes ``level`` so much later (by the time that the event carries)."""
        self.level = level
        self.at_ns += round(after_ms * 1_000_000)
        for listener in self._listeners:
            listener.sendall(self._event())

    def hang_up(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)

    def _event(self) -> bytes:
        return struct.pack("<QB", self.at_ns, self.level)
