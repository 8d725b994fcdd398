"""The cloud service: the only module that knows all parts."""

import asyncio
import gc
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import msgspec
from aiohttp import web

from cloud.config import CloudConfig
from cloud.db import Database
from cloud.fleet.registry import Registry
from cloud.ingest import hatch
from cloud.ingest.health import Health
from cloud.ingest.ingest import Ingest, Settings
from cloud.link import Link
from cloud.portal.live import build_app
from cloud.store.latency import Latency
from cloud.store.personal import PersonalStore
from cloud.store.protocol import Latest
from cloud.store.retention import Sweeper
from cloud.store.routing import RoutedStore
from cloud.store.writer import Writer
from hinomi.clock import Clock, SystemClock, measurement_clock
from hinomi.disk import Disk
from hinomi.errors import ConfigError, Fault, Transient
from hinomi.journal.protocol import Journal, Recovery
from hinomi.journal.sqlite import SqliteJournal
from sensing.topic import everybody

log = logging.getLogger(__name__)

REFRESH_S = 5.0
# How long the start waits for the broker before it says that it is ready without it.
FIRST_CONNECTION_S = 15.0
SEED_S = 5.0


class Parts(msgspec.Struct):
    """What is open while the service runs."""

    config: CloudConfig
    clock: Clock
    pace: Clock
    registry: Registry
    store: RoutedStore
    ingest: Ingest
    writer: Writer
    link: Link
    health: Health


async def run(config: CloudConfig, announce: Callable[[str], None]) -> None:
    """Serve until cancelled.

    Args:
        config: everything that a person may set.
        announce: gets one line, ``ready http://HOST:PORT``, when the page is there and the broker is connected, or
            has been away for ``FIRST_CONNECTION_S``.

    Raises:
        ConfigError: a person must put something right.
    """
    try:
        async with _open(config) as parts, _page(parts) as address, asyncio.TaskGroup() as group:
            group.create_task(parts.ingest.run())
            group.create_task(parts.link.run())
            group.create_task(parts.writer.run())
            group.create_task(_sweeper(parts).run())
            group.create_task(_refresh(parts.registry, parts.pace))
            group.create_task(_announce(parts.link, parts.pace, partial(announce, f"ready {address}")))
    except* ConfigError as errors:
        raise _joined(errors) from None


def _joined(errors: BaseExceptionGroup[ConfigError]) -> ConfigError:
    """All faults of all parts as one error."""
    faults: list[Fault] = []
    for error in errors.exceptions:
        faults += error.faults if isinstance(error, ConfigError) else _joined(error).faults
    return ConfigError(faults)


@asynccontextmanager
async def _open(config: CloudConfig) -> AsyncIterator[Parts]:
    """Everything that has to be closed again, in reverse order."""
    pace = SystemClock()
    clock = measurement_clock(config.clock, broker_host=config.broker.host)
    async with Disk("database") as database_disk, Disk("journal") as disk:
        with _for_a_person("database.url"):
            database = await database_disk.run(lambda: Database(config.database.url, database_disk))
        try:
            registry = await database_disk.run(lambda: Registry(database))
            store = RoutedStore(await config.store.open(clock), PersonalStore(database))
            try:
                async with open_journal(config, disk) as journal:
                    with _for_a_person("journal.path"):
                        parts = await _assemble(config, journal, disk, registry, store, clock, pace)
                    _tell(parts.health, journal.recovery)
                    async with hatch.serve(parts.ingest.desk, hatch.socket_path(config.journal.path), store):
                        yield parts
            finally:
                await store.close()
        finally:
            await database_disk.run(database.close)


@contextmanager
def _for_a_person(path: str) -> Iterator[None]:
    """At the start a full or failing disk is somebody's business; later it is waited for."""
    try:
        yield
    except Transient as error:
        raise ConfigError.of(path, f"cannot be opened: {error}") from error


@asynccontextmanager
async def open_journal(config: CloudConfig, disk: Disk) -> AsyncIterator[SqliteJournal]:
    """The arrival journal.

    Raises:
        ConfigError: it cannot be opened there, or another process has it open.
    """
    section = config.journal
    cap = section.cap_mb << 20
    with _for_a_person("journal.path"):
        journal = await disk.run(
            lambda: SqliteJournal.open(section.path, cap_bytes=cap, new_stream=lambda: secrets.token_hex(8))
        )
    try:
        yield journal
    finally:
        await disk.run(journal.close)


