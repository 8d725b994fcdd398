"""The fleet: a thousand light stations, one log, one process.

What is measured is written to the log and synced, then it is accepted, then it is sent; it is let go of when the
cloud's end-to-end acknowledgement covers it. A fleet that is started again goes on from its log.
"""

import asyncio
import random
import resource
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from firmware_sim.fleet.log import Log, read_log
from firmware_sim.fleet.pack import Acked, Pack
from firmware_sim.fleet.source import Beats, Load, Source
from firmware_sim.fleet.station import LightStation, StationPlan, Wire
from hinomi.clock import Clock
from hinomi.errors import ConfigError

_CONNECTING_AT_ONCE = 50
_CARE_S = 0.5
_POLL_S = 0.05
_SPARE_FILES = 64


class Totals(msgspec.Struct, frozen=True):
    """Counters in readings over the whole log, unless it says otherwise.

    Attributes:
        accepted: in the log.
        acked: durable in the cloud.
        pending: accepted and not acked.
        packs: in the log.
        resent: packs sent again by this process.
        skipped: readings that were due and never taken, because this machine is too slow.
        strange_acks: acknowledgements of packs that were never sent.
        connected: stations that are connected now.
        refused: stations that the broker did not let in, with its reason.
    """

    accepted: int
    acked: int
    pending: int
    packs: int
    resent: int
    skipped: int
    strange_acks: int
    connected: int
    refused: dict[str, str]


