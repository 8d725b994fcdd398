"""The relational database: registry, presence, personal readings; SQLite by default, PostgreSQL for more machines.

Work is a plain function of a SQLAlchemy connection and runs synchronously in one thread, in one transaction: there
is no way to await in the middle of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from hinomi.disk import Disk
from hinomi.errors import ConfigError, Transient

T = TypeVar("T")

# Numbered from 1 by position; a released step is never edited, a change is a new step. Plain SQL that SQLite and
# PostgreSQL both take.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE station (
            community TEXT NOT NULL, station TEXT NOT NULL, record TEXT NOT NULL,
            password_hash TEXT, created_at BIGINT NOT NULL,
            PRIMARY KEY (community, station))""",
        """CREATE TABLE presence (
            community TEXT NOT NULL, station TEXT NOT NULL, online INTEGER NOT NULL,
            body TEXT NOT NULL, changed_at BIGINT NOT NULL,
            PRIMARY KEY (community, station))""",
        """CREATE TABLE personal (
            community TEXT NOT NULL, station TEXT NOT NULL, sensor TEXT NOT NULL, quantity TEXT NOT NULL,
            measured_at BIGINT NOT NULL, value DOUBLE PRECISION NOT NULL,
            flags INTEGER NOT NULL, seq BIGINT NOT NULL,
            PRIMARY KEY (community, station, sensor, quantity, measured_at))""",
        """CREATE TABLE personal_latest (
            community TEXT NOT NULL, station TEXT NOT NULL, sensor TEXT NOT NULL, quantity TEXT NOT NULL,
            measured_at BIGINT NOT NULL, value DOUBLE PRECISION NOT NULL, flags INTEGER NOT NULL,
            PRIMARY KEY (community, station, sensor, quantity))""",
    ),
)


class Database:
    """One engine; ``transact`` for commands, ``write`` and ``read`` for the service's event loop.

    Args:
        url: a SQLAlchemy URL, e.g. ``sqlite:////var/lib/hinomi/hinomi.db`` or ``postgresql+psycopg://…``.
        disk: the thread for ``write`` and ``read``; commands that only ``transact`` need none.
    """

    def __init__(self, url: str, disk: Disk | None = None) -> None:
        self._disk = disk
        self._engine = _engine(url)
        self._migrate()

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in one transaction, now, in this thread.

        Raises:
            Transient: the database is locked, full or away; nothing was committed.
        """
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except sa.exc.OperationalError as error:
            raise Transient(f"the database does not answer: {error.orig}") from error

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Like ``transact``, in the disk thread and never torn by cancellation."""
        if self._disk is None:
            raise RuntimeError("this Database was made without a Disk")
        return await self._disk.run(lambda: self.transact(work))

    read = write

    def close(self) -> None:
        """Let go of connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        try:
            self.transact(_migrate)
        except sa.exc.DatabaseError as error:
            problem = (
                f"{self._engine.url.database!r} is no database of ours: {error.orig}; move it aside, or restore it"
            )
            raise ConfigError.of("database.url", problem) from error


def _migrate(connection: sa.Connection) -> None:
    connection.execute(sa.text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"))
    found = connection.execute(sa.text("SELECT version FROM schema_version")).scalar()
    version = 0 if found is None else int(found)
    if version > len(MIGRATIONS):
        raise ConfigError.of(
            "database.url",
            f"the database is of schema {version}, this Hinomi knows {len(MIGRATIONS)}; install the newer Hinomi",
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(sa.text(statement))
    connection.execute(sa.text("DELETE FROM schema_version"))
    connection.execute(sa.text("INSERT INTO schema_version VALUES (:version)"), {"version": len(MIGRATIONS)})


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        engine = sa.create_engine(parsed)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError.of("database.url", f"got {url!r}: {error}") from error
    if parsed.get_backend_name() == "sqlite":
        _need_folder(parsed.database)
        sa.event.listen(engine, "connect", _durable_sqlite)
        # A writer that begins as a reader can fail half way with "locked"; beginning as a writer waits instead.
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _need_folder(database: str | None) -> None:
    if database and database != ":memory:" and not Path(database).parent.is_dir():
        raise ConfigError.of("database.url", f"the folder {str(Path(database).parent)!r} does not exist; make it")


def _durable_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")
