"""What SQLite and the operating system say, turned into what a caller of a journal does."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator

from hinomi.errors import Transient

# SQLite's primary result codes (the low byte of the extended ones).
_BUSY, _LOCKED, _NOMEM, _READONLY, _INTERRUPT, _IOERR = 5, 6, 7, 8, 9, 10
_CORRUPT, _FULL, _CANTOPEN, _PROTOCOL, _NOTADB = 11, 13, 14, 15, 26
_PASSING = frozenset({_BUSY, _LOCKED, _NOMEM, _READONLY, _INTERRUPT, _IOERR, _CANTOPEN, _PROTOCOL})
_DAMAGED = frozenset({_CORRUPT, _NOTADB})
# Extended codes: a sector that cannot be read, a file shorter than it says, a file system that found itself broken.
_UNREADABLE = frozenset({_IOERR | 1 << 8, _IOERR | 2 << 8, _IOERR | 33 << 8})

# SQLite extends its shared memory by this many bytes.
_ROOM = 32 * 1024
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Damaged(Exception):
    """The file was found damaged while in use; whoever gets this must end.

    The finding is remembered beside the file, so that the next opening sets the file aside and salvages it. It is
    none of the four families on purpose: consumers hold numbers of a stream that will not come back.
    """


class Full(Transient):
    """The disk is full."""


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn errors of SQLite and of file calls inside the block into ours; ``what`` is the file's path.

    Raises:
        Full: no space left.
        Transient: the same may succeed later (busy, I/O error, read-only for now).
        Damaged: the content is not what it must be.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, what) from error
    except UnicodeDecodeError as error:
        # Text out of a broken page, within SQLite's own words about it.
        raise Damaged(f"{what}: text that is none was found") from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise Full(f"{what}: no space left on the disk") from error
        raise Transient(f"{what}: {error.strerror or error}") from error


def _of_sqlite(error: sqlite3.Error, what: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", "")
    text = f"{what}: {error}" + (f" ({name})" if name else "")
    if code is None:
        # Raised by Python itself: text that is no UTF-8 (the content is broken), or a misuse (a bug, let through).
        return Damaged(text) if isinstance(error, sqlite3.OperationalError) else error
    primary = code & 0xFF
    if primary == _FULL:
        return Full(f"{what}: no space left on the disk")
    if primary in _DAMAGED or code in _UNREADABLE:
        return Damaged(text)
    if primary not in _PASSING:
        return error
    # The shared memory file and new files have codes of their own for a disk without room.
    return Full(f"{what}: no space left on the disk") if _is_full(what) else Transient(text)


def _is_full(path: str) -> bool:
    try:
        disk = os.statvfs(os.path.dirname(path))  # noqa: PTH120 - a name is all there is
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM
