"""How a recorded CSV is written, and what in such a description a person has to fix."""

import codecs
import difflib
import zoneinfo
from collections.abc import Iterable

import msgspec

from hinomi.errors import Fault, Rejected
from sensing.quantity import QUANTITIES
from sensing.units import linear


class Column(msgspec.Struct, frozen=True):
    """A column that is measured values.

    Attributes:
        name: as the header spells it.
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        unit: what the file counts in, any spelling of ``sensing.units``; None: the quantity's own.
        sensor: the sensor's name inside the station.
    """

    name: str
    quantity: str
    unit: str | None = None
    sensor: str = "recorded"

    def faults(self) -> list[Fault]:
        """What a person has to fix."""
        path = f"column {self.name}"
        known = QUANTITIES.get(self.quantity)
        if known is None:
            return [Fault(path, f"no quantity {self.quantity!r}; {near(self.quantity, QUANTITIES)}")]
        if self.unit is None:
            return []
        try:
            linear(self.unit, known.unit)
        except Rejected as error:
            return [Fault(path, f"{error.detail}; {self.quantity} is kept in {known.unit}")]
        return []

    def convert(self, value: float) -> float:
        """``value`` of the file in the quantity's own unit."""
        if self.unit is None:
            return value
        scale, offset = linear(self.unit, QUANTITIES[self.quantity].unit)
        return scale * value + offset


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is written.

    Attributes:
        columns: the measured ones.
        time_columns: one, or a date's and a time's; read as one text with a blank between.
        time_zone: IANA name, for times without an offset of their own.
        time_format: a ``strptime`` pattern where the usual forms do not fit.
        station_column: whose value tells the rows of one station from those of another.
        delimiter: one character.
        encoding: of the text; a byte order mark is no matter.
        skip: lines before the header that are no CSV.
        decimal: the decimal sign.
        gaps: cells that mean "not measured" beside the empty one, e.g. ``-9999``.
    """

    columns: tuple[Column, ...]
    time_columns: tuple[str, ...]
    time_zone: str = "UTC"
    time_format: str | None = None
    station_column: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    skip: int = 0
    decimal: str = "."
    gaps: tuple[str, ...] = ()

    def faults(self) -> list[Fault]:
        """What a person has to fix, before any file is opened."""
        return self.dialect_faults() + self.meaning_faults()

    def dialect_faults(self) -> list[Fault]:
        """What keeps even a header from being read."""
        found = []
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            found.append(Fault("delimiter", f"got {self.delimiter!r}, expected one character (a tab is \\t)"))
        if self.skip < 0:
            found.append(Fault("skip", f"got {self.skip}, expected how many lines come before the header"))
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            found.append(Fault("encoding", f"no encoding {self.encoding!r}; for Japanese files often cp932"))
        return found

    def meaning_faults(self) -> list[Fault]:
        """What keeps the cells from being understood."""
        found = [fault for column in self.columns for fault in column.faults()]
        if self.decimal not in {".", ","}:
            found.append(Fault("decimal", f"got {self.decimal!r}, expected '.' or ','"))
        if not _is_zone(self.time_zone):
            advice = near(self.time_zone, zoneinfo.available_timezones())
            found.append(Fault("time zone", f"no time zone {self.time_zone!r}; {advice}"))
        return found


def near(name: str, known: Iterable[str]) -> str:
    """Advice for a name that is not known: the nearest one, or all where there are few."""
    names = sorted(known)
    lowered = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    return f"known: {', '.join(names)}" if len(names) <= 60 else "see the documentation for the names"


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