def settings(config: CloudConfig) -> Settings:
    """What ingest needs of the file."""
    return Settings(
        limits=config.limits,
        station_cap_bytes=config.journal.station_cap_mb << 20,
        # The journal itself refuses when its quarantine holds half as much as its log may; that would stop all.
        quarantine_bytes=min(config.limits.quarantine_mb << 20, (config.journal.cap_mb << 20) // 3),
        ahead_ms=round(config.ingest.ahead_s * 1000),
        foreign_devices=config.ingest.foreign_devices,
    )


async def _assemble(
    config: CloudConfig,
    journal: Journal,
    disk: Disk,
    registry: Registry,
    store: RoutedStore,
    clock: Clock,
    pace: Clock,
) -> Parts:
    ingest = Ingest(journal, disk, registry, settings(config), clock=clock, pace=pace)
    await ingest.load(await _newest(registry, store))
    rng = random.Random()  # noqa: S311 - jitter
    topics = [everybody("obs"), everybody("status")]
    link = Link(config.broker, topics, ingest.accept.receive, ingest, pace=pace, rng=rng)
    ingest.acker.publisher = link
    latency = Latency(clock)
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        told = partial(latency.quantile, part)
        ingest.metrics.gauge(f"sampling_to_stored_seconds_{name}", "from sampling to readable in the store", told)
    writer = Writer(ingest.feed, store, pace=pace, random=rng, stored=latency.stored)
    health = Health()
    health.watch("broker", link.problem)
    health.watch("journal", lambda: ingest.committer.problem)
    health.watch("store", lambda: writer.problem)
    _facts(health, ingest, link)
    # What is alive now stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    return Parts(config, clock, pace, registry, store, ingest, writer, link, health)


def _tell(health: Health, recovery: Recovery | None) -> None:
    """What was found when the arrival journal was opened: a person must hear of it, but the service is well."""
    if recovery is not None:
        log.error("arrival journal: %s", recovery)
        health.fact("journal_recovery", lambda: str(recovery))


def _facts(health: Health, ingest: Ingest, link: Link) -> None:
    health.fact("connection", lambda: link.generation)
    health.fact("arrival_head", lambda: ingest.feed.head)
    health.fact("quarantine_rows", lambda: ingest.quarantine.rows)
    health.fact("turned_away", lambda: dict(ingest.counters.turned_away))
    health.fact("strangers", ingest.accept.strangers.recent)


async def _newest(registry: Registry, store: RoutedStore) -> list[Latest]:
    """Where quality control goes on; a store that is away now is no reason to wait."""
    found: list[Latest] = []
    try:
        async with asyncio.timeout(SEED_S):
            for community in {record.id.community for record in registry.stations()}:
                found += await store.latest(community)
    except (Transient, TimeoutError):
        pass
    return found


@asynccontextmanager
async def _page(parts: Parts) -> AsyncIterator[str]:
    """The HTTP server; yields its address."""
    section = parts.config.http
    ingest = parts.ingest
    app = build_app(
        registry=parts.registry,
        store=parts.store,
        loss=ingest.loss,
        health=parts.health,
        metrics=ingest.metrics,
        clock=parts.clock,
        refusing=lambda: parts.writer.problem is not None,
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, section.host, section.port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError.of(
                "http.port",
                f"{section.host}:{section.port} cannot be had: {error.strerror}; is another one running?",
            ) from error
        port = runner.addresses[0][1]
        yield f"http://{section.host}:{port}"
    finally:
        await runner.cleanup()


def _sweeper(parts: Parts) -> Sweeper:
    days = parts.config.store.retention_days
    return Sweeper(parts.store, days=days, clock=parts.clock, pace=parts.pace)


async def _refresh(registry: Registry, pace: Clock) -> None:
    """See stations that ``hinomi station add`` registered meanwhile."""
    while True:
        await pace.sleep(REFRESH_S)
        try:
            await registry.refresh()
        except Transient:
            continue


async def _announce(link: Link, pace: Clock, say: Callable[[], None]) -> None:
    end = pace.monotonic() + FIRST_CONNECTION_S
    while not link.is_connected and pace.monotonic() < end:
        await pace.sleep(0.02)
    say()
