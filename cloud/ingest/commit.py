"""Group commit: what arrives while a commit is in progress forms the next group.

One task commits. All groups together are bounded by the link's window, because a message that is in a group is not
acknowledged yet.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from cloud.ingest import arrival
from cloud.ingest.arrival import Arrival
from cloud.ingest.metrics import Counters
from cloud.ingest.tracker import Key, Tracker
from hinomi.clock import Clock
from hinomi.disk import Disk
from hinomi.errors import Transient
from hinomi.journal.protocol import Entry, Journal, Refusal
from sensing.observation import Observation
from sensing.senml import Header
from sensing.topic import StationId

log = logging.getLogger(__name__)

RETRY_S = 1.0
# One transaction must fit into the journal's head-room several times, else a full disk could not be emptied.
GROUP_BYTES = 1 << 20
# The rows of the quarantine that the last commit took in; they are deleted after it.
REPLAYED = "replayed"


class Taken(msgspec.Struct):
    """One message on its way to the disk.

    Attributes:
        station: who sent it.
        received_at: ms.
        header: None for plain SenML, and for what could not be read at all.
        payload: as it came.
        keep: it goes into the arrival journal.
        good: readings in order.
        refused: readings in ``refusals``, as far as known.
        refusals: what goes to quarantine if this pack is fresh.
        observations: the good readings.
        skip: indices of refused records.
        flags: (index, flags) by quality control.
        written_off: bad readings for which the quarantine has no room.
        replay: the row of the quarantine that this was until now.
    """

    station: StationId
    received_at: int
    header: Header | None
    payload: bytes
    keep: bool
    good: int = 0
    refused: int = 0
    refusals: Sequence[Refusal] = ()
    observations: list[Observation] = []
    skip: tuple[int, ...] = ()
    flags: tuple[tuple[int, int], ...] = ()
    written_off: int = 0
    replay: Refusal | None = None


class Kept(msgspec.Struct):
    """A pack that is in the arrival journal now."""

    taken: Taken
    fresh: bool


class Commit(msgspec.Struct):
    """What one commit made durable.

    Attributes:
        first_seq: arrival number of the first of ``kept``; the others follow.
        kept: packs in the arrival journal.
        changed: streams that moved, or were resent, with the numbers of the packs that came.
        refusals: rows added to the quarantine.
        replayed: quarantine rows that were taken in, or deleted, by this.
    """

    first_seq: int
    kept: list[Kept]
    changed: dict[Key, set[int]]
    refusals: list[Refusal]
    replayed: list[Refusal]


class Committed(Protocol):
    """Who is told after each commit; called in the event loop, before the senders are acknowledged."""

    def committed(self, commit: Commit) -> None:
        """Something is durable now."""
        ...


class _Sealed(msgspec.Struct):
    entries: list[Entry]
    refusals: list[Refusal]
    notes: dict[str, bytes]
    kept: list[Kept]
    replayed: list[Refusal]


class _Group:
    """Messages and the one future that all their handlers wait for."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.bytes = 0
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def resolve(self, *, committed: bool) -> None:
        if not self.done.done():
            self.done.set_result(committed)


