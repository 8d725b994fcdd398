"""A damaged journal: read what can be read, set the file aside, go on with a new one.

Rows are found page by page and known by their seals, so neither the file's header nor its trees need to be sound.
"""

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hinomi.journal import aside, schema
from hinomi.journal.build import Builder
from hinomi.journal.headroom import Headroom
from hinomi.journal.memory import State
from hinomi.journal.pages import Cell, cells, is_leaf, lowest
from hinomi.journal.protocol import Recovery, Refusal
from hinomi.journal.records import Row
from hinomi.journal.sidecar import Mark
from hinomi.journal.source import Source


def rescue(path: Path, why: str, mark: Mark | None, begin: State, headroom: Headroom) -> None:
    """Put a new journal with what can be read of ``path`` in its place; its state says what was found.

    Args:
        path: the journal; it or its write-ahead log may be missing.
        why: what was found, in plain words.
        mark: how far it had come, if that is known.
        begin: stream, machine and reason of the new one.
        headroom: given back when the disk is full.

    Raises:
        Transient: the disk is full or failing; the damaged file is untouched.
    """
    source = Source(path)
    try:
        with Builder(aside.partial(path)) as builder:
            finds = Finds()
            gaps = Gaps()
            positions = _copy(source, builder, finds, gaps, mark)
            builder.flush()
            if builder.full:
                headroom.release()
            recovery = _account(builder, finds, gaps, mark, why)
            builder.finish(aside.salvaged(path), replace(begin, recovery=recovery), positions, finds.notes)
    finally:
        source.close()
    aside.swap(path)


