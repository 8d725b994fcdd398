"""The cloud's configuration file."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from cloud.fleet.broker import BrokerFiles
from cloud.ingest.limits import LimitsSection
from cloud.link import BrokerSection
from cloud.store.section import StoreSection, store_section
from hinomi.clock import ClockSection, measurement_clock
from hinomi.config import Section, Walker, read_toml
from hinomi.errors import ConfigError


class JournalSection(Section, frozen=True):
    """The arrival journal: what was acknowledged and is not in the store yet.

    Attributes:
        path: its file; a socket for ``hinomi cloud quarantine`` stands beside it.
        cap_mb: when so much waits for the store, nothing more is acknowledged, MB.
        station_cap_mb: when so much of one station waits, that station is not acknowledged, MB.
    """

    path: Path
    cap_mb: Annotated[int, Meta(ge=1)] = 8192
    station_cap_mb: Annotated[int, Meta(ge=1)] = 512

    def __post_init__(self) -> None:
        if self.station_cap_mb > self.cap_mb:
            raise ValueError(f"station_cap_mb is {self.station_cap_mb}, more than cap_mb, {self.cap_mb}")


class DatabaseSection(Section, frozen=True):
    """The relational database.

    Attributes:
        url: of SQLAlchemy, e.g. ``sqlite:////var/lib/hinomi/hinomi.db``.
    """

    url: Annotated[str, Meta(min_length=1)]


class HttpSection(Section, frozen=True):
    """Where the page, ``/metrics`` and ``/healthz`` are.

    Attributes:
        host: address to listen on; the page has no log-in, so it is the loopback unless a proxy stands before it.
        port: 0: any free one, told on the ``ready`` line.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080


class IngestSection(Section, frozen=True):
    """What is taken in.

    Attributes:
        foreign_devices: take what stations send that nobody has registered.
        ahead_s: how far a reading's time may lie in the future, s.
    """

    foreign_devices: bool = False
    ahead_s: Annotated[float, Meta(ge=0, le=86400)] = 300.0


class _File(Section, frozen=True):
    """All tables but ``[store]``, whose type decides what stands in it."""

    journal: JournalSection
    database: DatabaseSection
    broker: BrokerSection = BrokerSection()
    http: HttpSection = HttpSection()
    limits: LimitsSection = LimitsSection()
    ingest: IngestSection = IngestSection()
    clock: ClockSection | None = None
    broker_files: BrokerFiles | None = None


class CloudConfig(Struct, frozen=True):
    """The whole file.

    Attributes:
        journal: the arrival journal.
        database: the relational database.
        store: where readings go.
        broker: where they come from.
        http: page and metrics.
        limits: what one station may take.
        ingest: what is taken in.
        clock: the scaled clock of a demo or a replay; None: the machine's.
        broker_files: what ``hinomi station`` writes; None: somebody else does it.
    """

    journal: JournalSection
    database: DatabaseSection
    store: StoreSection
    broker: BrokerSection
    http: HttpSection
    limits: LimitsSection
    ingest: IngestSection
    clock: ClockSection | None
    broker_files: BrokerFiles | None


def load_config(path: Path) -> CloudConfig:
    """Read a file; relative paths in it are relative to it.

    Raises:
        ConfigError: every fault in it at once.
    """
    tables = read_toml(path)
    walker = Walker(path.parent)
    store_table = tables.pop("store", None)
    file = walker.section(tables, _File, "")
    store = None
    if isinstance(store_table, dict):
        store = store_section(walker, store_table)
    else:
        walker.fault("store", 'is missing, expected a table, e.g. type = "sqlite" and path = "readings.db"')
    if isinstance(file, _File):
        _check_across(walker, file)
    walker.finish()
    if not isinstance(file, _File) or store is None:
        raise AssertionError("a section without value has left a fault")
    return CloudConfig(
        file.journal,
        file.database,
        store,
        file.broker,
        file.http,
        file.limits,
        file.ingest,
        file.clock,
        file.broker_files,
    )


def _check_across(walker: Walker, file: _File) -> None:
    """What only shows between tables or on this machine."""
    folder = file.journal.path.parent
    if not folder.is_dir():
        walker.fault("journal.path", f"the folder {str(folder)!r} does not exist; make it")
    try:
        measurement_clock(file.clock, broker_host=file.broker.host)
    except ConfigError as error:
        for fault in error.faults:
            walker.fault(fault.path, fault.problem)
    if file.broker.tls and file.broker.ca is not None and not file.broker.ca.is_file():
        walker.fault("broker.ca", f"the file {str(file.broker.ca)!r} does not exist")
