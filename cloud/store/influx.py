"""InfluxDB of any version as a ``Store``: batching, bisecting, the table of the newest; the wire is a transport's.

A refused request never says reliably which lines are guilty (``dropped=`` lies for unparsable ones), and it has
stored its good lines or none. Writing is idempotent, so the batch is halved and written again until the guilty
lines stand alone, and each is refused with the server's own words.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from cloud.store.latest import LatestTable
from cloud.store.protocol import Bucket, Latest, RefusedPoint
from cloud.store.screen import check_series, screen
from hinomi.clock import Clock
from hinomi.errors import Rejected, Transient
from sensing import series
from sensing.observation import Datastream, Observation

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# One request is bounded: InfluxDB 1.x takes 25 MB, 3.x 10 MB, and a refused one has to be halved.
MAX_LINES = 5000
MAX_BYTES = 1 << 20

Line = tuple[str, Observation]


class TooLarge(Exception):
    """The server takes no request of this size (HTTP 413)."""


class NoDatabase(Exception):
    """The community has no database yet."""


class Series(msgspec.Struct, frozen=True):
    """One series of an answer to InfluxQL."""

    columns: list[str]
    name: str = ""
    tags: dict[str, str] = {}
    values: list[list[Any]] = []


class Transport(Protocol):
    """How one version of InfluxDB is spoken to. Everything but ``close`` raises ``Transient`` when it is away.

    Attributes:
        reach_ms: how far back this version's queries reach; None: as far as it keeps data.
    """

    reach_ms: int | None

    async def write(self, database: str, body: bytes) -> None:
        """Write lines; raises Rejected (with the server's text), TooLarge or NoDatabase."""
        ...

    async def create(self, database: str) -> None:
        """Make a database that keeps points as long as configured, or change one that keeps them otherwise."""
        ...

    async def query(self, database: str, text: str) -> list[Series]:
        """Answer InfluxQL; empty when there is no such database; raises Rejected when the text is refused."""
        ...

    async def erase(self, database: str, station: str | None, before: int | None) -> None:
        """Delete points; raises Rejected where this version cannot."""
        ...

    async def check(self) -> None:
        """See ``OpenStore.check``."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class InfluxStore:
    """A ``Store`` on InfluxDB, one database a community.

    Args:
        transport: the wire.
        retention_days: as configured; older points are refused before they are sent.
        clock: wall time: what is too old, and how recent the newest may be.

    Attributes:
        requests: write requests sent, for the figures.
    """

    def __init__(self, transport: Transport, *, retention_days: int, clock: Clock) -> None:
        self.requests = 0
        self._transport = transport
        self._retention_ms = retention_days * DAY_MS
        self._clock = clock
        self._latest = LatestTable()
        self._warm: set[str] = set()
        self._warming = asyncio.Lock()

    async def write(self, batch: Sequence[Observation]) -> list[RefusedPoint]:
        """Store the batch, at least one request a community; see ``Store``."""
        good, refused = screen(batch)
        horizon = self._clock.now() - self._retention_ms
        communities: dict[str, list[Line]] = {}
        for o in good:
            try:
                line = series.line(o)
            except Rejected as error:
                refused.append(RefusedPoint(o, error.reason, error.detail))
                continue
            if o.measured_at < horizon:
                refused.append(RefusedPoint(o, "beyond_retention", "older than what the store keeps"))
                continue
            communities.setdefault(o.datastream.community, []).append((line, o))
        for community, lines in communities.items():
            database = series.database(community)
            for first in range(0, len(lines), MAX_LINES):
                refused += await self._store(database, lines[first : first + MAX_LINES])
        return refused

    async def latest(self, community: str) -> list[Latest]:
        """From memory; the first question after a start asks the database, within bounds."""
        async with self._warming:
            if community not in self._warm:
                self._latest.fill(await self._find_newest(community))
                self._warm.add(community)
        return self._latest.rows(community)

    async def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        """Buckets of ``step`` ms; see ``Store``."""
        start = max(check_series(start, end, step), self._reach())
        if start >= end:
            return []
        text = series.buckets_query(datastream, start, end, step)
        answer = await self._transport.query(series.database(datastream.community), text)
        rows = [row for found in answer for row in found.values]
        return [Bucket(at, float(mean), float(low), float(high), n) for at, mean, low, high, n in rows]

    async def count(self, community: str) -> int:
        """Values of all quantities, counted by the database.

        Raises:
            Rejected: ``not_supported`` where queries do not reach all that is kept.
        """
        if self._transport.reach_ms is not None:
            raise Rejected(
                "not_supported", "this InfluxDB's queries reach only recent readings: it cannot count all"
            )
        answer = await self._transport.query(series.database(community), series.count_query())
        ours = [found for found in answer if not found.name.startswith(series.OWN_PREFIX)]
        return sum(row[1] for found in ours for row in found.values)

    async def erase(self, community: str, *, station: str | None = None, before: int | None = None) -> None:
        """Delete in the database, then in the table of the newest; see ``Store``.

        Raises:
            Rejected: ``not_supported`` by InfluxDB 3 Core.
        """
        async with self._warming:
            await self._transport.erase(series.database(community), station, before)
            self._latest.forget(community, station, before)

    async def expire(self, before: int) -> int:
        """The database drops old points itself; see that it does so as configured, and forget them here too."""
        for community in self._latest.communities():
            await self._transport.create(series.database(community))
            self._latest.forget(community, None, before)
        return 0

    async def check(self) -> None:
        """See ``OpenStore``."""
        await self._transport.check()

    async def close(self) -> None:
        """Close the connections; nothing is held back here."""
        await self._transport.close()

    async def _store(self, database: str, lines: Sequence[Line]) -> list[RefusedPoint]:
        """Write lines of one database, halving what is refused until the guilty stand alone."""
        refused: list[RefusedPoint] = []
        stored: list[Observation] = []
        parts = [lines]
        while parts:
            part = parts.pop()
            try:
                await self._send(database, "\n".join([line for line, _ in part]).encode())
            except (TooLarge, Rejected) as error:
                if len(part) == 1:
                    refused.append(_refused(part[0][1], error))
                    continue
                if part is lines and isinstance(error, Rejected):
                    # The guilty are often of one datastream: side by side they are found in fewer halvings. The
                    # sort is stable, so of two values for one key the later one still wins.
                    part = sorted(part, key=_datastream)
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            else:
                stored += [o for _, o in part]
        self._latest.put(stored)
        return refused

    async def _send(self, database: str, body: bytes) -> None:
        if len(body) > MAX_BYTES and b"\n" in body:
            raise TooLarge
        self.requests += 1
        try:
            await self._transport.write(database, body)
        except NoDatabase:
            await self._transport.create(database)
            try:
                await self._transport.write(database, body)
            except NoDatabase as error:
                raise Transient(f"the store has no database {database!r} and does not let us make it") from error

    async def _find_newest(self, community: str) -> list[Latest]:
        """Ask for the last hour, then further back only for what was not found yet: bounded by retention."""
        database = series.database(community)
        now, end = self._clock.now(), None
        if self._transport.reach_ms is not None:
            return _latest_rows(await self._transport.query(database, series.newest_query(self._reach(), None)))
        known = await self._known_series(database)
        newest: dict[Datastream, Latest] = {}
        for back in (HOUR_MS, DAY_MS, 7 * DAY_MS, self._retention_ms + DAY_MS):
            missing = () if known is None else known - newest.keys()
            if known is not None and not missing:
                break
            text = series.newest_query(now - back, end, missing if end is not None else ())
            for row in _latest_rows(await self._transport.query(database, text)):
                newest.setdefault(row.datastream, row)
            end = now - back
        return list(newest.values())

    async def _known_series(self, database: str) -> set[Datastream] | None:
        """All series of a database; None where this server does not list them: then all of the past is asked."""
        try:
            keys = await self._transport.query(database, series.KNOWN_SERIES)
        except Rejected:
            return None
        return {d for found in keys for row in found.values if (d := series.series_of_key(row[0])) is not None}

    def _reach(self) -> int:
        reach = self._transport.reach_ms
        return 0 if reach is None else max(self._clock.now() - reach, 0)


def _datastream(line: Line) -> Datastream:
    return line[1].datastream


def _refused(observation: Observation, error: TooLarge | Rejected) -> RefusedPoint:
    if isinstance(error, Rejected):
        return RefusedPoint(observation, error.reason, error.detail)
    return RefusedPoint(observation, "too_large", "one point alone is larger than what the store takes")


def _latest_rows(answer: Sequence[Series]) -> list[Latest]:
    rows = []
    for found in answer:
        datastream = series.series_of(found.name, found.tags)
        if datastream is None:
            continue
        rows += [Latest(datastream, at, float(value), flags or 0) for at, value, flags in found.values]
    return rows
