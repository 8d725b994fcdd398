"""A pack as it lies in the journal: which setting of the clock, how far it was thinned, and the readings."""

import msgspec

from hinomi.errors import Rejected
from sensing.observation import Kind, Reading
from sensing.senml.body import pack_body, unpack_body

# What a journal's entry says of its kind: the most frequent one costs nothing.
LABELS = {Kind.READING: "", Kind.MAINTENANCE: "m", Kind.EVENT: "e"}
KINDS = {label: kind for kind, label in LABELS.items()}

# How far a pack may be thinned: its readings stand for windows of so many seconds; 0: as measured.
SPANS = (0, 60, 600, 3600)


class Body(msgspec.Struct, frozen=True):
    """One pack.

    Attributes:
        setting: number of the clock's setting under which the times were given; 0: the devices' own times.
        level: index in ``SPANS``.
        readings: at least one.
    """

    setting: int
    level: int
    readings: list[Reading]


def encode(body: Body) -> bytes:
    """The bytes to append: setting and level as one number in groups of seven bits, then the readings."""
    number = body.setting * len(SPANS) + body.level
    head = bytearray()
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    head.append(number)
    return bytes(head) + pack_body(body.readings)


def decode(data: bytes) -> Body:
    """The pack again.

    Raises:
        Rejected: ``malformed``.
    """
    number, at = _head(data)
    return Body(*divmod(number, len(SPANS)), unpack_body(data[at:]))


def setting_and_level(data: bytes) -> tuple[int, int]:
    """The first two fields, without decoding the readings."""
    return divmod(_head(data)[0], len(SPANS))


def _head(data: bytes) -> tuple[int, int]:
    number = 0
    for at, octet in enumerate(data[:10]):
        number |= (octet & 0x7F) << 7 * at
        if octet < 0x80:
            return number, at + 1
    raise Rejected("malformed", "a body without a head")