class Fleet:
    """Light stations as a library; enter it (opens the log), ``run`` it as a task, ``stop``, ``drained``, leave it.

    Args:
        plans: the stations.
        wire: broker and form.
        log: the file of accepted readings; another process may read it at any time.
        clock: the measurement clock, real or scaled.
        pace: real time.
        rng: phases and jitter.
        passwords: by station id; a station without one connects without.
        readings_per_pack: None: what a station measures at one moment.
        rate: readings a second of all stations together, instead of their intervals; needs ``readings_per_pack``.
        new_stream: makes the random id of a station's numbering.

    Raises:
        ConfigError: on entering: the log cannot be used, too few open files are allowed; while running: the log
            cannot be written any more.
    """

    def __init__(
        self,
        plans: Sequence[StationPlan],
        wire: Wire,
        log: Path,
        *,
        clock: Clock,
        pace: Clock,
        rng: random.Random,
        passwords: Mapping[str, str] | None = None,
        readings_per_pack: int | None = None,
        rate: float | None = None,
        new_stream: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._wire = wire
        self._path = log
        self._clock = clock
        self._pace = pace
        self._rng = rng
        self._passwords = passwords or {}
        self._size = readings_per_pack if rate is None else readings_per_pack or 1
        self._rate = rate
        self._new_stream = new_stream
        self._plans = {plan.id: plan for plan in plans}
        self._stations: dict[str, LightStation] = {}
        self._log: Log | None = None
        self._source: Source | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    async def __aenter__(self) -> Self:
        _allow_files(len(self._plans) + _SPARE_FILES)
        self._log = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            await self._note_acks(self._log)
            await asyncio.to_thread(self._log.close)
            self._log = None

    def _open(self) -> Log:
        """Open the log first, so that nobody writes to it while it is read."""
        log = Log(self._path)
        try:
            for line in read_log(self._path):
                station = self._stations.get(line.station) or self._add(line.station, line.stream)
                if isinstance(line, Pack):
                    station.recover(line)
                else:
                    station.outbox.acknowledge(line)
        except ConfigError:
            log.close()
            raise
        for station in self._stations.values():
            station.outbox.recovered()
        for id_ in self._plans:
            if id_ not in self._stations:
                self._add(id_, self._new_stream())
        return log

    def _add(self, id_: str, stream: str) -> LightStation:
        plan = self._plans.get(id_) or StationPlan(id_)
        password = self._passwords.get(id_)
        station = LightStation(plan, stream, self._wire, password=password, pace=self._pace, rng=self._rng)
        self._stations[id_] = station
        return station

    async def run(self) -> None:
        """Measure, send and send again until cancelled; after ``stop`` only what is pending is sent."""
        log = self._log
        if log is None:
            raise RuntimeError("the fleet is not entered")
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for station in self._stations.values():
                    if station.plan.datastreams or station.outbox.pending:
                        group.create_task(station.deliver(gate))
                group.create_task(self._care(log))
                group.create_task(self._sample(log))
        except BaseExceptionGroup as errors:
            expected = errors.subgroup(ConfigError)
            if expected is None:
                raise
            raise expected.exceptions[0] from errors

    def stop(self) -> None:
        """No more readings; what was measured is still packed, and everything pending is sent."""
        self._stopping.set()

    async def drained(self, seconds: float) -> bool:
        """Stop, and wait at most ``seconds`` until all is acknowledged; returns whether it is."""
        self.stop()
        end = self._pace.monotonic() + seconds
        while self._pace.monotonic() < end:
            if self._stopped.is_set() and not any(each.outbox.pending for each in self._stations.values()):
                return True
            await self._pace.sleep(_POLL_S)
        return False

    async def connected(self, seconds: float) -> bool:
        """Wait at most ``seconds`` until every station is connected; returns whether they are."""
        end = self._pace.monotonic() + seconds
        while not all(self._stations[id_].connected for id_ in self._plans):
            if self._pace.monotonic() >= end:
                return False
            await self._pace.sleep(_POLL_S)
        return True

    def totals(self, id_: str | None = None) -> Totals:
        """Counters of one station, or of all."""
        stations = list(self._stations.values()) if id_ is None else [self._stations[id_]]
        boxes = [station.outbox for station in stations]
        return Totals(
            accepted=sum(box.accepted for box in boxes),
            acked=sum(box.acked for box in boxes),
            pending=sum(box.pending for box in boxes),
            packs=sum(box.packs for box in boxes),
            resent=sum(box.resent for box in boxes),
            skipped=self._source.skipped if self._source is not None else 0,
            strange_acks=sum(box.strange_acks for box in boxes),
            connected=sum(station.connected for station in stations),
            refused={station.plan.id: station.refusal for station in stations if station.refusal},
        )

    def stations(self) -> dict[str, StationPlan]:
        """The stations by id, with what they measure."""
        return dict(self._plans)

    async def _sample(self, log: Log) -> None:
        source = self._source = self._new_source()
        while (measured := await self._unless_stopped(source.measured())) is not None:
            await self._accept(log, measured, rest=self._size is None)
        await self._accept(log, list(self._stations.values()), rest=True)
        self._stopped.set()

    async def _unless_stopped(self, work: Coroutine[None, None, list[LightStation]]) -> list[LightStation] | None:
        working, stopping = tasks = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return None if stopping.done() else working.result()
        finally:
            for task in tasks:
                task.cancel()

    def _new_source(self) -> Source:
        stations = [self._stations[id_] for id_ in self._plans]
        if self._rate is not None:
            return Load(stations, self._clock, rate=self._rate, size=self._size or 1)
        return Beats(stations, self._clock, self._rng)

    async def _accept(self, log: Log, stations: Sequence[LightStation], *, rest: bool) -> None:
        """To the disk, then to the outbox, then on the way."""
        packs = [(each, pack) for each in stations for pack in each.packed(self._size, rest=rest)]
        if not packs:
            return
        writing = log.append([pack for _, pack in packs])
        try:
            await asyncio.shield(writing)
        finally:
            # A cancellation does not call back what is being written: it is accepted.
            await writing
            for station, pack in packs:
                station.outbox.add(pack)
        for station in dict.fromkeys(station for station, _ in packs):
            station.pump()

    async def _care(self, log: Log) -> None:
        while True:
            await self._pace.sleep(_CARE_S)
            for station in self._stations.values():
                if station.outbox.pending:
                    station.pump()
            await self._note_acks(log)

    async def _note_acks(self, log: Log) -> None:
        lines = []
        for station in self._stations.values():
            if station.fresh_acks:
                newest = station.fresh_acks[-1]
                station.fresh_acks.clear()
                lines.append(Acked(station.plan.id, newest.stream, newest.upto, newest.also))
        if lines:
            await log.append(lines, sync=False)


def _allow_files(count: int) -> None:
    """Each station is an open socket; many systems allow 1024 of them until they are asked for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError.of("stations", f"need {count} open files, this user may have {hard}; see ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
