"""The registry: which stations there are, what is known of each, and which of them is here now.

The service asks it for every message, so ``get`` is a dictionary; what another process adds (``hinomi station
add``) is seen at the next ``refresh``.
"""

import json
from typing import Any

import msgspec
import sqlalchemy as sa

from cloud.db import Database
from hinomi.errors import ConfigError
from sensing.station import DatastreamInfo, StationRecord
from sensing.topic import StationId


class Presence(msgspec.Struct, frozen=True):
    """What a station's retained ``status`` said last.

    Attributes:
        online: False after the last will or a clean goodbye; says that a connection is gone, not that it is dead.
        changed_at: cloud's wall time of the message, ms.
        body: the status as it came, for people (version, boot id, counters, …).
        datastreams: what it measures and how often.
    """

    online: bool
    changed_at: int
    body: dict[str, Any]
    datastreams: tuple[DatastreamInfo, ...] = ()


class Registry:
    """Stations and their presence, kept in the relational database and mirrored in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stations: dict[StationId, StationRecord] = {}
        self._presence: dict[StationId, Presence] = {}
        self._database.transact(self._load)

    def get(self, station: StationId) -> StationRecord | None:
        """The record of a registered station; None for a stranger."""
        return self._stations.get(station)

    def stations(self, community: str | None = None) -> list[StationRecord]:
        """All records, or those of one community, in order."""
        return [self._stations[key] for key in sorted(self._stations) if community in {None, key.community}]

    def presence(self, station: StationId) -> Presence | None:
        """What the station's status said last, if it ever spoke."""
        return self._presence.get(station)

    async def refresh(self) -> None:
        """See what another process has added or removed."""
        await self._database.read(self._load)

    async def seen_status(self, station: StationId, presence: Presence) -> None:
        """Keep a status; a goodbye without datastreams keeps those announced before."""
        known = self._presence.get(station)
        if known is not None and not presence.datastreams:
            presence = msgspec.structs.replace(presence, datastreams=known.datastreams)
        self._presence[station] = presence
        await self._database.write(lambda connection: _save_presence(connection, station, presence))

    def add(self, record: StationRecord, hashed: str | None, now: int) -> None:
        """Register a station (for commands; at once).

        Raises:
            ConfigError: it is registered already.
        """
        self._database.transact(lambda connection: _insert(connection, record, hashed, now))
        self._stations[record.id] = record

    def remove(self, station: StationId) -> None:
        """Take a station out (for commands; at once); its readings stay.

        Raises:
            ConfigError: it is not registered.
        """
        self._database.transact(lambda connection: _delete(connection, station))
        self._stations.pop(station, None)

    def password_hashes(self) -> dict[str, str]:
        """User name to hash of every station that signs in with a password."""

        def work(connection: sa.Connection) -> dict[str, str]:
            rows = connection.execute(
                sa.text("SELECT community, station, password_hash FROM station WHERE password_hash IS NOT NULL")
            )
            return {f"{row.community}/{row.station}": row.password_hash for row in rows}

        return self._database.transact(work)

    def _load(self, connection: sa.Connection) -> None:
        stations = {}
        for row in connection.execute(sa.text("SELECT record FROM station")):
            record = msgspec.json.decode(row.record, type=StationRecord)
            stations[record.id] = record
        presence = {}
        query = "SELECT community, station, online, body, changed_at FROM presence"
        for row in connection.execute(sa.text(query)):
            presence[StationId(row.community, row.station)] = _presence(row)
        self._stations, self._presence = stations, presence


def _presence(row: Any) -> Presence:
    body = json.loads(row.body)
    return Presence(
        online=bool(row.online),
        changed_at=row.changed_at,
        body=body["status"],
        datastreams=msgspec.convert(body["datastreams"], tuple[DatastreamInfo, ...]),
    )


def _save_presence(connection: sa.Connection, station: StationId, presence: Presence) -> None:
    key = {"community": station.community, "station": station.station}
    body = json.dumps({"status": presence.body, "datastreams": msgspec.to_builtins(presence.datastreams)})
    connection.execute(sa.text("DELETE FROM presence WHERE community = :community AND station = :station"), key)
    connection.execute(
        sa.text("INSERT INTO presence VALUES (:community, :station, :online, :body, :changed_at)"),
        {**key, "online": int(presence.online), "body": body, "changed_at": presence.changed_at},
    )


def _insert(connection: sa.Connection, record: StationRecord, hashed: str | None, now: int) -> None:
    key = {"community": record.id.community, "station": record.id.station}
    if _exists(connection, record.id):
        raise ConfigError.of(str(record.id), "is registered already; 'hinomi station list' shows it")
    connection.execute(
        sa.text("INSERT INTO station VALUES (:community, :station, :record, :hashed, :now)"),
        {**key, "record": msgspec.json.encode(record).decode(), "hashed": hashed, "now": now},
    )


def _delete(connection: sa.Connection, station: StationId) -> None:
    if not _exists(connection, station):
        raise ConfigError.of(str(station), "is not registered; 'hinomi station list' shows who is")
    key = {"community": station.community, "station": station.station}
    for table in ("station", "presence"):
        where = "WHERE community = :community AND station = :station"
        connection.execute(sa.text(f"DELETE FROM {table} {where}"), key)  # noqa: S608 - our own two names


def _exists(connection: sa.Connection, station: StationId) -> bool:
    found = connection.execute(
        sa.text("SELECT 1 FROM station WHERE community = :community AND station = :station"),
        {"community": station.community, "station": station.station},
    )
    return found.first() is not None
