"""Recordings as signals: what a CSV said, held until its next row, moved onto the present, repeated for ever.

``{recorded = "dead-run"}`` plays a recording that comes with the simulator (``firmware_sim.recordings``), the
column chosen by the quantity.
``{recorded = "my.csv", column = "level", unit = "cm", time_columns = ["when"]}`` plays any file.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median_low

import msgspec

from firmware_sim.recordings import RECORDINGS, Recording
from firmware_sim.signals.base import Signal, SignalSection
from firmware_sim.signals.layout import Column, Layout, near
from firmware_sim.signals.table import Row, Table, read
from firmware_sim.signals.times import Times
from hinomi.errors import ConfigError, Fault, Rejected

_HOLD_ROWS = 3
"""A value is good for this many usual distances between rows; after that the recording was silent."""

_read_once = lru_cache(maxsize=16)(read)


class RecordedSection(SignalSection, frozen=True):
    """The table of a recorded signal.

    Attributes:
        recorded: a name of ``RECORDINGS``, or the path of a CSV file (then it has a suffix).
        column: the value's column; without it the one of a known recording that measures this quantity.
        station: whose rows, where the file holds several stations.
        begin: first moment of the recording to be played, as the file would write it; default its first row.
        end: the moment after the last one; default one usual row distance after the last row.
        anchor_ms: wall time (ms) at which ``begin`` is played; default: when it was, so a repeated one goes on
            through all time.
        repeat: after ``end`` comes ``begin`` again; else there is a gap before and after.
        interpolate: a straight line between two rows instead of the earlier row's value.
        unit: of the file's column; default the quantity's own.
        time_columns: of a file of one's own; likewise the rest, see ``Layout``.
    """

    recorded: Path
    column: str | None = None
    station: str | None = None
    begin: str | None = None
    end: str | None = None
    anchor_ms: int | None = None
    repeat: bool = True
    interpolate: bool = False
    unit: str | None = None
    time_columns: list[str] = msgspec.field(default_factory=list)
    time_zone: str = "UTC"
    time_format: str | None = None
    station_column: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    skip: int = 0
    decimal: str = "."
    gaps: list[str] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.recorded.suffix and not (self.column and self.time_columns):
            raise ValueError("a file of one's own needs column and time_columns")

    def signal(self, quantity: str, seed: int) -> Signal:  # noqa: ARG002 - the protocol names it
        """The recording of ``quantity``.

        Raises:
            ConfigError: no such recording, file, column, station or unit.
        """
        path, layout, column = self._source(quantity)
        rows = _of_station(path, _read_once(path, layout), self.station)
        times = Times(layout.time_zone, layout.time_format)
        window = _window(rows, _moment(times, "begin", self.begin), _moment(times, "end", self.end))
        return RecordedSignal(
            [row.at for row in rows],
            _converted(rows, layout, column),
            window=window,
            anchor_ms=self.anchor_ms,
            repeat=self.repeat,
            interpolate=self.interpolate,
        )

    def _source(self, quantity: str) -> tuple[Path, Layout, int]:
        if not self.recorded.suffix:
            recording = _known(self.recorded.name)
            return recording.path, recording.layout, _column_for(recording, quantity, self.column)
        layout = Layout(
            columns=(Column(self.column or "", quantity, self.unit),),
            **{name: getattr(self, name) for name in _LAYOUT_SETTINGS},
            time_columns=tuple(self.time_columns),
            gaps=tuple(self.gaps),
        )
        return self.recorded, layout, 0


_LAYOUT_SETTINGS = ("time_zone", "time_format", "station_column", "delimiter", "encoding", "skip", "decimal")


class RecordedSignal:
    """Rows of a recording as a function of time.

    Args:
        times: strictly increasing, ms.
        values: one for each time, in the quantity's unit; None is a gap.
        window: the part that is played: from its first moment to before its second; by default all.
        anchor_ms: when its first moment is played; by default when it was.
        repeat: after the window it begins again, endlessly in both directions.
        interpolate: a straight line between two rows.
    """

    def __init__(
        self,
        times: Sequence[int],
        values: Sequence[float | None],
        *,
        window: tuple[int, int] | None = None,
        anchor_ms: int | None = None,
        repeat: bool = True,
        interpolate: bool = False,
    ) -> None:
        if len(times) != len(values) or not times:
            raise ValueError("a recording needs as many values as times, and at least one")
        self._times = times
        self._values = values
        self._distance = _distance(times)
        self._begin, self._end = window or (times[0], times[-1] + self._distance)
        self._anchor = self._begin if anchor_ms is None else anchor_ms
        self._repeat = repeat
        self._interpolate = interpolate

    def value(self, at_ms: int) -> float | None:
        """What the recording says at ``at_ms``; None in its gaps."""
        since = at_ms - self._anchor
        if self._repeat:
            since %= self._end - self._begin
        moment = self._begin + since
        if not self._begin <= moment < self._end:
            return None
        index = bisect_right(self._times, moment) - 1
        if index < 0 or moment - self._times[index] >= _HOLD_ROWS * self._distance:
            return None
        return self._between(index, moment) if self._interpolate else self._values[index]

    def _between(self, index: int, moment: int) -> float | None:
        left = self._values[index]
        if left is None or index + 1 == len(self._times):
            return left
        right = self._values[index + 1]
        length = self._times[index + 1] - self._times[index]
        if right is None or length >= _HOLD_ROWS * self._distance:
            return left
        return left + (right - left) * (moment - self._times[index]) / length


def _distance(times: Sequence[int]) -> int:
    """The usual distance between rows in ms; a minute where there is only one row."""
    return median_low([later - earlier for earlier, later in pairwise(times)] or [60_000])


def _known(name: str) -> Recording:
    if name not in RECORDINGS:
        raise ConfigError.of("recorded", f"no recording {name!r}; {near(name, RECORDINGS)}; a file ends with .csv")
    return RECORDINGS[name]


def _column_for(recording: Recording, quantity: str, name: str | None) -> int:
    columns = recording.layout.columns
    for index, column in enumerate(columns):
        if column.quantity == quantity and name in {None, column.name}:
            return index
    has = ", ".join(f"{column.name} ({column.quantity})" for column in columns)
    raise ConfigError.of("recorded", f"{recording.file} has no {name or 'column'} of {quantity}; it has {has}")


def _converted(rows: Sequence[Row], layout: Layout, index: int) -> list[float | None]:
    column = layout.columns[index]
    found = (row.values[index] for row in rows)
    return [None if value is None else column.convert(value) for value in found]


def _of_station(path: Path, table: Table, station: str | None) -> list[Row]:
    names = {row.station for row in table.rows}
    if not names:
        raise ConfigError.of(str(path), "holds no row that can be read")
    if station is None:
        if len(names) > 1:
            raise ConfigError.of("station", f"the file holds several, name one of {', '.join(sorted(names))}")
        return table.rows
    if station not in names:
        raise ConfigError.of("station", f"no station {station!r} in {path.name}; {near(station, names)}")
    return [row for row in table.rows if row.station == station]


def _moment(times: Times, name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return times.read(text)
    except Rejected as error:
        raise ConfigError([Fault(name, error.detail)]) from error


def _window(rows: Sequence[Row], begin: int | None, end: int | None) -> tuple[int, int]:
    first, last = rows[0].at, rows[-1].at
    window = (first if begin is None else begin, last + _distance([row.at for row in rows]) if end is None else end)
    if not window[0] < window[1] or window[1] <= first or window[0] > last:
        raise ConfigError.of("begin", "the part from begin to end lies outside of the recording")
    return window
