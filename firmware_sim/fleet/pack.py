"""What a light station sends, in an encoder of the fleet's own: the agent and the cloud are judged by it.

SenML of RFC 8428: the first record carries base name, base time and the station's ``hn_`` labels; times of the
others are relative. A version of 26 says that units of RFC 8798 occur (RFC 9100).
"""

import zlib
from collections.abc import Iterator
from typing import Literal

import cbor2
import msgspec

from sensing.quantity import QUANTITIES
from sensing.units import SENML_SECONDARY

Form = Literal["json", "cbor"]

CONTENT_TYPE: dict[Form, str] = {"json": "application/senml+json", "cbor": "application/senml+cbor"}

_CBOR_LABELS = {"bver": -1, "bn": -2, "bt": -3, "n": 0, "u": 1, "v": 2, "t": 6}


class Series(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one sensor measured of one quantity.

    Attributes:
        sensor: its name inside the station.
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        times: ms since 1970, strictly increasing.
        values: one for each time, in the quantity's unit.
    """

    sensor: str
    quantity: str
    times: list[int]
    values: list[float]


class Pack(msgspec.Struct, frozen=True, tag="pack", tag_field="is", gc=False):
    """A group of readings as it stands in the log: accepted, and from then on the same for ever.

    Attributes:
        station: ``community/station``.
        stream: random id of this station's numbering.
        seq: dense from 1.
        series: the readings.
    """

    station: str
    stream: str
    seq: int
    series: list[Series]

    @property
    def count(self) -> int:
        """Readings in it."""
        return sum(len(series.times) for series in self.series)

    def reading_keys(self) -> Iterator[tuple[str, str, str, int]]:
        """The key of each reading: station, sensor, quantity, measured_at (ms)."""
        for series in self.series:
            for at in series.times:
                yield self.station, series.sensor, series.quantity, at


class Acked(msgspec.Struct, frozen=True, tag="acked", tag_field="is", gc=False):
    """A line of the log that is a help only: these packs are known to be durable in the cloud."""

    station: str
    stream: str
    upto: int
    also: list[tuple[int, int]] = []


class _Head(msgspec.Struct, frozen=True, gc=False):
    """The labels that only the first record has; the ``hn_`` ones as they are at the moment of sending."""

    bn: str
    bt: float
    hn_stream: str
    hn_seq: int
    hn_base: int
    hn_accepted: int
    bver: int | msgspec.UnsetType
    hn_dropped: int = 0
    hn_clock: str = "synced"
    hn_kind: str = "reading"


class _Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    n: str
    v: float
    u: str = ""
    t: float | msgspec.UnsetType = msgspec.UNSET


def payload(pack: Pack, *, base: int, accepted: int, form: Form = "json", deflate: bool = False) -> bytes:
    """The body of one ``obs`` message.

    Args:
        pack: not empty.
        base: lowest seq not yet acknowledged.
        accepted: readings ever accepted in this stream.
        form: JSON or CBOR.
        deflate: in a zlib layer.
    """
    base_ms = pack.series[0].times[0]
    head = _Head(
        bn=f"{pack.station}/",
        bt=base_ms / 1000,
        bver=26 if any(_unit(series.quantity) in SENML_SECONDARY for series in pack.series) else msgspec.UNSET,
        hn_stream=pack.stream,
        hn_seq=pack.seq,
        hn_base=base,
        hn_accepted=accepted,
    )
    records = [
        _Record(f"{series.sensor}/{series.quantity}", value, _unit(series.quantity), _after(base_ms, at))
        for series in pack.series
        for at, value in zip(series.times, series.values, strict=True)
    ]
    body = _json(head, records) if form == "json" else _cbor(head, records)
    return zlib.compress(body) if deflate else body


def _after(base_ms: int, at_ms: int) -> float | msgspec.UnsetType:
    return msgspec.UNSET if at_ms == base_ms else (at_ms - base_ms) / 1000


def _unit(quantity: str) -> str:
    return QUANTITIES[quantity].wire_unit


def _json(head: _Head, records: list[_Record]) -> bytes:
    """The head's members and then the first record's, in one object."""
    return b"[" + msgspec.json.encode(head)[:-1] + b"," + msgspec.json.encode(records)[2:]


def _cbor(head: _Head, records: list[_Record]) -> bytes:
    maps = [msgspec.to_builtins(record) for record in records]
    maps[0] = {**msgspec.to_builtins(head), **maps[0]}
    return cbor2.dumps([{_CBOR_LABELS.get(label, label): value for label, value in each.items()} for each in maps])
