"""From files to what each station will be told, and when; pure but for the reading of the files.

A recording keeps its order and its distances to the millisecond; only its end is moved, onto the moment when the
replay ends. So nothing is ever said to be measured in the future.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median_low

import msgspec

from firmware_sim.options import IDENTIFIER
from firmware_sim.signals.layout import Layout
from firmware_sim.signals.table import Reader, Row, in_order
from hinomi.errors import ConfigError, Fault

MOST_STATIONS = 50
"""Each is a real agent, a process of about 30 MB."""

_BETWEEN = re.compile(r"[\s_./]+")


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cell, or with its time or station a row, that was not taken; as the report shows it.

    Attributes:
        line: in its file, from 1.
        column: its name.
        reason: see ``firmware_sim.signals.table.Refusal``; or the agent's.
        file: named only where there are several.
    """

    line: int
    column: str
    reason: str
    file: str | None = None


class Played(msgspec.Struct, frozen=True, gc=False):
    """A row as it will be handed to an agent.

    Attributes:
        file: which of the files.
        row: its line, time and values.
    """

    file: int
    row: Row


class Recording(msgspec.Struct, frozen=True):
    """All files together.

    Attributes:
        rows: data rows read.
        playlists: by station, in order of time.
        refused: what the files themselves made impossible.
        begin: earliest time, ms; 0 when there is no row.
        end: latest time, ms.
    """

    rows: int
    playlists: dict[str, list[Played]]
    refused: list[Refused]
    begin: int
    end: int

    @property
    def seconds(self) -> float:
        """From its first row to its last."""
        return (self.end - self.begin) / 1000


def load(paths: Sequence[Path], layout: Layout, *, station: str | None) -> Recording:
    """Read the files, in the order given.

    Args:
        paths: all written alike.
        layout: how.
        station: whose rows they all are; None: the layout's station column tells.

    Raises:
        ConfigError: every file that cannot be read and every column that is missing; too many stations.
    """
    readers = _readers(paths, layout)
    names = [None if len(paths) == 1 else str(path) for path in paths]
    rows, refused = 0, []
    played: list[Played] = []
    for file, reader in enumerate(readers):
        table = reader.table()
        rows += table.count
        refused += [Refused(each.line, each.column, each.reason, names[file]) for each in table.refusals]
        for row in table.rows:
            id_ = station or station_id(row.station)
            if id_ is None:
                refused.append(Refused(row.line, layout.station_column or "", "bad_station", names[file]))
            else:
                played.append(Played(file, msgspec.structs.replace(row, station=id_)))
    playlists: dict[str, list[Played]] = {}
    for each, verdict in zip(played, in_order([each.row for each in played]), strict=True):
        if verdict is None:
            playlists.setdefault(each.row.station, []).append(each)
        else:
            column = ",".join(layout.time_columns)
            refused.append(Refused(each.row.line, column, verdict.reason, names[each.file]))
    if len(playlists) > MOST_STATIONS:
        problem = f"{len(playlists)} stations, each a process of its own; at most {MOST_STATIONS}"
        raise ConfigError.of("--station-column", problem)
    times = [each.row.at for playlist in playlists.values() for each in (playlist[0], playlist[-1])]
    return Recording(rows, playlists, refused, min(times, default=0), max(times, default=0))


def _readers(paths: Sequence[Path], layout: Layout) -> list[Reader]:
    readers = []
    faults: list[Fault] = []
    for path in paths:
        try:
            readers.append(Reader(path, layout))
        except ConfigError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return readers


def station_id(text: str) -> str | None:
    """A cell of the station column as a station's id (``EWR`` is ``ewr``, ``Main St.`` is ``main-st``), or None."""
    plain = unicodedata.normalize("NFKC", text).strip().lower()
    id_ = _BETWEEN.sub("-", plain).strip("-")
    return id_ if IDENTIFIER.fullmatch(id_) else None


def usual_interval(playlist: Sequence[Played]) -> float:
    """The usual distance between two rows in seconds; 0 when there is only one."""
    times = [each.row.at for each in playlist]
    distances = [later - earlier for earlier, later in pairwise(times)]
    return median_low(distances) / 1000 if distances else 0.0


class Timeline:
    """When a row is handed over, and when it is said to have been measured.

    Args:
        recording: what is played.
        speed: seconds of the recording per real second; 0: as fast as it goes, the recording's end is now.
        now: ms since 1970 at the beginning of the replay.
        monotonic: seconds of the pace at that moment.
    """

    def __init__(self, recording: Recording, *, speed: float, now: int, monotonic: float) -> None:
        self._begin = recording.begin
        self._speed = speed
        self._monotonic = monotonic
        lasts_ms = 0 if speed == 0 else int((recording.end - recording.begin) / speed)
        self._shift = now + lasts_ms - recording.end

    def due(self, at: int) -> float:
        """The moment of the pace (s) at which the row of time ``at`` is handed over."""
        return self._monotonic if self._speed == 0 else self._monotonic + (at - self._begin) / 1000 / self._speed

    def measured_at(self, at: int) -> int:
        """What the agent is told, ms since 1970."""
        return at + self._shift
