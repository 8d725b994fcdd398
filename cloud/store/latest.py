"""The newest observation of each datastream, in memory: for databases that would have to search for it."""

from collections.abc import Iterable

from cloud.store.protocol import Latest
from sensing.observation import Datastream, Observation


class LatestTable:
    """One row a datastream; as large as the number of datastreams, whatever their history."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Datastream, Latest]] = {}

    def put(self, observations: Iterable[Observation]) -> None:
        """Take in what has just been stored; of equal times the later one counts, as in the store."""
        for o in observations:
            rows = self._rows.setdefault(o.datastream.community, {})
            known = rows.get(o.datastream)
            if known is None or o.measured_at >= known.measured_at:
                rows[o.datastream] = Latest(o.datastream, o.measured_at, o.value, o.flags)

    def fill(self, found: Iterable[Latest]) -> None:
        """Take in what a query has found; what was written meanwhile is newer at equal times."""
        for row in found:
            rows = self._rows.setdefault(row.datastream.community, {})
            known = rows.get(row.datastream)
            if known is None or row.measured_at > known.measured_at:
                rows[row.datastream] = row

    def rows(self, community: str) -> list[Latest]:
        """In the order of the datastreams."""
        rows = self._rows.get(community, {})
        return [rows[key] for key in sorted(rows)]

    def forget(self, community: str, station: str | None, before: int | None) -> None:
        """Follow an erasure."""
        rows = self._rows.get(community, {})
        for key in [key for key in rows if station in {None, key.station}]:
            if before is None or rows[key].measured_at < before:
                del rows[key]

    def communities(self) -> list[str]:
        """Those that have rows."""
        return list(self._rows)
