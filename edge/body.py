"""A pack as it lies in the journal: which setting of the clock, how far it was thinned, and the readings."""

import msgspec

from sensing.observation import Kind, Reading

# What a journal's entry says of its kind: the most frequent one costs nothing.
LABELS = {Kind.READING: "", Kind.MAINTENANCE: "m", Kind.EVENT: "e"}
KINDS = {label: kind for kind, label in LABELS.items()}


class Body(msgspec.Struct, frozen=True):
    """One pack.

    Attributes:
        setting: number of the clock's setting under which the times were given; 0: the devices' own times.
        span_s: 0 as measured; else the readings stand for windows of this many seconds.
        readings: at least one.
    """

    setting: int
    span_s: int
    readings: list[Reading]


def encode(body: Body) -> bytes:
    """The bytes to append."""
    return msgspec.msgpack.encode(body)


def decode(data: bytes) -> Body:
    """The pack again."""
    return msgspec.msgpack.decode(data, type=Body)
