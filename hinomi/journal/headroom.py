"""A file that only takes up room, so that a full disk can still be emptied.

Deleting from a database needs room too. The file's blocks are allocated beforehand; when the disk is full they are
given back for what frees space (acknowledged records, tombstones), and nothing is accepted until they could be
taken again.
"""

import contextlib
import os
from pathlib import Path

from hinomi.journal.faults import Full, translated


class Headroom:
    """``NAME.headroom``."""

    def __init__(self, journal: Path, size: int) -> None:
        self._path = journal.with_name(journal.name + ".headroom")
        self._size = size
        self.held = False

    def take(self) -> None:
        """Allocate the room unless it is held.

        Raises:
            Full: the disk has not that much.
            Transient: the disk fails.
        """
        if self.held or self._size == 0:
            self.held = True
            return
        with translated(f"{self._path} (room kept free for emptying a full disk)"):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
                os.ftruncate(descriptor, self._size)
            except OSError:
                # What was allocated on the way must not be missing for others.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)
                raise
            finally:
                os.close(descriptor)
        self.held = True

    def try_take(self) -> bool:
        """The same; False instead of ``Full``."""
        with contextlib.suppress(Full):
            self.take()
        return self.held

    def release(self) -> None:
        """Give the room back to the disk."""
        self.held = False
        with translated(str(self._path)):
            self._path.unlink(missing_ok=True)
