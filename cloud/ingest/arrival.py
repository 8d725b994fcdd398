"""How a pack lies in the arrival journal."""

import msgspec

from sensing.topic import StationId


class Arrival(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One pack as it came, and what was decided about it; the body of a journal entry.

    Attributes:
        community: of the sender.
        station: of the sender.
        received_at: cloud's wall time, ms; relative times in the pack are relative to it.
        fresh: this (stream, seq) had not been seen before.
        payload: the pack's bytes.
        skip: indices of records that went to quarantine.
        flags: (index, flags) of records that quality control flagged; decided once, in order of arrival, so that
            every consumer sees the same, also after a restart.
    """

    community: str
    station: str
    received_at: int
    fresh: bool
    payload: bytes
    skip: tuple[int, ...] = ()
    flags: tuple[tuple[int, int], ...] = ()

    @property
    def sender(self) -> StationId:
        """Who sent it."""
        return StationId(self.community, self.station)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Arrival)

encode = _ENCODER.encode
decode = _DECODER.decode
