"""What a store promises, whichever database stands behind it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from sensing.observation import Datastream, Observation


class RefusedPoint(msgspec.Struct, frozen=True):
    """A point that the database will never take, with the database's own words."""

    observation: Observation
    reason: str
    detail: str


class Latest(msgspec.Struct, frozen=True):
    """The newest observation of a datastream."""

    datastream: Datastream
    measured_at: int
    value: float
    flags: int


class Bucket(msgspec.Struct, frozen=True):
    """One step of a series: [start, start + step) in ms; never made for an empty step."""

    start: int
    mean: float
    min: float
    max: float
    count: int


class Store(Protocol):
    """Write is idempotent by (datastream, measured_at): the same key again replaces the same row."""

    async def write(self, batch: Sequence[Observation]) -> list[RefusedPoint]:
        """Store the batch durably; the good are stored even when some are refused.

        Raises:
            Transient: nothing is known to be stored; the same batch may be written again.
        """
        ...

    async def latest(self, community: str) -> list[Latest]:
        """The newest of each datastream of a community, in O(datastreams), independent of history."""
        ...

    async def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        """Buckets of ``step`` ms, aligned to multiples of ``step`` since 1970, with start <= measured_at < end."""
        ...

    async def count(self, community: str) -> int:
        """How many observations are stored for a community (a slow, honest count)."""
        ...

    async def erase(self, community: str, *, station: str | None = None, before: int | None = None) -> None:
        """Delete a community's observations, or those of one station, or those measured before ``before`` (ms)."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...
