"""What the live page shows, as plain data: pure, so that a page, its JSON and their tests say the same."""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from cloud.ingest.loss import StationLoss
from cloud.portal.spark import Spark
from cloud.store.protocol import Latest
from sensing.observation import Datastream
from sensing.quantity import QUANTITIES, Quantity
from sensing.topic import StationId

# Where nobody has said how often a datastream measures.
DEFAULT_INTERVAL_S = 300.0
# A station commits every five seconds, and there is a way to go: not counted as age.
GRACE_S = 15.0

_ORDER = {name: index for index, name in enumerate(QUANTITIES)}


class Meter(msgspec.Struct, frozen=True):
    """The loss meter's sums, in readings; accepted = all the others together, ``lost`` included."""

    accepted: int = 0
    stored: int = 0
    on_its_way: int = 0
    quarantined: int = 0
    dropped: int = 0
    written_off: int = 0
    lost: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether every reading is somewhere."""
        return self.lost == 0


PARTS = ("stored", "on_its_way", "quarantined", "dropped", "written_off", "lost")


class Row(msgspec.Struct, frozen=True):
    """One datastream.

    Attributes:
        datastream: whose.
        quantity: what is measured.
        interval_s: how often.
        newest: its newest observation.
        age_ms: how old that is.
        stale: older than three intervals and the way.
        spark: its recent past.
        span_s: how much of the past that is.
    """

    datastream: Datastream
    quantity: Quantity
    interval_s: float
    newest: Latest
    age_ms: int
    stale: bool
    spark: Spark
    span_s: float


class Station(msgspec.Struct, frozen=True):
    """One station; ``online`` is None when it never spoke."""

    id: StationId
    name: str
    romaji: str
    online: bool | None
    rows: tuple[Row, ...]


class Community(msgspec.Struct, frozen=True):
    """One community with those of its stations that are on this page."""

    name: str
    meter: Meter
    stations: tuple[Station, ...]


class View(msgspec.Struct, frozen=True):
    """One page.

    Attributes:
        now: the measuring clock, ms.
        speed: how fast that clock runs; not 1 while recordings are replayed.
        total: all communities together.
        communities: in order of their names.
        store_away: the database did not answer for some of them.
        stations: how many there are on all pages.
        page: this one, from 1.
        pages: how many.
    """

    now: int
    speed: float
    total: Meter
    communities: tuple[Community, ...]
    store_away: bool
    stations: int
    page: int
    pages: int

    @property
    def layout(self) -> str:
        """Changes when anything but values has changed: then a page has to be drawn anew."""
        parts = [f"{self.page}/{self.pages}/{self.store_away}"]
        for community in self.communities:
            parts.append(community.name)
            for station in community.stations:
                parts.append(f"{station.id}|{station.name}|{station.romaji}")
                parts += [f"{row.datastream.sensor}|{row.quantity.name}" for row in station.rows]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def meter(rows: Iterable[StationLoss]) -> Meter:
    """The sums of some stations."""
    sums = dict.fromkeys(("accepted", *PARTS), 0)
    for row in rows:
        sums["accepted"] += row.accepted
        sums["stored"] += row.stored
        sums["on_its_way"] += row.pending_station + row.pending_journal
        sums["quarantined"] += row.quarantined
        sums["dropped"] += row.dropped
        sums["written_off"] += row.written_off
        sums["lost"] += row.unaccounted
    return Meter(**sums)


def shown(newest: Iterable[Latest]) -> dict[StationId, list[Latest]]:
    """By station, most telling quantity first; personal and unknown quantities are not for this page."""
    found: dict[StationId, list[Latest]] = {}
    for row in newest:
        quantity = QUANTITIES.get(row.datastream.quantity)
        if quantity is not None and not quantity.personal:
            found.setdefault(StationId(row.datastream.community, row.datastream.station), []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (_ORDER[row.datastream.quantity], row.datastream.sensor))
    return found


def is_stale(age_ms: int, interval_s: float, speed: float) -> bool:
    """Older than three intervals; what the way takes passes in real time, also while recordings are replayed."""
    return age_ms > 1000 * (3 * interval_s + GRACE_S * speed)


def paged(stations: Sequence[StationId], page: int, size: int) -> tuple[Sequence[StationId], int, int]:
    """The stations of one page, its number within bounds, and how many pages there are."""
    pages = max(1, -(-len(stations) // size))
    page = min(max(page, 1), pages)
    return stations[(page - 1) * size : page * size], page, pages
