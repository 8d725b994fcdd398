"""Observations for tests, and a store in memory that says what every store must say."""

import math
from collections.abc import Iterable, Sequence

from cloud.store.protocol import Bucket, Latest
from sensing.observation import Datastream, Observation

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def stream(
    station: str = "bridge", quantity: str = "water_level", sensor: str = "gauge", community: str = "town"
) -> Datastream:
    return Datastream(community, station, sensor, quantity)


def ramp(
    datastream: Datastream, start: int, count: int, *, step: int = MINUTE, first: float = 0.0
) -> list[Observation]:
    """Values 0, 1, 2 … one step apart."""
    return [Observation(datastream, start + i * step, first + i, seq=i + 1) for i in range(count)]


class Model:
    """A dictionary by key: the oracle."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Datastream, int], Observation] = {}

    def write(self, batch: Iterable[Observation]) -> None:
        for o in batch:
            self.rows[(o.datastream, o.measured_at)] = o

    def erase(self, community: str, station: str | None = None, before: int | None = None) -> None:
        gone = [
            key
            for key in self.rows
            if key[0].community == community
            and station in {None, key[0].station}
            and (before is None or key[1] < before)
        ]
        for key in gone:
            del self.rows[key]

    def count(self, community: str) -> int:
        return sum(key[0].community == community for key in self.rows)

    def latest(self, community: str) -> list[Latest]:
        found: dict[Datastream, Observation] = {}
        for (d, at), o in self.rows.items():
            if d.community == community and (d not in found or at > found[d].measured_at):
                found[d] = o
        return [Latest(d, o.measured_at, o.value, o.flags) for d, o in sorted(found.items())]

    def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        steps: dict[int, list[float]] = {}
        for (d, at), o in sorted(self.rows.items()):
            if d == datastream and start <= at < end:
                steps.setdefault(at // step * step, []).append(o.value)
        return [Bucket(at, math.fsum(v) / len(v), min(v), max(v), len(v)) for at, v in sorted(steps.items())]


def rounded(buckets: Sequence[Bucket]) -> list[Bucket]:
    """Means differ in the last bit between databases."""
    return [Bucket(b.start, float(f"{b.mean:.9g}"), b.min, b.max, b.count) for b in buckets]
