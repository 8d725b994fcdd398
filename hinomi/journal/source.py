"""The pages of a broken journal file and its write-ahead log."""

import os
from collections.abc import Iterator
from pathlib import Path

from hinomi.journal import schema, wal

_PAGE = schema.PAGE


class Source:
    """Gives pages by number, the write-ahead log's before the file's; never writes.

    Attributes:
        count: the highest number there may be.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path.exists() else -1
        size = os.fstat(self._descriptor).st_size if self._descriptor >= 0 else 0
        log = schema.wal_of(path)
        self._log = log.read_bytes() if log.exists() else b""
        self._frames: dict[int, int] = {}
        self._doubtful: list[int] = []
        for frame in wal.parse(self._log, _PAGE).frames:
            if frame.intact:
                self._frames[frame.page] = frame.offset
            else:
                self._doubtful.append(frame.offset)
        self.count = max([-(-size // _PAGE), *self._frames])

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def page(self, number: int) -> bytes | None:
        """The newest content of a page; None where there is none or the disk cannot read it."""
        offset = self._frames.get(number)
        if offset is not None:
            return self._log[offset : offset + _PAGE]
        if self._descriptor < 0 or number < 1:
            return None
        try:
            page = os.pread(self._descriptor, _PAGE, (number - 1) * _PAGE)
        except OSError:
            return None  # a bad sector: this page is lost, the others are not
        return page.ljust(_PAGE, b"\0") if page else None

    def doubtful(self) -> Iterator[bytes]:
        """Content of frames whose own header may be broken, so that nobody knows which page they are."""
        for offset in self._doubtful:
            yield self._log[offset : offset + _PAGE]

    def freed(self) -> set[int]:
        """Pages on the list of free ones: what stands there was deleted."""
        first = self.page(1) or b""
        number, left = int.from_bytes(first[32:36], "big"), int.from_bytes(first[36:40], "big")
        freed: set[int] = set()
        while 0 < number <= self.count and left > 0 and number not in freed:
            trunk = self.page(number) or b""
            count = min(int.from_bytes(trunk[4:8], "big"), (_PAGE - 8) // 4)
            leaves = {int.from_bytes(trunk[8 + 4 * at : 12 + 4 * at], "big") for at in range(count)}
            freed |= {number, *leaves}
            left -= count + 1
            number = int.from_bytes(trunk[:4], "big")
        return freed
