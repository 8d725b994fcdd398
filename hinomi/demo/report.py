"""What the demo says at the end: one JSON object, counted from journals, log and store, not from memory."""

import os
from pathlib import Path
from typing import Literal

import msgspec

SCHEMA = 1


class StationDetail(msgspec.Struct, frozen=True):
    """One station, in readings."""

    id: str
    kind: Literal["edge", "fleet"]
    accepted: int
    stored: int
    pending: int


class Report(msgspec.Struct, frozen=True):
    """The whole run, in readings.

    Attributes:
        schema: of this object.
        seconds: real ones, from the first process to the last count.
        speed: of the recordings.
        store: where the readings went.
        broker: through what.
        accepted: committed in the stations' journals and the fleet's log.
        stored: rows in the store.
        pending: accepted, not in the store, still held by a station's or the arrival journal.
        quarantined: set aside with a reason.
        dropped: given up by a station and declared.
        written_off: of streams that were given up.
        lost: accepted - stored - pending - quarantined - dropped - written_off; anything but 0 is a defect.
        duplicated: rows in the store minus distinct accepted keys, where there are more.
        stations: how many.
        datastreams: how many have at least one row.
        stations_detail: each station's part.
        p50_ms: real milliseconds from sampling to readable in the store, median; None without any.
        p99_ms: the same, 99th percentile.
    """

    schema: int
    seconds: float
    speed: float
    store: str
    broker: str
    accepted: int
    stored: int
    pending: int
    quarantined: int
    dropped: int
    written_off: int
    lost: int
    duplicated: int
    stations: int
    datastreams: int
    stations_detail: list[StationDetail]
    p50_ms: float | None
    p99_ms: float | None

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing counted twice."""
        return self.lost == 0 and self.duplicated == 0


def write_report(report: Report, path: Path) -> None:
    """Write it whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    beside.replace(path)
