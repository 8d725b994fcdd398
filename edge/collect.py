"""From readings to committed packs: what sensors give waits for its group, what is pushed waits for its commit.

*Accepted* means committed. A reading of an asked sensor is accepted with its group; while the disk is full the
newest ones are kept in memory and tried again, and what no longer fits was never accepted and is counted. A pushed
reading is answered after its commit, or refused honestly.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from edge import check
from edge.backlog import Backlog
from edge.clock import DEVICE_TIME, GRID_MS, StationClock
from edge.group import MAX_WAITING, Group, Packs, count
from edge.health import Health
from edge.intake.base import Pushed, Refused
from edge.sensors.base import Measured
from edge.waiting import wait_for
from hinomi.clock import Clock
from hinomi.errors import Rejected, Transient
from sensing.observation import ClockQuality, Kind, Reading
from sensing.station import DatastreamInfo

# A station with more pushed datastreams has a device that invents names.
MAX_DATASTREAMS = 500
# How often (ms of the station's clock) the passing of time itself is committed, for a boot without a clock.
KNOWN_EVERY_MS = 60_000

NOTE_CLOCK = "clock"
NOTE_KNOWN = "known"
NOTE_LATEST = "latest"
NOTE_FLOORS = "floors"
NOTE_DATASTREAMS = "datastreams"

_Key = tuple[str, str]


class Collector:
    """Takes readings from everybody and commits them in groups; enter it, and ``run()`` it."""

    def __init__(
        self,
        backlog: Backlog,
        clock: StationClock,
        pace: Clock,
        health: Health,
        *,
        commit_s: float,
        maintenance: Callable[[], bool],
        notes: Mapping[str, bytes],
    ) -> None:
        """Wire it up.

        Args:
            backlog: where groups go.
            clock: gives times.
            pace: real time.
            health: counters.
            commit_s: seconds between two groups.
            maintenance: whether somebody works at the station.
            notes: what earlier runs committed.
        """
        self._backlog = backlog
        self._clock = clock
        self._pace = pace
        self._health = health
        self._commit_s = commit_s
        self._maintenance = maintenance
        self._group = Group()
        self._committing = asyncio.Lock()
        self._filled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._due = 0.0
        self._known = 0
        self._floors: dict[_Key, int] = _load_floors(notes)
        self._learned: dict[_Key, float] = _load_datastreams(notes)
        if NOTE_CLOCK not in notes or _clock_note(clock) != notes[NOTE_CLOCK]:
            self.clock_changed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.commit()

    @property
    def datastreams(self) -> list[DatastreamInfo]:
        """The datastreams that devices pushed, with the interval their intake promises."""
        return [DatastreamInfo(*key, interval) for key, interval in self._learned.items() if interval > 0]

    def add(
        self, sensor: str, measured: Sequence[Measured], *, notes: Mapping[str, bytes], urgent: bool = False
    ) -> None:
        """Take what an asked sensor gave just now; it is accepted with the next commit.

        Raises:
            Rejected: one of the values can never be accepted; the others were taken.
        """
        self._look_at_clock()
        self._group.notes.update(notes)
        rejected = self._take(self._group.sampled, sensor, measured, age_s=0.0)
        self._schedule(0.0 if urgent else self._commit_s)
        if rejected:
            raise rejected

    async def push(self, sensor: str, measured: Sequence[Measured], *, age_s: float) -> None:
        """Take what a sensor gives out of turn, and commit it at once."""
        self._look_at_clock()
        rejected = self._take(self._group.pushed, sensor, measured, age_s=age_s)
        await self._committed(0.0)
        if rejected:
            raise rejected

    async def accept(self, readings: Sequence[Pushed], *, wait_s: float, interval_s: float) -> list[Refused]:
        """Take pushed readings; all but the returned ones are committed."""
        self._look_at_clock()
        if count(self._group.pushed) + len(readings) > MAX_WAITING:
            raise Transient("too many readings wait for their commit; send fewer at once")
        refused = []
        for index, reading in enumerate(readings):
            try:
                self._accept(reading, interval_s)
            except Rejected as error:
                self._health.count(f"refused.{error.reason}")
                refused.append(Refused(index, error.reason, error.detail))
        if len(refused) < len(readings):
            await self._committed(wait_s)
        return refused

    async def save_clock(self) -> None:
        """Commit a new setting of the clock before anything is sent that was corrected by it."""
        if NOTE_CLOCK in self._group.notes:
            await self.commit()

    def clock_changed(self) -> None:
        """The clock has a new setting; commit it with (so never after) the first reading timed by it."""
        self._group.notes[NOTE_CLOCK] = _clock_note(self._clock)
        self._schedule(self._commit_s)

    async def run(self) -> None:
        """Commit whenever a group is due."""
        while True:
            await self._filled.wait()
            while (left := self._due - self._pace.monotonic()) > 0:
                self._hurry.clear()
                await wait_for(self._hurry, self._pace, left)
            # Whoever ends this task must not leave a group of which nobody knows whether it was committed.
            await asyncio.shield(self.commit())

    async def commit(self) -> None:
        """Commit what there is; a full disk is counted and leaves it for the next time."""
        async with self._committing:
            group, self._group = self._group, Group()
            self._filled.clear()
            if not group:
                return
            before = self._floors
            self._floors = before | group.floors
            self._pass_time(group)
            try:
                await self._backlog.append(group.entries(), group.notes)
            except Transient as error:
                self._floors = before
                self._failed(group, error)
            else:
                self._health.works("journal")
                if group.committed:
                    group.committed.set_result(None)

    def _failed(self, group: Group, error: Transient) -> None:
        self._health.failed("journal", str(error))
        self._backlog.crowded.set()
        given_up = self._group.take_back(group) + count(group.pushed)
        self._health.count("refused.disk", given_up)
        if self._group:
            self._schedule(self._commit_s)
        if group.committed:
            group.committed.set_exception(Transient(f"nothing was accepted: {error}"))

    async def _committed(self, wait_s: float) -> None:
        group = self._group
        if group.committed is None:
            group.committed = asyncio.get_running_loop().create_future()
            # Whoever waits may be cancelled; an exception that nobody fetches is then not worth a message.
            group.committed.add_done_callback(lambda future: future.exception())
        self._schedule(min(wait_s, self._commit_s))
        await asyncio.shield(group.committed)

    def _schedule(self, seconds: float) -> None:
        due = self._pace.monotonic() + seconds
        if not self._filled.is_set() or due < self._due:
            self._due = due
            self._filled.set()
            # Whoever waits for a later moment, also of a group that was committed meanwhile, looks again.
            self._hurry.set()

    def _look_at_clock(self) -> None:
        if self._clock.check():
            self.clock_changed()

    def _kind(self) -> Kind:
        return Kind.MAINTENANCE if self._maintenance() else Kind.READING

    def _take(self, packs: Packs, sensor: str, measured: Sequence[Measured], *, age_s: float) -> Rejected | None:
        """Time and keep the values; the first one that can never be a reading is returned."""
        rejected = None
        into = packs.setdefault((self._kind(), self._clock.setting.number), []) if measured else []
        for one in measured:
            try:
                value = check.measured(one)
                at = self._clock.stamp(sensor, one.quantity, age_s=age_s)
            except Rejected as error:
                self._health.count(f"refused.{error.reason}")
                rejected = rejected or error
                continue
            into.append(Reading(sensor, one.quantity, at, value))
        return rejected

    def _accept(self, reading: Pushed, interval_s: float) -> None:
        value = check.pushed(reading)
        key = (reading.sensor, reading.quantity)
        if key not in self._learned:
            self._learn(key, interval_s)
        at, setting = reading.measured_at, DEVICE_TIME.number
        if at is None:
            at, setting = self._clock.stamp(*key), self._clock.setting.number
        else:
            known = self._clock.setting.quality is not ClockQuality.UNSYNCED
            floor = self._group.floors.get(key) or self._floors.get(key, 0)
            check.moment(at, floor=floor, now=self._clock.now() if known else None)
            self._group.floors[key] = at
        self._group.pushed.setdefault((self._kind(), setting), []).append(Reading(*key, at, value))

    def _learn(self, key: _Key, interval_s: float) -> None:
        if len(self._learned) >= MAX_DATASTREAMS:
            raise Rejected("too_many_datastreams", f"{key[0]}/{key[1]}: the station has {MAX_DATASTREAMS} already")
        self._learned[key] = interval_s
        learned = [(*each, interval) for each, interval in self._learned.items()]
        self._group.notes[NOTE_DATASTREAMS] = msgspec.json.encode(learned)
        self._health.version += 1

    def _pass_time(self, group: Group) -> None:
        """Add what changed with the readings: the floors of devices' times, now and then the time itself."""
        if group.floors:
            group.notes[NOTE_FLOORS] = msgspec.json.encode([(*key, at) for key, at in self._floors.items()])
        if self._clock.latest > self._clock.now() + GRID_MS:
            group.notes[NOTE_LATEST] = str(self._clock.latest).encode()
        if abs(self._clock.now() - self._known) >= KNOWN_EVERY_MS:
            self._known = self._clock.now()
            group.notes[NOTE_KNOWN] = str(self._known).encode()


def _clock_note(clock: StationClock) -> bytes:
    return msgspec.json.encode(clock.dump())


def _load_floors(notes: Mapping[str, bytes]) -> dict[_Key, int]:
    rows = msgspec.json.decode(notes.get(NOTE_FLOORS, b"[]"), type=list[tuple[str, str, int]])
    return {(sensor, quantity): at for sensor, quantity, at in rows}


def _load_datastreams(notes: Mapping[str, bytes]) -> dict[_Key, float]:
    rows = msgspec.json.decode(notes.get(NOTE_DATASTREAMS, b"[]"), type=list[tuple[str, str, float]])
    return {(sensor, quantity): interval for sensor, quantity, interval in rows}