class Finds:
    """What stands beside the log, as far as it was found."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.cursors: dict[str, int] = {}
        self.notes: dict[str, bytes] = {}

    def take(self, cell: Cell) -> Refusal | None:
        """Keep a row of the small tables; a refusal is given back."""
        number, values = cell
        match values:
            case (None, bytes(data), int(total)) if total == schema.seal("state", data):
                self._take_state(msgspec.msgpack.decode(data, type=State))
            case (None, _, _, _) if number < 1:
                pass  # the first row of a small table
            case (None, str(name), int(at), int(total)) if total == schema.seal("cursor", number, name, at):
                self.cursors[name] = max(at, self.cursors.get(name, 0))
            case (None, str(key), bytes(value), int(total)) if total == schema.seal("note", number, key, value):
                self.notes[key] = value
            case (None, str(reason), str(detail), str(source), int(at), int(count), int(total), bytes(body)):
                head = (number, reason, detail, source, at, count)
                if total == schema.seal_refusal(head, body):
                    return Refusal(reason, detail, source, body, at, count, number)
        return None

    def _take_state(self, state: State) -> None:
        if self.state is None or (state.next_row, state.gone) > (self.state.next_row, self.state.gone):
            self.state = state


class Gaps:
    """What is missing between records that were found, by their numbers and running sums."""

    def __init__(self) -> None:
        self.records = 0
        self.readings = 0
        self.row = 0
        self.total = 0

    def passed(self, row: Row) -> None:
        """The next record found."""
        number, total, _, count, thinned, *_ = row
        if self.row:
            self.records += number - self.row - 1
            self.readings += max(total - count - thinned - self.total, 0)
        self.row, self.total = number, total


def _copy(source: Source, builder: Builder, finds: Finds, gaps: Gaps, mark: Mark | None) -> dict[str, int]:
    """Give all readable rows to the builder in order; returns where the cursors stand among them."""
    pages = _leaves(source, finds)
    floor = max(each.base_row for each in _known(finds, mark) or [Mark()])
    taken = array("q")
    for row in _merged(pages, source, builder, finds):
        # Rows below the base were removed; a number twice is an older version of a page.
        if row[0] < floor or row[0] <= gaps.row:
            continue
        gaps.passed(row)
        builder.record(row)
        taken.append(row[0])
    return {name: bisect_right(taken, position) for name, position in finds.cursors.items()}


def _leaves(source: Source, finds: Finds) -> list[tuple[int, int, bytes | None]]:
    """Leaf pages by their lowest row: (row, number, or 0 and the content); the counters are found on the way."""
    freed = source.freed()
    found: list[tuple[int, int, bytes | None]] = []
    for number in range(2, source.count + 1):
        page = source.page(number) if number not in freed else None
        low = lowest(page) if page and is_leaf(page) else None
        if page and low is not None:
            found.append((low, number, None))
            _find_state(low, page, source, finds)
    for page in source.doubtful():
        low = lowest(page) if is_leaf(page) else None
        if low is not None:
            found.append((low, 0, page))
            _find_state(low, page, source, finds)
    found.sort(key=lambda entry: entry[0])
    return found


def _find_state(low: int, page: bytes, source: Source, finds: Finds) -> None:
    """The counters are the row 1 of a page of their own; they must be known before the first record."""
    if low == 1:
        for cell in cells(page, source.page):
            if cell is not None and len(cell.values) == 3:
                finds.take(cell)


def _merged(
    pages: list[tuple[int, int, bytes | None]], source: Source, builder: Builder, finds: Finds
) -> Iterator[Row]:
    """Records of all pages in order; what is no record goes where it belongs."""
    heap: list[Row] = []
    for low, number, content in pages:
        while heap and heap[0][0] < low:
            yield heapq.heappop(heap)
        for cell in cells(content or source.page(number) or b"", source.page):
            row = _as_record(cell)
            if row is not None:
                heapq.heappush(heap, row)
            elif cell is not None:
                refusal = finds.take(cell)
                if refusal is not None:
                    builder.refusal(refusal)
    while heap:
        yield heapq.heappop(heap)


def _as_record(cell: Cell | None) -> Row | None:
    if cell is None or len(cell.values) != 8:
        return None
    _, total, volume, count, thinned, kind, found, body = cell.values
    if not (isinstance(kind, str) and isinstance(found, int) and (body is None or isinstance(body, bytes))):
        return None
    if not (isinstance(total, int) and isinstance(volume, int) and isinstance(count, int)):
        return None
    if not isinstance(thinned, int):
        return None
    head = (cell.rowid, total, volume, count, thinned, kind)
    return (*head, found, body) if found == schema.seal_record(head, body) else None


def _account(builder: Builder, finds: Finds, gaps: Gaps, mark: Mark | None, why: str) -> Recovery:
    """What was kept and what is lost: by the counters and the mark, else by the gaps between what was found."""
    marks = _known(finds, mark)
    records, readings, refusals, gone = builder.records, builder.readings, builder.refusals, 0
    if marks:
        start = max(mark.start for mark in marks)
        next_row = max([gaps.row + 1, *(mark.next_row for mark in marks)])
        accepted = max([gaps.total, *(mark.total for mark in marks)]) - start
        gone = max(mark.gone for mark in marks)
        given_up = max(mark.dropped for mark in marks) + max(mark.removed for mark in marks)
        records = next_row - 1 - gone - max(mark.shift for mark in marks)
        readings = accepted - given_up
        refusals = marks[-1].quarantined
    elif gaps.row:
        records += gaps.records
        readings += gaps.readings
    return Recovery(
        kind="damaged",
        reason=f"{why}; the disk was full before all of it was copied" if builder.full else why,
        old_stream=marks[-1].stream if marks else "",
        kept_records=builder.records,
        kept_readings=builder.readings,
        kept_refusals=builder.refusals,
        lost_records=max(records - builder.records, 0),
        lost_readings=max(readings - builder.readings, 0),
        lost_refusals=max(refusals - builder.refusals, 0),
        # If the last removals cannot be read, records that were removed may be among those kept.
        exact=(
            finds.state is not None
            and finds.state.gone == gone
            and builder.records <= records
            and builder.readings <= readings
        ),
    )


def _known(finds: Finds, mark: Mark | None) -> list[Mark]:
    """How far the journal had come, as its counters and its mark say; what fits no more is left out."""
    known = [Mark.of_state(finds.state)] if finds.state else []
    if mark is not None and mark.stream and (not known or mark.stream == known[0].stream):
        known.append(mark)
    return known
