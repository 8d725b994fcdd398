"""Rows out of single database pages, without trusting anything around them.

Used when the file's structure is broken. Only leaf pages of tables are read (all tables are plain rowid tables).
Source of the format: sqlite.org/fileformat2.html, sections 1.5, 1.6 and 2.1.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

_LEAF = 0x0D
# Bytes of the integer serial types 1 to 6.
_INT_SIZES = (0, 1, 2, 3, 4, 6, 8)
_FLOAT, _ZERO, _ONE, _BLOB = 7, 8, 9, 12

Value = int | float | str | bytes | None
Values = tuple[Value, ...]


class Cell(NamedTuple):
    """One row: its rowid and its columns as stored (an INTEGER PRIMARY KEY column is stored as None)."""

    rowid: int
    values: Values


def is_leaf(page: bytes, *, first: bool = False) -> bool:
    """Whether the page says that it is a leaf of a table; ``first``: it is page 1 with the file's header."""
    start = 100 if first else 0
    return len(page) > start and page[start] == _LEAF


def lowest(page: bytes) -> int | None:
    """The lowest rowid that can be read; None when there is none."""
    found = []
    for pointer in _pointers(page):
        try:
            _, at = _varint(page, pointer)
            found.append(_varint(page, at)[0])
        except IndexError:
            continue
    return min(found, default=None)


def cells(page: bytes, overflow: Callable[[int], bytes | None]) -> Iterator[Cell | None]:
    """The rows of a leaf page in order; None for each that cannot be read.

    Args:
        page: a whole page, not page 1.
        overflow: gives the page of a number, for rows larger than a page.
    """
    for pointer in _pointers(page):
        try:
            yield _cell(page, pointer, overflow)
        except (IndexError, ValueError, OverflowError, struct.error):
            yield None


def _pointers(page: bytes) -> tuple[int, ...]:
    if not is_leaf(page):
        return ()
    count = min(int.from_bytes(page[3:5], "big"), (len(page) - 8) // 2)
    return struct.unpack_from(f">{count}H", page, 8)


def _cell(page: bytes, at: int, overflow: Callable[[int], bytes | None]) -> Cell:
    size, at = _varint(page, at)
    rowid, at = _varint(page, at)
    usable = len(page)
    local = size
    if size > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = least if local > usable - 35 else local
    payload = page[at : at + local]
    if local < size:
        payload += _chain(int.from_bytes(page[at + local : at + local + 4], "big"), size - local, usable, overflow)
    if len(payload) != size:
        raise ValueError("the row goes beyond its page")
    return Cell(_signed(rowid), _columns(payload))


def _chain(number: int, size: int, usable: int, overflow: Callable[[int], bytes | None]) -> bytes:
    parts = []
    seen = {0}
    while size > 0:
        page = None if number in seen else overflow(number)
        if page is None:
            raise ValueError("a page of the row is missing, or its chain is a ring")
        seen.add(number)
        part = page[4 : 4 + min(size, usable - 4)]
        number = int.from_bytes(page[:4], "big")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _columns(payload: bytes) -> Values:
    # One loop for speed: this is what takes the time when a large file is salvaged.
    header, at = _varint(payload, 0)
    body = header
    values: list[Value] = []
    while at < header:
        kind = payload[at]
        at += 1
        if kind >= 0x80:
            kind, at = _varint(payload, at - 1)
        if kind >= _BLOB:
            end = body + (kind - _BLOB) // 2
            data = payload[body:end]
            values.append(data.decode() if kind % 2 else data)
            body = end
        elif 0 < kind < _FLOAT:
            end = body + _INT_SIZES[kind]
            values.append(int.from_bytes(payload[body:end], "big", signed=True))
            body = end
        elif kind == _FLOAT:
            values.append(struct.unpack_from(">d", payload, body)[0])
            body += 8
        elif kind in {_ZERO, _ONE}:
            values.append(kind - _ZERO)
        elif kind == 0:
            values.append(None)
        else:
            raise ValueError("a reserved type")
    if body != len(payload):
        raise ValueError("the columns do not fill the row")
    return tuple(values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for _ in range(7):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
