"""Personal quantities: readings that tell of somebody's life stay in the relational database.

The same promises as any store, without InfluxDB's reach: no dashboard reads this table, and erasing it is a DELETE.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cloud.db import Database
from cloud.store.protocol import Bucket, Latest, RefusedPoint
from cloud.store.screen import check_series, screen
from sensing.observation import Datastream, Observation

_FOREVER = 2**63 - 1
_OF = "community = :community AND station = :station AND sensor = :sensor AND quantity = :quantity"
_WRITE = sa.text(
    """INSERT INTO personal VALUES (:community, :station, :sensor, :quantity, :measured_at, :value, :flags, :seq)
    ON CONFLICT (community, station, sensor, quantity, measured_at) DO UPDATE SET
    value = excluded.value, flags = excluded.flags, seq = excluded.seq"""
)
_NEWEST = sa.text(
    """INSERT INTO personal_latest VALUES (:community, :station, :sensor, :quantity, :measured_at, :value, :flags)
    ON CONFLICT (community, station, sensor, quantity) DO UPDATE SET
    measured_at = excluded.measured_at, value = excluded.value, flags = excluded.flags
    WHERE excluded.measured_at >= personal_latest.measured_at"""
)
_LATEST = sa.text("SELECT * FROM personal_latest WHERE community = :community ORDER BY station, sensor, quantity")
_SERIES = sa.text(
    f"""SELECT measured_at / :step * :step AS start, avg(value), min(value), max(value), count(*) FROM personal
    WHERE {_OF} AND measured_at >= :start AND measured_at < :end GROUP BY 1 ORDER BY 1"""  # noqa: S608 - our own
)
_COUNT = sa.text("SELECT count(*) FROM personal WHERE community = :community")


class PersonalStore:
    """A ``Store`` in the tables ``personal`` and ``personal_latest`` of the relational database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, batch: Sequence[Observation]) -> list[RefusedPoint]:
        """Store the batch in one transaction; see ``Store``."""
        good, refused = screen(batch)
        if good:
            rows = [_row(o) for o in good]
            await self._database.write(lambda connection: _insert(connection, rows))
        return refused

    async def latest(self, community: str) -> list[Latest]:
        """The newest of each datastream, from a table that ``write`` keeps."""
        rows = await self._rows(_LATEST, {"community": community})
        return [Latest(Datastream(*row[:4]), *row[4:]) for row in rows]

    async def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        """Buckets of ``step`` ms; see ``Store``."""
        start = check_series(start, end, step)
        rows = await self._rows(_SERIES, {**_names(datastream), "start": start, "end": end, "step": step})
        return [Bucket(*row) for row in rows]

    async def count(self, community: str) -> int:
        """Rows of a community."""
        return int((await self._rows(_COUNT, {"community": community}))[0][0])

    async def erase(self, community: str, *, station: str | None = None, before: int | None = None) -> None:
        """Delete in one transaction: of what is erased about a person, nothing is left half."""
        where = "community = :community" if station is None else "community = :community AND station = :station"
        values = {"community": community, "station": station}
        await self._delete(where, {key: value for key, value in values.items() if value is not None}, before)

    async def expire(self, before: int) -> int:
        """Delete what was measured before ``before`` (ms) in all communities; returns how many rows went."""
        return await self._delete("1 = 1", {}, before)

    async def check(self) -> None:
        """See ``OpenStore``: whether the database answers."""
        await self._rows(_COUNT, {"community": ""})

    async def close(self) -> None:
        """Nothing of its own to close: the database is its maker's."""

    async def _rows(self, query: sa.TextClause, values: dict[str, Any]) -> list[Any]:
        return await self._database.read(lambda connection: list(connection.execute(query, values)))

    async def _delete(self, where: str, values: dict[str, str], before: int | None) -> int:
        older = f"{where} AND measured_at < :before"
        bound = {**values, "before": _FOREVER if before is None else before}

        def work(connection: sa.Connection) -> int:
            connection.execute(sa.text(f"DELETE FROM personal_latest WHERE {older}"), bound)  # noqa: S608 - our own
            return connection.execute(sa.text(f"DELETE FROM personal WHERE {older}"), bound).rowcount  # noqa: S608 - our own

        return await self._database.write(work)


def _insert(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = (row["community"], row["station"], row["sensor"], row["quantity"])
        if key not in newest or row["measured_at"] >= newest[key]["measured_at"]:
            newest[key] = row
    connection.execute(_WRITE, rows)
    connection.execute(_NEWEST, list(newest.values()))


def _names(datastream: Datastream) -> dict[str, Any]:
    d = datastream
    return {"community": d.community, "station": d.station, "sensor": d.sensor, "quantity": d.quantity}


def _row(o: Observation) -> dict[str, Any]:
    rest = {"measured_at": o.measured_at, "value": o.value, "flags": o.flags, "seq": o.seq}
    return {**_names(o.datastream), **rest}
