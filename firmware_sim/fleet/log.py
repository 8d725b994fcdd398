"""The fleet's log: a line a pack, on the disk before the pack is sent. It is the oracle of what was accepted.

A line is one JSON object, ``{"is": "pack", …}`` or ``{"is": "acked", …}``. A process that was killed may leave half
a line at the end; it was never on the disk as a whole, so never sent, and is cut off when the fleet goes on.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from firmware_sim.fleet.pack import Acked, Pack
from hinomi.errors import ConfigError

Line = Pack | Acked

_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def read_log(path: Path) -> Iterator[Line]:
    """Every whole line, in the order of writing; nothing where there is no file.

    Raises:
        ConfigError: the file cannot be read, or a line is damaged.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                yield _decoded(path, number, line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError.of(str(path), f"cannot be read: {error.strerror}") from error


def read_packs(path: Path) -> Iterator[Pack]:
    """Every pack ever accepted."""
    return (line for line in read_log(path) if isinstance(line, Pack))


def _decoded(path: Path, number: int, line: bytes) -> Line:
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError as error:
        raise ConfigError.of(f"{path}:{number}", f"is no line of a fleet's log: {error}") from error


class Log:
    """Appends to the log; one process at a time, one thread of its own.

    Raises:
        ConfigError: the file cannot be opened, or another fleet writes to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Each line matters by itself and is written by our own thread: no buffer in between.
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            _sync_folder(path.parent)
        except OSError as error:
            raise ConfigError.of(str(path), f"cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConfigError.of(str(path), "is being written by another fleet; give this one its own") from error
        _cut_half_line(self._file.fileno())
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fleet-log")

    def append(self, lines: Sequence[Line], *, sync: bool = True) -> asyncio.Future[None]:
        """Write lines, in the order of the calls; done when they are on the disk, unless they are a help only.

        Raises:
            ConfigError: in the future: the disk is full or failing.
        """
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, data, sync)

    def close(self) -> None:
        """Wait for what is being written and close; nothing is lost without it."""
        self._thread.shutdown(wait=True)
        self._file.close()

    def _write(self, data: bytes, sync: bool) -> None:  # noqa: FBT001 - run_in_executor passes positions
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
            if sync:
                os.fdatasync(self._file.fileno())
        except OSError as error:
            raise ConfigError.of(str(self._path), f"cannot be written: {error.strerror}") from error


def _cut_half_line(descriptor: int) -> None:
    """Leave the file at the end of its last whole line."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    position = end
    while position > 0:
        start = max(0, position - 65536)
        found = os.pread(descriptor, position - start, start).rfind(b"\n")
        if found >= 0:
            position = start + found + 1
            break
        position = start
    if position < end:
        os.ftruncate(descriptor, position)
        os.lseek(descriptor, position, os.SEEK_SET)


def _sync_folder(folder: Path) -> None:
    """A new file is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
