"""What is known of a station before it has said a word."""

from typing import Literal

import msgspec

from sensing.topic import StationId

Purpose = Literal["private", "public", "research", "education"]


class DatastreamInfo(msgspec.Struct, frozen=True):
    """One datastream of a station as it announces it.

    Attributes:
        sensor: id inside the station.
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        interval_s: seconds between readings; above 0.
    """

    sensor: str
    quantity: str
    interval_s: float

    def __post_init__(self) -> None:
        if not 0 < self.interval_s < float("inf"):
            raise ValueError(f"interval_s of {self.sensor}/{self.quantity} must be above 0, got {self.interval_s}")


class StationRecord(msgspec.Struct, frozen=True):
    """A registered station.

    Attributes:
        id: community and station.
        name: as people call the place, e.g. 新橋.
        kana: its reading in hiragana.
        romaji: its reading in Latin letters.
        purpose: why it measures. A weather station is public only with a notification to JMA (気象業務法 art. 6).
        jma_notification: number of that notification; empty: none.
        latitude: degrees north, WGS 84; None: not told.
        longitude: degrees east, WGS 84; None: not told.
        marks: quantity to the four heights of 目安1..4, rising, in the quantity's unit.
        lowest_bank: height of the lowest bank above gauge zero, m; None: not a river gauge.
        datastreams: what it said it measures.
    """

    id: StationId
    name: str = ""
    kana: str = ""
    romaji: str = ""
    purpose: Purpose = "private"
    jma_notification: str = ""
    latitude: float | None = None
    longitude: float | None = None
    marks: dict[str, tuple[float, float, float, float]] = {}
    lowest_bank: float | None = None
    datastreams: tuple[DatastreamInfo, ...] = ()

    def __post_init__(self) -> None:
        for quantity, heights in self.marks.items():
            if list(heights) != sorted(set(heights)):
                raise ValueError(f"marks of {quantity} must rise from mark 1 to mark 4, got {list(heights)}")
        if self.latitude is not None and not -90 <= self.latitude <= 90:
            raise ValueError(f"latitude must be within -90 and 90, got {self.latitude}")
        if self.longitude is not None and not -180 <= self.longitude <= 180:
            raise ValueError(f"longitude must be within -180 and 180, got {self.longitude}")

    def interval_s(self, sensor: str, quantity: str) -> float | None:
        """Seconds between readings of one datastream, None when it was not announced."""
        for info in self.datastreams:
            if info.sensor == sensor and info.quantity == quantity:
                return info.interval_s
        return None
