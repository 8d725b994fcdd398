"""The wiring of the agent: the only place that knows all its parts.

Resources (writer thread, journal, collector, control socket) are nested around one TaskGroup for each configuration
in force; they close in reverse after all tasks have ended. A new configuration replaces sensors, intakes and
uplink; the journal stays open through it, so that no reload can touch the backlog.
"""

import asyncio
import contextlib
import functools
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from edge import maintenance, status
from edge.backlog import Backlog
from edge.clock import Setting, StationClock
from edge.collect import KNOWN_EVERY_MS, NOTE_CLOCK, NOTE_KNOWN, NOTE_LATEST, Collector
from edge.config import EdgeConfig, load
from edge.context import SensorContext, SensorState, prefix_of
from edge.health import Health
from edge.intake.base import IntakeSection
from edge.lines import LineServer
from edge.notify import Notifier
from edge.orders import Orders, check_reload
from edge.sampler import Sampler, supervise
from edge.sensors.base import SensorSection
from edge.sink import IntakeSink
from edge.thin import Thinner
from edge.uplink import Uplink
from edge.waiting import wait_for
from hinomi.clock import Clock, measurement_clock
from hinomi.disk import Disk
from hinomi.errors import ConfigError, Transient
from hinomi.journal.sqlite import SqliteJournal

# How often (s of the pace) the journal's size and the maintenance mark are looked at.
LOOK_EVERY_S = 10.0
# How long (s) to wait before opening the journal again on a full disk.
FULL_DISK_WAIT_S = 5.0


class Surroundings(msgspec.Struct, frozen=True):
    """What the agent takes from the machine; tests put their own in its place.

    Attributes:
        pace: real time.
        boot: id of this boot.
        synced: whether something disciplines the machine's clock.
        serial: what tells this machine from a copy of its card; empty: not known.
        rng: randomness for waits.
        notifier: systemd.
        clock: the measurement clock; None: as the configuration says.
    """

    pace: Clock
    boot: str
    synced: Callable[[], bool]
    serial: str
    rng: random.Random
    notifier: Notifier
    clock: Clock | None = None


async def run(path: Path, around: Surroundings, orders: Orders) -> None:
    """Run the agent until it is told to stop.

    Raises:
        ConfigError: the configuration, or the place of the journal, needs a person.
    """
    config = load(path)
    health = Health(around.pace)
    async with Disk("journal") as disk:
        journal = await _journal(disk, config, around, health, orders)
        if journal is None:
            return
        try:
            if journal.recovery is not None:
                health.tell(f"journal: {journal.recovery}")
            agent = Agent(path, Backlog(journal, disk), disk, around, health)
            await agent.start(config)
            await agent.run(config, orders)
        finally:
            await disk.run(journal.close)


async def _journal(
    disk: Disk, config: EdgeConfig, around: Surroundings, health: Health, orders: Orders
) -> SqliteJournal | None:
    """The journal, opened in its writer thread, once there is room for it; None: told to stop meanwhile."""
    while True:
        try:
            return await disk.run(lambda: _open_journal(config, around.serial))
        except Transient as error:
            health.failed("journal", str(error))
        if await orders.stop_within(around.pace, FULL_DISK_WAIT_S):
            return None


def _open_journal(config: EdgeConfig, serial: str) -> SqliteJournal:
    return SqliteJournal.open(
        config.journal.path,
        cap_bytes=config.journal.cap_bytes,
        new_stream=lambda: secrets.token_hex(8),
        machine=serial,
    )