class Committer:
    """Commits groups to the arrival journal.

    Attributes:
        problem: why commits fail, in words; None while they succeed.
    """

    def __init__(
        self,
        journal: Journal,
        disk: Disk,
        tracker: Tracker,
        counters: Counters,
        listeners: Sequence[Committed],
        *,
        pace: Clock,
    ) -> None:
        self.problem: str | None = None
        self._journal = journal
        self._disk = disk
        self._tracker = tracker
        self._counters = counters
        self._listeners = listeners
        self._pace = pace
        self._waiting: deque[_Group] = deque()
        self._committing: _Group | None = None
        self._wake = asyncio.Event()

    def add(self, taken: Taken) -> asyncio.Future[bool]:
        """Put a message into the next group; the future tells whether it was committed (False: stale)."""
        waiting = self._waiting
        if not waiting or waiting[-1].bytes >= GROUP_BYTES:
            waiting.append(_Group())
            self._wake.set()
        group = waiting[-1]
        group.taken.append(taken)
        group.bytes += len(taken.payload)
        return group.done

    def forget(self) -> None:
        """The connection is gone: nobody can be acknowledged, and the broker will deliver everything again.

        A group that is being committed still ends well or badly, but its senders are stale.
        """
        while self._waiting:
            self._waiting.popleft().resolve(committed=False)
        if self._committing is not None:
            self._committing.resolve(committed=False)

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group = self._committing = self._waiting.popleft()
                try:
                    await self._commit(group)
                finally:
                    group.resolve(committed=False)
                    self._committing = None

    async def _commit(self, group: _Group) -> None:
        sealed = self._seal(group.taken)
        seqs = await self._append(sealed)
        if sealed.replayed:
            await self._disk.run(lambda: self._journal.forget_refusals([row.id for row in sealed.replayed]))
        changed = self._tracker.committed()
        commit = Commit(seqs.start, sealed.kept, changed, sealed.refusals, sealed.replayed)
        for listener in self._listeners:
            listener.committed(commit)
        group.resolve(committed=True)

    def _seal(self, group: Sequence[Taken]) -> _Sealed:
        """Decide what is fresh, in order of arrival, and turn it into what the journal takes."""
        sealed = _Sealed([], [], {}, [], [])
        for taken in group:
            fresh = self._count(taken, sealed)
            if fresh:
                sealed.refusals.extend(taken.refusals)
            else:
                self._counters.resent += 1
            if taken.keep:
                sealed.entries.append(Entry(_body(taken, fresh=fresh), taken.good))
                sealed.kept.append(Kept(taken, fresh))
                self._counters.readings += taken.good
        for refusal in sealed.refusals:
            self._counters.refused[refusal.reason] += max(refusal.count, 1)
        sealed.notes = self._tracker.notes()
        if sealed.replayed:
            sealed.notes[REPLAYED] = msgspec.msgpack.encode([row.id for row in sealed.replayed])
        return sealed

    def _count(self, taken: Taken, sealed: _Sealed) -> bool:
        """Enter a message into the tracker's changes; whether it is fresh."""
        size = len(taken.payload) if taken.keep else 0
        if taken.replay is not None:
            sealed.replayed.append(taken.replay)
            if taken.replay.count:
                self._tracker.replay(taken.station, taken.replay.count, taken.good, taken.refused, size)
                return True
        if taken.header is None and not taken.good and not taken.refused:
            return True
        return self._tracker.take(
            taken.station,
            taken.header,
            good=taken.good,
            refused=taken.refused,
            written_off=taken.written_off,
            size=size,
            at=taken.received_at,
        )

    async def _append(self, sealed: _Sealed) -> range:
        """Until it succeeds: a full disk stops all acknowledging, and ends by itself."""
        while True:
            begun = self._pace.monotonic()
            try:
                seqs = await self._disk.run(
                    lambda: self._journal.append(sealed.entries, refusals=sealed.refusals, notes=sealed.notes)
                )
            except Transient as error:
                self._counters.commit_failures += 1
                if self.problem is None:
                    log.warning("arrival journal: %s; nothing is acknowledged until this ends", error)
                self.problem = f"nothing can be committed, so nothing is acknowledged: {error}"
                await self._pace.sleep(RETRY_S)
                continue
            if self.problem is not None:
                log.warning("arrival journal: commits succeed again")
            self.problem = None
            self._counters.commits += 1
            self._counters.commit_seconds += self._pace.monotonic() - begun
            return seqs


def _body(taken: Taken, *, fresh: bool) -> bytes:
    station = taken.station
    return arrival.encode(
        Arrival(
            station.community, station.station, taken.received_at, fresh, taken.payload, taken.skip, taken.flags
        )
    )
