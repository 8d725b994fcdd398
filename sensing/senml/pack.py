"""What a SenML pack says, once its base fields are applied."""

import msgspec

from sensing.observation import ClockQuality, Kind


class Header(msgspec.Struct, frozen=True, gc=False):
    """What one of our stations adds to a pack, as extension labels of its first record.

    Attributes:
        stream: ``hn_stream``, random id of the station's journal.
        seq: ``hn_seq``, dense number of the pack in that stream, from 1.
        base: ``hn_base``, the lowest number not yet acknowledged.
        accepted: ``hn_accepted``, readings ever accepted in that stream.
        dropped: ``hn_dropped``, readings ever given up in that stream.
        clock: ``hn_clock``, how far the times may be trusted.
        kind: ``hn_kind``, what the pack carries.
    """

    stream: str
    seq: int
    base: int
    accepted: int
    dropped: int
    clock: ClockQuality
    kind: Kind


class Item(msgspec.Struct, frozen=True, gc=False):
    """One resolved record: at most one of value, string, boolean, data; none of them only beside a sum.

    Attributes:
        name: base name and name, e.g. ``town/bridge/air/pm2_5``.
        unit: SenML's spelling; None: left out.
        measured_at: integer milliseconds since 1970 UTC.
        value: a finite number.
        string: text.
        boolean: a switch.
        data: octets.
        sum: integral of the value over time, unit times seconds.
        update: seconds within which the next record is promised.
    """

    name: str
    unit: str | None
    measured_at: int
    value: float | None = None
    string: str | None = None
    boolean: bool | None = None
    data: bytes | None = None
    sum: float | None = None
    update: float | None = None


class Pack(msgspec.Struct, frozen=True, gc=False):
    """A decoded pack; ``header`` is None when it does not come from one of our stations."""

    header: Header | None
    records: list[Item]
