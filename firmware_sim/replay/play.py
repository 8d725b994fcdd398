"""The replay itself: agents started, rows handed over in their time, acknowledgements awaited and counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from firmware_sim.replay.agent import Agent, Broker, Counters, Gone
from firmware_sim.replay.playlist import Played, Recording, Refused, Timeline, usual_interval
from firmware_sim.signals.layout import Column, Layout
from hinomi.clock import Clock
from hinomi.errors import ConfigError

_BATCH = 2000
"""Readings in one request, well below what an agent takes."""
_STARTING_AT_ONCE = 4
_RESTARTS = 5
_POLL_S = 0.2
_LAST_COUNT_S = 3.0


class Settings(msgspec.Struct, frozen=True):
    """How to play.

    Attributes:
        layout: whose columns say what is measured.
        community: of all stations.
        broker: where the agents send to.
        passwords: by ``community/station``.
        names: of the files, where there are several.
        speed: seconds of the recording per real second; 0: as fast as it goes.
        wait_s: how long to wait at the end for the acknowledgements.
        state: the agents' folder.
        sockets: a folder of a short path.
    """

    layout: Layout
    community: str
    broker: Broker
    passwords: Mapping[str, str]
    names: Sequence[str | None]
    speed: float
    wait_s: float
    state: Path
    sockets: Path


class Report(msgspec.Struct, frozen=True):
    """What came of it; see ``--help``."""

    schema: int
    rows: int
    replayed: int
    refused: list[Refused]
    accepted: int
    acked: int
    pending: int


class Replay:
    """One replay.

    Attributes:
        troubles: what a person should know, in words.
    """

    def __init__(self, recording: Recording, settings: Settings, pace: Clock) -> None:
        self.troubles: list[str] = []
        self._recording = recording
        self._settings = settings
        self._pace = pace
        self._refused = list(recording.refused)
        self._replayed = 0
        self._before: dict[str, Counters] = {}
        self._after: dict[str, Counters] = {}

    async def run(self, interrupted: asyncio.Event) -> Report:
        """Play until the end, and until everything is acknowledged or the time for that is over.

        Raises:
            ConfigError: an agent says that a person has to fix something.
        """
        async with self._agents() as agents:
            playing = asyncio.ensure_future(self._play(agents))
            stopping = asyncio.ensure_future(interrupted.wait())
            try:
                await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if playing.done():
                    playing.result()
            finally:
                for task in (playing, stopping):
                    task.cancel()
                await asyncio.gather(playing, stopping, return_exceptions=True)
            await self._count(agents.values())
        return self._report()

    @contextlib.asynccontextmanager
    async def _agents(self) -> AsyncIterator[dict[str, Agent]]:
        settings = self._settings
        agents: dict[str, Agent] = {}
        try:
            for number, (name, playlist) in enumerate(self._recording.playlists.items()):
                id_ = f"{settings.community}/{name}"
                agent = Agent(id_, settings.state / name, settings.sockets / f"{number}.sock", self._pace)
                password = settings.passwords.get(id_)
                agent.configure(settings.broker, password=password, interval_s=usual_interval(playlist))
                agents[name] = agent
            yield agents
        finally:
            await asyncio.gather(*(agent.end() for agent in agents.values()))

    async def _play(self, agents: Mapping[str, Agent]) -> None:
        playlists = self._recording.playlists
        gate = asyncio.Semaphore(_STARTING_AT_ONCE)
        try:
            await _together(self._start(agent, gate) for agent in agents.values())
            timeline = Timeline(
                self._recording,
                speed=self._settings.speed,
                now=self._pace.now(),
                monotonic=self._pace.monotonic(),
            )
            await _together(self._feed(agents[name], playlists[name], timeline) for name in playlists)
            await self._acknowledged(list(agents.values()))
        except Gone as error:
            self.troubles.append(str(error))

    async def _start(self, agent: Agent, gate: asyncio.Semaphore) -> None:
        async with gate:
            await agent.start()
            self._before[agent.station] = await agent.counters()

    async def _feed(self, agent: Agent, playlist: Sequence[Played], timeline: Timeline) -> None:
        """Hand each row over in its time; those that are due together go in one request."""
        most = max(1, _BATCH // len(self._settings.layout.columns))
        place = 0
        while place < len(playlist):
            await self._pace.sleep(timeline.due(playlist[place].row.at) - self._pace.monotonic())
            now = self._pace.monotonic()
            end = place + 1
            while end < min(len(playlist), place + most) and timeline.due(playlist[end].row.at) <= now:
                end += 1
            await self._hand_over(agent, playlist[place:end], timeline)
            place = end

    async def _hand_over(self, agent: Agent, rows: Sequence[Played], timeline: Timeline) -> None:
        columns = self._settings.layout.columns
        cells = [
            (played, index, value)
            for played in rows
            for index, value in enumerate(played.row.values)
            if value is not None
        ]
        readings = [
            _reading(columns[index], value, timeline.measured_at(played.row.at)) for played, index, value in cells
        ]
        broken: set[tuple[int, int]] = set()
        for number, reason in await self._answered(agent, readings):
            played, index, _ = cells[number]
            broken.add((played.file, played.row.line))
            name = self._settings.names[played.file]
            self._refused.append(Refused(played.row.line, columns[index].name, reason, name))
        self._replayed += sum(each.row.whole and (each.file, each.row.line) not in broken for each in rows)

    async def _answered(self, agent: Agent, readings: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
        """What was refused; an agent that ends by itself is started again, and asked again."""
        if not readings:
            return []
        restarts = 0
        while True:
            try:
                refused = await agent.hand_over(readings)
            except Gone:
                restarts += 1
                if restarts > _RESTARTS:
                    raise
                await agent.restart()
            else:
                # What it committed before it ended is not news to it any more.
                return refused if restarts == 0 else [each for each in refused if each[1] != "not_newer"]

    async def _acknowledged(self, agents: Sequence[Agent]) -> None:
        """Wait until nothing is pending, or the time for it is over."""
        end = self._pace.monotonic() + self._settings.wait_s
        while True:
            await self._count(agents)
            if not any(counters.pending for counters in self._after.values()) or self._pace.monotonic() >= end:
                return
            await self._pace.sleep(_POLL_S)

    async def _count(self, agents: Iterable[Agent]) -> None:
        """Ask every agent that runs; one that does not answer keeps the numbers it had."""
        for agent in agents:
            with contextlib.suppress(Gone, TimeoutError):
                async with asyncio.timeout(_LAST_COUNT_S):
                    self._after[agent.station] = await agent.counters()

    def _report(self) -> Report:
        before, after = (_sum(each.values()) for each in (self._before, self._after))
        if after.dropped > before.dropped:
            self.troubles.append(f"{after.dropped - before.dropped} readings were given up by an agent: disk full?")
        return Report(
            schema=1,
            rows=self._recording.rows,
            replayed=self._replayed,
            refused=sorted(self._refused, key=lambda each: (each.file or "", each.line)),
            accepted=after.accepted - before.accepted + before.pending,
            acked=after.acked - before.acked,
            pending=after.pending,
        )


def _reading(column: Column, value: float, measured_at: int) -> dict[str, Any]:
    reading = {"sensor": column.sensor, "quantity": column.quantity, "value": value, "measured_at": measured_at}
    if column.unit is not None:
        reading["unit"] = column.unit
    return reading


def _sum(counters: Iterable[Counters]) -> Counters:
    each = list(counters)
    return Counters(
        accepted=sum(one.accepted for one in each),
        acked=sum(one.acked for one in each),
        pending=sum(one.pending for one in each),
        dropped=sum(one.dropped for one in each),
    )


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first expected error is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        for family in (ConfigError, Gone):
            if (expected := errors.subgroup(family)) is not None:
                raise expected.exceptions[0] from errors
        raise
