"""What consumers read: the arrival journal, decoded once for all of them.

A consumer is a named cursor. It asks for a batch, does its work durably, and says that it is done; a crash between
repeats the batch, which must be harmless. ``cloud.store.writer`` is below this package and names what it needs of
the feed by a Protocol of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from cloud.store.protocol import RefusedPoint
from sensing.observation import Observation
from sensing.topic import StationId

if TYPE_CHECKING:
    from sensing.senml import Header


class Decoded(msgspec.Struct, frozen=True):
    """One pack as it was taken in.

    Attributes:
        seq: its number in the arrival journal (dense, rising).
        station: who sent it.
        received_at: cloud's wall time, ms.
        fresh: this (stream, seq) of the station was not seen before; a pack that is not fresh was resent and is
            stored again harmlessly.
        header: the station's journal labels; None for plain SenML of another maker's device.
        observations: the readings that were in order, with quality flags; may be empty.
    """

    seq: int
    station: StationId
    received_at: int
    fresh: bool
    header: "Header | None"
    observations: list[Observation]


class Feed:
    """The arrival journal for consumers."""

    async def next_batch(self, cursor: str, *, limit: int, max_wait_s: float) -> list[Decoded]:
        """The packs behind ``cursor``, in order; never empty.

        Waits for a first pack as long as it takes (cancel it to stop). Then returns as soon as the packs hold
        ``limit`` observations, or ``max_wait_s`` after the first. A pack is never split, so a batch may hold more
        than ``limit``. The cursor stands still: until ``done``, the next call returns the same packs again.

        Raises:
            Transient: the journal cannot be read now.
        """
        raise NotImplementedError

    async def done(self, cursor: str, seq: int, refused: Sequence[RefusedPoint] = ()) -> None:
        """Every pack up to ``seq`` has had its effect, except for ``refused``, which goes to quarantine.

        Give all points the store refused since the last ``done``, with the very Observation objects of the batch.

        Raises:
            Transient: the journal cannot be written now; call it again with the same arguments.
        """
        raise NotImplementedError
