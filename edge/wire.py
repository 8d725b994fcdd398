"""From a record of the journal to what goes on the wire: the header is made anew at each sending. Pure."""

import msgspec

from edge import body
from edge.clock import Correction
from hinomi.journal.protocol import Record, Stats
from sensing.observation import ClockQuality, Kind
from sensing.quantity import QUANTITIES
from sensing.senml import Header, Item, Pack
from sensing.topic import StationId

CONTENT_TYPES = {"cbor": "application/senml+cbor", "json": "application/senml+json"}


class Stand(msgspec.Struct, frozen=True):
    """How the journal stands at the moment of sending."""

    stream: str
    stats: Stats


def header(record: Record, stand: Stand, quality: ClockQuality, kind: Kind) -> Header:
    """The labels of one pack."""
    stats = stand.stats
    return Header(
        stand.stream, record.seq, stats.base, stats.accepted_readings, stats.dropped_readings, quality, kind
    )


def pack(record: Record, stand: Stand, station: StationId, correction: Correction) -> Pack:
    """The readings of a record with their times corrected.

    Raises:
        Rejected: the body is damaged.
    """
    kind = body.KINDS.get(record.kind, Kind.READING)
    items = [
        Item(
            f"{station}/{reading.sensor}/{reading.quantity}",
            QUANTITIES[reading.quantity].wire_unit or None if reading.quantity in QUANTITIES else None,
            reading.measured_at + correction.shift_ms,
            reading.value,
        )
        for reading in body.decode(record.body).readings
    ]
    return Pack(header(record, stand, correction.quality, kind), items)


def tombstone(record: Record, stand: Stand, station: StationId, quality: ClockQuality, now_ms: int) -> Pack:
    """The declaration that a pack's readings were given up; zero of them asks the cloud for an answer."""
    item = Item(f"{station}/dropped", None, now_ms, float(record.count))
    return Pack(header(record, stand, quality, Kind.DROPPED), [item])
