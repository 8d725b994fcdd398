"""What one station may take of what all share.

Nobody loses anything by it: a station keeps what is not acknowledged and sends it again.
"""

from typing import Annotated

from msgspec import Meta

from cloud.ingest.accounts import Accounts
from cloud.ingest.commit import Commit
from cloud.ingest.tracker import Tracker
from hinomi.clock import Clock
from hinomi.config import Section
from sensing.topic import StationId


class LimitsSection(Section, frozen=True):
    """Limits.

    Attributes:
        readings_per_s: of one station on average; 0: none. A station that drains a backlog may go on at this rate.
        burst_s: how many seconds' worth may come at once.
        quarantine_rows: more are counted, but not kept.
        quarantine_mb: likewise, MB.
    """

    readings_per_s: Annotated[float, Meta(ge=0)] = 20_000.0
    burst_s: Annotated[float, Meta(gt=0)] = 10.0
    quarantine_rows: Annotated[int, Meta(ge=100)] = 100_000
    quarantine_mb: Annotated[int, Meta(ge=1)] = 256


class Bucket:
    """Tokens of one station, one a reading."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = -1.0
        self._at = 0.0

    def take(self, count: int, now: float, rate: float, burst: float) -> bool:
        """Whether ``count`` readings may pass at ``now`` (s); they are charged only if they may."""
        if self._tokens < 0.0:
            self._tokens, self._at = burst, now
        tokens = min(burst, self._tokens + (now - self._at) * rate)
        self._at = now
        # A pack larger than the whole burst passes a full bucket, else it could never pass.
        if tokens < min(count, burst):
            self._tokens = max(tokens, 0.0)
            return False
        self._tokens = max(tokens - count, 0.0)
        return True


class Limits:
    """Rate and share of the arrival journal, for each station."""

    def __init__(self, section: LimitsSection, station_cap_bytes: int, *, pace: Clock) -> None:
        self._rate = section.readings_per_s
        self._burst = section.readings_per_s * section.burst_s
        self._cap = station_cap_bytes
        self._pace = pace
        self._held: dict[StationId, int] = {}
        self._buckets: dict[StationId, Bucket] = {}

    def load(self, tracker: Tracker, accounts: Accounts) -> None:
        """Work out what each station holds in the arrival journal."""
        for station in tracker.stations():
            self._held[station] = tracker.brought(station)[1] - accounts.of(station).bytes

    def refusal(self, station: StationId, readings: int) -> str | None:
        """Why these readings may not pass now: ``over_rate`` or ``over_cap``; None: they may."""
        if self._held.get(station, 0) > self._cap:
            return "over_cap"
        if self._rate:
            bucket = self._buckets.get(station)
            if bucket is None:
                bucket = self._buckets[station] = Bucket()
            if not bucket.take(max(readings, 1), self._pace.monotonic(), self._rate, self._burst):
                return "over_rate"
        return None

    def committed(self, commit: Commit) -> None:
        """These packs lie in the arrival journal now."""
        held = self._held
        for one in commit.kept:
            station = one.taken.station
            held[station] = held.get(station, 0) + len(one.taken.payload)

    def released(self, station: StationId, size: int) -> None:
        """So many bytes of a station have left it."""
        self._held[station] = self._held.get(station, 0) - size

    def over_cap(self) -> int:
        """How many stations are over their share now."""
        return sum(held > self._cap for held in self._held.values())
