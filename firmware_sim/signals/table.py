"""A recorded CSV as rows of numbers at moments: what is good is kept, what is bad is named by line and column."""

import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import msgspec

from firmware_sim.signals.layout import Layout, near
from firmware_sim.signals.order import increasing
from firmware_sim.signals.records import Records
from firmware_sim.signals.times import Times
from hinomi.errors import ConfigError, Fault, Rejected

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)


class Refusal(msgspec.Struct, frozen=True):
    """A cell, or with its time or station a whole row, that was not taken.

    Attributes:
        line: in the file, from 1.
        column: its name (``Date,Time`` for two time columns); ``#7`` for a cell that has no header.
        reason: bad_time, nonexistent_time, duplicate_time, out_of_order, bad_station, not_a_number, not_finite,
            surplus_cells, unclosed_quote, bad_quotes.
        detail: plain words.
    """

    line: int
    column: str
    reason: str
    detail: str


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row whose time and station could be read.

    Attributes:
        line: in the file, from 1.
        at: ms since 1970.
        station: the station column's text; empty without one.
        values: for each column what the file says, in the file's unit; None is a gap.
        whole: no cell of it was refused.
    """

    line: int
    at: int
    station: str
    values: tuple[float | None, ...]
    whole: bool


class Table(msgspec.Struct, frozen=True):
    """What a file holds.

    Attributes:
        count: data rows read, the refused ones too.
        rows: the good ones in the order of the file; strictly later and later within one station.
        refusals: in the order of the lines.
    """

    count: int
    rows: list[Row]
    refusals: list[Refusal]


def read(path: Path, layout: Layout) -> Table:
    """Read a whole file.

    Raises:
        ConfigError: the file cannot be read or lacks a column; every fault of the layout too.
    """
    return Reader(path, layout).table()


class Reader:
    """One file, its header understood.

    Raises:
        ConfigError: the file cannot be read or lacks a column; every fault of the layout too.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        if layout.dialect_faults():
            raise ConfigError(layout.faults())
        self._layout = layout
        self._records = iter(Records(path, delimiter=layout.delimiter, encoding=layout.encoding, skip=layout.skip))
        self._header = _header(path, next(self._records, None))
        if faults := [*layout.meaning_faults(), *self._header_faults(path)]:
            raise ConfigError(faults)
        self._values = [self._header.index(column.name) for column in layout.columns]
        self._times = [self._header.index(name) for name in layout.time_columns]
        station = layout.station_column
        self._station = None if station is None else self._header.index(station)
        self._reader = Times(layout.time_zone, layout.time_format)
        self._last: dict[str, int] = {}
        self._refusals: list[Refusal] = []

    def _header_faults(self, path: Path) -> list[Fault]:
        layout = self._layout
        wanted = [*layout.time_columns, *(column.name for column in layout.columns)]
        if layout.station_column is not None:
            wanted.append(layout.station_column)
        faults = []
        for name in dict.fromkeys(wanted):
            if name not in self._header:
                faults.append(Fault(str(path), f"no column {name!r}; {self._advice(name)}"))
            elif self._header.count(name) > 1:
                faults.append(Fault(str(path), f"the column {name!r} stands there more than once"))
        return faults

    def _advice(self, name: str) -> str:
        if len(self._header) == 1:
            others = [sign for sign in ",;\t|" if sign in self._header[0]]
            if others:
                return f"the header has no {self._layout.delimiter!r} but {others[0]!r}: is that the delimiter?"
        if any("\ufffd" in other for other in self._header):
            return f"the header is not {self._layout.encoding}: is the encoding another, e.g. cp932?"
        return near(name, self._header)

    def table(self) -> Table:
        """The rows and what was refused."""
        count = 0
        rows = []
        for line, cells in self._records:
            count += 1
            if isinstance(cells, Rejected):
                self._refuse(line, self._header[0], cells)
            elif (row := self._row(line, cells)) is not None:
                rows.append(row)
        kept = in_order(rows)
        for row, keep in zip(rows, kept, strict=True):
            if keep is not None:
                self._refuse(row.line, ",".join(self._layout.time_columns), keep)
        ordered = [row for row, keep in zip(rows, kept, strict=True) if keep is None]
        return Table(count, ordered, sorted(self._refusals, key=lambda refusal: refusal.line))

    def _row(self, line: int, cells: Sequence[str]) -> Row | None:
        width = len(self._header)
        if any(cell.strip() for cell in cells[width:]):
            self._refuse(line, f"#{width + 1}", Rejected("surplus_cells", f"the header has {width} columns"))
            return None
        padded = [*cells, *[""] * (width - len(cells))]
        station = "" if self._station is None else padded[self._station].strip()
        if self._station is not None and not station:
            self._refuse(line, self._header[self._station], Rejected("bad_station", "the cell is empty"))
            return None
        text = " ".join(padded[index] for index in self._times)
        try:
            at = self._reader.read(text, after=self._last.get(station))
        except Rejected as error:
            self._refuse(line, ",".join(self._layout.time_columns), error)
            return None
        self._last[station] = at
        before = len(self._refusals)
        values = tuple(self._number(line, index, padded[index]) for index in self._values)
        return Row(line, at, station, values, whole=len(self._refusals) == before)

    def _number(self, line: int, index: int, cell: str) -> float | None:
        text = unicodedata.normalize("NFKC", cell).strip()
        if not text or text in self._layout.gaps:
            return None
        if self._layout.decimal != ".":
            text = text.replace(self._layout.decimal, ".", 1)
        if _NUMBER.fullmatch(text) and math.isfinite(value := float(text)):
            return value
        finite = not (_NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text))
        reason = "not_a_number" if finite else "not_finite"
        self._refuse(line, self._header[index], Rejected(reason, f"{cell!r}"))
        return None

    def _refuse(self, line: int, column: str, error: Rejected) -> None:
        self._refusals.append(Refusal(line, column, error.reason, error.detail))


def in_order(rows: Sequence[Row]) -> list[Rejected | None]:
    """For each row None, or why it does not stand in order of time within its station."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.station, []).append(index)
    verdicts: list[Rejected | None] = [None] * len(rows)
    for indices in groups.values():
        times = [rows[index].at for index in indices]
        flags = increasing(times)
        taken = {time for time, keep in zip(times, flags, strict=True) if keep}
        for index, time, keep in zip(indices, times, flags, strict=True):
            if not keep:
                reason = "duplicate_time" if time in taken else "out_of_order"
                verdicts[index] = Rejected(reason, "the rows of one station must be later and later")
    return verdicts


def _header(path: Path, record: tuple[int, list[str] | Rejected] | None) -> list[str]:
    if record is None:
        raise ConfigError.of(str(path), "is empty: no header was found")
    line, cells = record
    if isinstance(cells, Rejected):
        raise ConfigError.of(f"{path}:{line}", f"the header is no CSV: {cells.detail}")
    return [unicodedata.normalize("NFC", cell).strip() for cell in cells]
