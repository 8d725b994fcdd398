"""A pseudo terminal that a driver opens as if it were /dev/ttyUSB0."""

import asyncio
import os
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK = 4096


class Pty:
    """The device's end of a serial line; the driver's end is a symbolic link at ``path``.

    Enter it inside a running event loop.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrived = asyncio.Event()
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        # Our own descriptor of the driver's end keeps the line up while no driver has it open.
        self._own, self._other = os.openpty()
        tty.setraw(self._other)
        os.set_blocking(self._own, False)
        self._path.symlink_to(os.ttyname(self._other))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._own, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._own)
        self._path.unlink(missing_ok=True)
        os.close(self._own)
        os.close(self._other)

    def _read(self) -> None:
        try:
            self._buffer += os.read(self._own, _CHUNK)
        except BlockingIOError:
            return
        self._arrived.set()

    async def read(self) -> bytes:
        """What the driver has sent since the last call; waits until there is something."""
        await self._arrived.wait()
        self._arrived.clear()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def write(self, data: bytes) -> None:
        """Send; what the driver leaves unread beyond the terminal's buffer is lost, as on a real line."""
        try:
            os.write(self._own, data)
        except BlockingIOError:
            return