class Agent:
    """One station's process."""

    def __init__(self, path: Path, backlog: Backlog, disk: Disk, around: Surroundings, health: Health) -> None:
        """Wire up what outlives a reload; ``path`` is the configuration file."""
        self._path = path
        self._backlog = backlog
        self._disk = disk
        self._around = around
        self._health = health
        self._maintenance_s = 0.0
        self._look = asyncio.Event()
        self._clock: StationClock
        self._measuring: Clock

    async def start(self, config: EdgeConfig) -> None:
        """Find out where the last run ended."""
        around = self._around
        self._measuring = around.clock or measurement_clock(config.clock, broker_host=config.broker.host)
        notes = await self._backlog.run(lambda journal: journal.notes(""))
        trusted = config.clock is not None or config.clock_trusted
        self._clock = StationClock(
            self._measuring,
            boot=around.boot,
            synced=(lambda: True) if trusted else around.synced,
            saved=msgspec.json.decode(notes.get(NOTE_CLOCK, b"[]"), type=list[Setting]),
            # It is committed now and then, and readings were taken since.
            known_ms=int(notes.get(NOTE_KNOWN, b"0")) + KNOWN_EVERY_MS,
            latest=int(notes.get(NOTE_LATEST, b"0")),
        )

    async def run(self, config: EdgeConfig, orders: Orders) -> None:
        """Run one configuration after the other until told to stop."""
        following: EdgeConfig | None = config
        while following is not None:
            following = await self._run_one(following, orders)
        self._around.notifier.tell("STOPPING=1")

    async def _run_one(self, config: EdgeConfig, orders: Orders) -> EdgeConfig | None:
        """Run ``config``; returns the one that follows it, or None."""
        notes = await self._backlog.run(lambda journal: journal.notes(""))
        collector = Collector(
            self._backlog,
            self._clock,
            self._around.pace,
            self._health,
            commit_s=config.journal.commit_s,
            maintenance=lambda: self._maintenance_s > 0,
            notes=notes,
        )
        control = config.journal.path.with_name(config.journal.path.name + ".sock")
        answer = functools.partial(self._answer, config, collector)
        await self._look_at_maintenance(config)
        async with collector, LineServer(control, answer, mode=0o600), asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in self._parts(config, collector, notes)]
            self._around.notifier.tell("READY=1", f"STATUS=running as {config.station}")
            following = await self._following(config, orders)
            for task in running:
                task.cancel()
        return following

    async def _following(self, config: EdgeConfig, orders: Orders) -> EdgeConfig | None:
        """Wait until there is a configuration to go on with, or until told to stop (None)."""
        while not await orders.stop_wanted():
            self._around.notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                following = await self._disk.run(lambda: load(self._path))
                check_reload(config, following)
            except ConfigError as error:
                faults = "; ".join(str(fault) for fault in error.faults)
                self._health.tell(f"the new configuration is not used, the one before goes on: {faults}")
                self._around.notifier.tell("READY=1", "STATUS=running; the new configuration has faults")
            else:
                return following
        return None

    def _parts(
        self, config: EdgeConfig, collector: Collector, notes: dict[str, bytes]
    ) -> list[Coroutine[Any, Any, None]]:
        """Everything that runs side by side."""
        around = self._around
        uplink = Uplink(
            config,
            self._backlog,
            collector,
            self._clock,
            around.pace,
            self._health,
            around.rng,
            status=lambda: msgspec.json.encode(self._status(config, collector)),
        )
        sensors = {f"sensor {section.name}": section for section in config.sensors}
        intakes = {f"intake {index} ({section.type})": section for index, section in enumerate(config.intakes)}
        self._health.keep({"journal", *sensors, *intakes})
        return [
            collector.run(),
            uplink.run(),
            self._make_room(config),
            self._look_on(config),
            self._watch(),
            *(self._sensor(part, section, collector, notes) for part, section in sensors.items()),
            *(self._intake(part, section, collector) for part, section in intakes.items()),
        ]

    async def _sensor(
        self, part: str, section: SensorSection, collector: Collector, notes: dict[str, bytes]
    ) -> None:
        prefix = prefix_of(section.name)
        saved = {key: value for key, value in notes.items() if key.startswith(prefix)}
        state = SensorState(section.name, self._backlog, saved)
        context = SensorContext(section.name, self._measuring, self._around.rng, state, collector.push)
        sampler = Sampler(section, context, self._measuring, collector, self._health)
        try:
            await supervise(part, sampler.run, clock=self._measuring, health=self._health, rng=self._around.rng)
        finally:
            context.close()

    async def _intake(self, part: str, section: IntakeSection, collector: Collector) -> None:
        around = self._around
        sink = IntakeSink(section, collector, self._backlog, self._health, pace=around.pace, rng=around.rng)

        async def serve() -> None:
            async with section.open(sink) as intake:
                self._health.works(part)
                await intake.run()

        await supervise(part, serve, clock=around.pace, health=self._health, rng=around.rng)

    async def _make_room(self, config: EdgeConfig) -> None:
        """Thin the journal while it is near its cap."""
        thinner = Thinner(config.journal.cap_bytes)
        while True:
            await wait_for(self._backlog.crowded, self._around.pace, LOOK_EVERY_S)
            self._backlog.crowded.clear()
            with contextlib.suppress(Transient):
                more = True
                while more:
                    # One step at a time, so that commits get their turn in the writer thread.
                    more = await self._backlog.run(thinner.step)

    async def _look_on(self, config: EdgeConfig) -> None:
        """Notice when maintenance begins and ends."""
        while True:
            await wait_for(self._look, self._around.pace, LOOK_EVERY_S)
            self._look.clear()
            await self._look_at_maintenance(config)

    async def _look_at_maintenance(self, config: EdgeConfig) -> None:
        around, before = self._around, self._maintenance_s
        self._maintenance_s = await self._disk.run(
            lambda: maintenance.left_s(config.journal.path, around.boot, around.pace)
        )
        if (before > 0) != (self._maintenance_s > 0):
            self._health.version += 1

    async def _watch(self) -> None:
        """Give systemd a sign of life, as long as the event loop and the writer thread live."""
        every = self._around.notifier.watchdog_s
        while every is not None:
            await self._backlog.run(lambda journal: journal.stream)
            self._around.notifier.tell("WATCHDOG=1")
            await self._around.pace.sleep(every)

    def _status(self, config: EdgeConfig, collector: Collector) -> dict[str, Any]:
        return status.online(
            config,
            self._clock,
            self._health,
            serial=self._around.serial,
            maintenance_s=self._maintenance_s,
            pushed=collector.datastreams,
        )

    async def _answer(self, config: EdgeConfig, collector: Collector, line: bytes) -> dict[str, Any]:
        """The control socket: look at the maintenance mark, then say how it goes."""
        msgspec.json.decode(line)
        await self._look_at_maintenance(config)
        stats = await self._backlog.run(lambda journal: journal.stats())
        return {
            "running": True,
            "station": str(config.station),
            "journal": status.journal(stats, self._backlog.stream),
            **self._status(config, collector),
        }
