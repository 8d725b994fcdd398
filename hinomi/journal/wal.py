"""SQLite's write-ahead log, read as bytes.

SQLite takes a log up to its first broken frame and forgets the rest in silence. That is right for a torn tail after
a power cut; but a bit that flipped in the middle takes committed transactions with it. This tells the two apart.
Source of the format: sqlite.org/fileformat2.html, section 4.
"""

import struct

import msgspec

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683
_WORD = 0xFFFFFFFF


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One page in the log.

    Attributes:
        page: its number in the database.
        commit: whether a transaction ends with it.
        offset: where its content begins in the log.
        intact: it belongs to the present generation and its checksum follows from the frame before it.
    """

    page: int
    commit: bool
    offset: int
    intact: bool


class Wal(msgspec.Struct, frozen=True):
    """What a log holds, up to the last frame that ends a transaction of the present generation.

    Attributes:
        readable: the header is sound; if not, all frames are listed and none is intact.
        frames: in order.
        sound: how many of them SQLite takes (up to the last commit before the first broken frame).
    """

    readable: bool
    frames: list[Frame]
    sound: int

    @property
    def forgets_commits(self) -> bool:
        """Whether a transaction that had ended when another began would be lost.

        Each commit is synced before the next may begin, so a power cut can tear only the last transaction.
        """
        rest = self.frames[self.sound :]
        ends = [index for index, frame in enumerate(rest) if frame.commit]
        return bool(ends) and any(frame.commit and frame.intact for frame in rest[ends[0] + 1 :])

    @property
    def unused(self) -> bool:
        """Whether it holds frames that SQLite does not take."""
        return len(self.frames) > self.sound


def parse(data: bytes, page_size: int) -> Wal:
    """Read a log; anything may be in it."""
    view = memoryview(data)
    size = _FRAME.size + page_size
    count = max(len(view) - _HEADER.size, 0) // size
    header = _HEADER.unpack_from(view) if len(view) >= _HEADER.size else (0,) * 8
    magic, _, stated, _, salt1, salt2, *checksum = header
    order = {_MAGIC_LITTLE: "<", _MAGIC_BIG: ">"}.get(magic)
    if order is None or stated != page_size or _sum(view[:24], order, (0, 0)) != tuple(checksum):
        return Wal(readable=False, frames=[_frame(view, index, size) for index in range(count)], sound=0)
    frames: list[Frame] = []
    before = (checksum[0], checksum[1])
    sound = unbroken = 0
    for index in range(count):
        offset = _HEADER.size + index * size
        page, commit, found1, found2, *stored = _FRAME.unpack_from(view, offset)
        body = offset + _FRAME.size
        chained = _sum(view[body : body + page_size], order, _sum(view[offset : offset + 8], order, before))
        before = (stored[0], stored[1])
        # What an earlier generation left behind has other salts.
        ours = (found1, found2) == (salt1, salt2)
        intact = ours and chained == before
        frames.append(Frame(page, commit=ours and commit != 0, offset=body, intact=intact))
        if intact and page and unbroken == index:
            unbroken = index + 1
            sound = unbroken if commit else sound
    while frames and not frames[-1].commit:
        frames.pop()
    return Wal(readable=True, frames=frames, sound=sound)


def _frame(view: memoryview, index: int, size: int) -> Frame:
    offset = _HEADER.size + index * size
    page, commit, *_ = _FRAME.unpack_from(view, offset)
    return Frame(page, commit=commit != 0, offset=offset + _FRAME.size, intact=False)


def _sum(data: memoryview, order: str, start: tuple[int, int]) -> tuple[int, int]:
    """SQLite's running checksum over pairs of 32-bit words."""
    one, two = start
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for first in words:
        one = (one + first + two) & _WORD
        two = (two + next(words) + one) & _WORD
    return one, two
