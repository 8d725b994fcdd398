"""Ingest put together: what the service runs, and what a command uses when no service is running."""

import asyncio
import functools
import logging
from collections.abc import Iterable

import msgspec

from cloud.fleet.registry import Registry
from cloud.ingest import accounts, tracker
from cloud.ingest.accept import Accept
from cloud.ingest.accounts import Account, Accounts
from cloud.ingest.ack import Acker
from cloud.ingest.commit import Committer
from cloud.ingest.feed import STORE, Feed
from cloud.ingest.limits import Limits, LimitsSection
from cloud.ingest.loss import LossMeter, StationLoss
from cloud.ingest.metrics import Counters, Metrics
from cloud.ingest.presence import Statuses
from cloud.ingest.quarantine import Desk, Quarantine
from cloud.ingest.resolve import Resolver
from cloud.ingest.tracker import Tracker
from cloud.store.protocol import Latest
from hinomi.clock import Clock
from hinomi.disk import Disk
from hinomi.journal.protocol import Journal
from sensing.observation import Observation
from sensing.topic import StationId

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True):
    """What a person may set.

    Attributes:
        limits: rates and rows.
        station_cap_bytes: greatest share of one station in the arrival journal.
        quarantine_bytes: bodies that the quarantine keeps.
        ahead_ms: how far a time may lie in the future.
        foreign_devices: take what nobody has registered.
    """

    limits: LimitsSection = LimitsSection()
    station_cap_bytes: int = 512 << 20
    quarantine_bytes: int = 256 << 20
    ahead_ms: int = 300_000
    foreign_devices: bool = False


class Ingest:
    """All parts between the link and the store, and their state from the journal.

    It is the link's ``Lifecycle``: ``accept.receive`` takes messages, ``connected`` and ``lost`` tell of the link.
    """

    def __init__(
        self,
        journal: Journal,
        disk: Disk,
        registry: Registry,
        settings: Settings,
        *,
        clock: Clock,
        pace: Clock,
    ) -> None:
        self.counters = Counters()
        self.tracker = Tracker()
        self.accounts = Accounts()
        self.limits = Limits(settings.limits, settings.station_cap_bytes, pace=pace)
        self.quarantine = Quarantine(settings.limits.quarantine_rows, settings.quarantine_bytes)
        self.resolver = Resolver(settings.ahead_ms, lambda *stream: _interval(registry, *stream))
        self.feed = Feed(journal, disk, self.resolver, self.accounts, self.limits, self.quarantine, clock=clock)
        self.acker = Acker(self.tracker, self.counters, clock=clock, pace=pace)
        listeners = (self.feed, self.limits, self.quarantine, self.acker)
        self.committer = Committer(journal, disk, self.tracker, self.counters, listeners, pace=pace)
        self.statuses = Statuses(registry, self.resolver.announced, self.counters, clock=clock, pace=pace)
        self.accept = Accept(
            resolver=self.resolver,
            limits=self.limits,
            quarantine=self.quarantine,
            committer=self.committer,
            counters=self.counters,
            registered=lambda station: settings.foreign_devices or registry.get(station) is not None,
            statuses=self.statuses.take,
            clock=clock,
        )
        self.loss = LossMeter(self.tracker, self.accounts)
        self.desk = Desk(journal, disk, judge=self.accept.judge, add=self.committer.add)
        self.metrics = Metrics(self.counters)
        self._journal = journal
        self._disk = disk
        self._add_gauges()

    async def load(self, latest: Iterable[Latest] = ()) -> None:
        """Take over what the journal remembers; once, before ``run``.

        Quality control begins where an earlier process left it: at the store's ``latest``, then at the journal's
        end.

        Raises:
            Transient: the journal cannot be read now.
        """
        await self._disk.run(self._load)
        self.resolver.seed(Observation(one.datastream, one.measured_at, one.value) for one in latest)
        await self.feed.warm()

    async def run(self) -> None:
        """Commit, acknowledge, and keep statuses until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.committer.run())
            group.create_task(self.acker.run())
            group.create_task(self.statuses.run())

    def connected(self, *, session_present: bool) -> None:
        """The link is up."""
        if not session_present:
            self.acker.everybody()

    def lost(self) -> None:
        """The link is down."""
        self.committer.forget()

    def _load(self) -> None:
        journal = self._journal
        self.tracker.load(journal.notes(tracker.PREFIX))
        self.accounts.load(journal.stream, journal.note(accounts.STREAM), journal.notes(accounts.PREFIX))
        if self.accounts.moved:
            brought = {}
            for station in self.tracker.stations():
                good, size = self.tracker.brought(station)
                brought[station] = Account(good, 0, size)
            journal.append((), notes=self.accounts.rebase(brought, self.feed.waiting()))
        self.limits.load(self.tracker, self.accounts)
        self.quarantine.load(journal)
        self.feed.load()

    def _add_gauges(self) -> None:
        gauge = self.metrics.gauge
        gauge(
            "arrival_behind", "packs in the arrival journal that the store has not", lambda: self.feed.behind(STORE)
        )
        gauge("quarantine_rows", "rows in quarantine", lambda: self.quarantine.rows)
        gauge("stations_over_cap", "stations over their share of the arrival journal", self.limits.over_cap)
        gauge(
            "commit_failing", "1 while nothing can be committed", lambda: float(self.committer.problem is not None)
        )
        for name in StationLoss.__struct_fields__[1:]:
            gauge(f"loss_{name}", f"readings of all stations: {name}", functools.partial(self._total, name))

    def _total(self, name: str) -> float:
        return float(sum(getattr(self.loss.row(station), name) for station in self.tracker.stations()))


def _interval(registry: Registry, station: StationId, sensor: str, quantity: str) -> float | None:
    presence = registry.presence(station)
    if presence is not None:
        for info in presence.datastreams:
            if (info.sensor, info.quantity) == (sensor, quantity):
                return info.interval_s
    record = registry.get(station)
    return None if record is None else record.interval_s(sensor, quantity)
