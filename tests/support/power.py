"""Power cuts: what SQLite does to its files is recorded, and made into any state a disk may be in after a cut.

SQLite reaches the disk through a table of functions (its VFS). A copy of the system's own table, with a few of them
going through Python, becomes the default one for as long as the recorder is on.
"""

import _sqlite3
import ctypes
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_P = ctypes.c_void_p
_INT, _LONG, _STR = ctypes.c_int, ctypes.c_int64, ctypes.c_char_p

# SQLite keeps the pointer to the name, so it is passed on as it came, not as a copy that Python will free.
_OPEN = ctypes.CFUNCTYPE(_INT, _P, _P, _P, _INT, ctypes.POINTER(_INT))
_DELETE = ctypes.CFUNCTYPE(_INT, _P, _STR, _INT)
_WRITE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT, _LONG)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _P, _LONG)
_SYNC = ctypes.CFUNCTYPE(_INT, _P, _INT)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        ("file_size", _INT),
        ("longest_path", _INT),
        ("next", _P),
        ("name", _STR),
        ("data", _P),
        ("open", _OPEN),
        ("delete", _DELETE),
        ("others", _P * 13),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        ("close", _P),
        ("read", _P),
        ("write", _WRITE),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        ("others", _P * 13),
    ]


class Op(NamedTuple):
    """One thing done to a file; ``what`` is write, truncate, sync, create or delete."""

    what: str
    file: str
    offset: int = 0
    data: bytes = b""


class Recorder:
    """Everything done to the files called ``name`` and ``name-wal``, and marks in between."""

    def __init__(self, name: str) -> None:
        self.ops: list[Op | Any] = []
        self._name = name

    def note(self, mark: object) -> None:
        """Put something between the operations."""
        self.ops.append(mark)

    def wants(self, path: str) -> bool:
        return Path(path).name in {self._name, f"{self._name}-wal"}


@contextmanager
def recording(name: str) -> Iterator[Recorder]:
    library = _library()
    recorder = Recorder(name)
    original = ctypes.cast(library.sqlite3_vfs_find(None), ctypes.POINTER(_Vfs)).contents
    copy = _Vfs()
    ctypes.memmove(ctypes.byref(copy), ctypes.byref(original), ctypes.sizeof(_Vfs))
    hooks = _Hooks(recorder, original)
    copy.name = b"recorder"
    copy.open, copy.delete = hooks.open, hooks.delete
    library.sqlite3_vfs_register(ctypes.byref(copy), 1)
    try:
        yield recorder
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(copy))
        library.sqlite3_vfs_register(ctypes.byref(original), 1)


class _Hooks:
    def __init__(self, recorder: Recorder, original: _Vfs) -> None:
        self._recorder = recorder
        self._original = original
        self._names: dict[int, str] = {}
        self._tables: dict[int, _Methods] = {}
        self.open = _OPEN(self._on_open)
        self.delete = _DELETE(self._on_delete)

    def _on_open(self, vfs, name, file, flags, out):
        path = ctypes.string_at(name).decode() if name else ""
        new = bool(path) and not Path(path).exists()
        result = self._original.open(vfs, name, file, flags, out)
        if result == 0 and path and self._recorder.wants(path):
            self._names[file] = Path(path).name
            if new:
                self._recorder.note(Op("create", Path(path).name))
            self._patch(file)
        return result

    def _on_delete(self, vfs, name, sync):
        path = name.decode()
        if self._recorder.wants(path):
            self._recorder.note(Op("delete", Path(path).name))
        return self._original.delete(vfs, name, sync)

    def _patch(self, file: int) -> None:
        place = ctypes.cast(file, ctypes.POINTER(_P))
        table = self._tables.get(place[0])
        if table is None:
            original = ctypes.cast(place[0], ctypes.POINTER(_Methods)).contents
            table = _Methods()
            ctypes.memmove(ctypes.byref(table), ctypes.byref(original), ctypes.sizeof(_Methods))
            table.write = _WRITE(self._on_write(original.write))
            table.truncate = _TRUNCATE(self._on_truncate(original.truncate))
            table.sync = _SYNC(self._on_sync(original.sync))
            self._tables[place[0]] = table
        place[0] = ctypes.addressof(table)

    def _on_write(self, original: Callable[..., int]) -> Callable[..., int]:
        def write(file, data, size, offset):
            self._recorder.note(Op("write", self._names[file], offset, ctypes.string_at(data, size)))
            return original(file, data, size, offset)

        return write

    def _on_truncate(self, original: Callable[..., int]) -> Callable[..., int]:
        def truncate(file, size):
            self._recorder.note(Op("truncate", self._names[file], size))
            return original(file, size)

        return truncate

    def _on_sync(self, original: Callable[..., int]) -> Callable[..., int]:
        def sync(file, flags):
            result = original(file, flags)
            self._recorder.note(Op("sync", self._names[file]))
            return result

        return sync


def _library() -> ctypes.CDLL:
    """The very SQLite that Python uses."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if "libsqlite3" in path or path == _sqlite3.__file__:
            library = ctypes.CDLL(path)
            if hasattr(library, "sqlite3_vfs_find"):
                library.sqlite3_vfs_find.restype = _P
                library.sqlite3_vfs_find.argtypes = [_STR]
                return library
    pytest.skip("Python's SQLite does not show its VFS (linked into the interpreter)")


class Disk:
    """What is surely on the disk, and what was done to each file since its last sync."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._sure: dict[str, bytes | None] = dict(files)
        self._open: dict[str, list[Op]] = {}

    def do(self, op: Op) -> None:
        if op.what == "sync":
            self._sure[op.file] = _applied(self._sure.get(op.file), self._open.pop(op.file, []))
        else:
            self._open.setdefault(op.file, []).append(op)

    def after_cut(self, rng: random.Random, how: str) -> dict[str, bytes]:
        """The files after a power cut.

        ``nothing`` or ``all`` of what was not synced arrived, a ``prefix`` of it, ``some`` of it in any order; of
        the last two, the last write is torn at any byte.
        """
        files = {}
        for name in {*self._sure, *self._open}:
            ops = self._open.get(name, [])
            if how == "nothing":
                ops = []
            elif how == "prefix":
                ops = _torn(rng, ops[: rng.randint(0, len(ops))])
            elif how == "some":
                ops = _torn(rng, [op for op in ops if rng.random() < 0.5])
            content = _applied(self._sure.get(name), ops)
            if content is not None:
                files[name] = content
        return files


def _torn(rng: random.Random, ops: list[Op]) -> list[Op]:
    if ops and ops[-1].what == "write":
        last = ops[-1]
        return [*ops[:-1], last._replace(data=last.data[: rng.randint(0, len(last.data))])]
    return ops


def _applied(content: bytes | None, ops: list[Op]) -> bytes | None:
    data = None if content is None else bytearray(content)
    for op in ops:
        if op.what == "delete":
            data = None
            continue
        data = bytearray() if data is None else data
        if op.what == "truncate":
            del data[op.offset :]
        elif op.what == "write":
            data.extend(bytes(max(op.offset - len(data), 0)))
            data[op.offset : op.offset + len(op.data)] = op.data
    return None if data is None else bytes(data)
