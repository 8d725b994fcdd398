"""What consumers read: the arrival journal, decoded once for all of them.

A consumer is a named cursor. It asks for a batch, does its work durably, and says that it is done; a crash between
repeats the batch, which must be harmless. ``cloud.store.writer`` is below this package and names what it needs of
the feed by a Protocol of its own.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from cloud.ingest import arrival
from cloud.ingest.accounts import Account, Accounts
from cloud.ingest.commit import Commit
from cloud.ingest.limits import Limits
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.resolve import Resolver
from cloud.store.protocol import RefusedPoint
from hinomi.clock import Clock
from hinomi.disk import Disk
from hinomi.errors import Rejected
from hinomi.journal.protocol import Journal, Record, Refusal
from sensing.observation import Observation
from sensing.quantity import QUANTITIES
from sensing.senml import Header, Item, Pack
from sensing.senml import decode as decode_pack
from sensing.senml import encode as encode_pack
from sensing.topic import StationId

# The cursor whose consumer fills the store; its progress is the loss meter's.
STORE = "store"

CACHE_READINGS = 100_000
READ_RECORDS = 1000
READ_BYTES = 256 * 1024
TRIM_RECORDS = 2000
# On a full disk a trim has only the journal's head-room to work in.
TRIM_BYTES = 1 << 20
WARM_RECORDS = 1000


class Decoded(msgspec.Struct, frozen=True):
    """One pack as it was taken in.

    Attributes:
        seq: its number in the arrival journal (dense, rising).
        station: who sent it.
        received_at: cloud's wall time, ms.
        fresh: this (stream, seq) of the station was not seen before; a pack that is not fresh was resent and is
            stored again harmlessly.
        header: the station's journal labels; None for plain SenML of another maker's device.
        observations: the readings that were in order, with quality flags; may be empty.
    """

    seq: int
    station: StationId
    received_at: int
    fresh: bool
    header: Header | None
    observations: list[Observation]


class _Loaded(msgspec.Struct, frozen=True):
    """A pack with what its account needs: its size, and readings that this program no longer understands."""

    decoded: Decoded
    size: int
    late: Sequence[Refusal] = ()


class _Cursor:
    """Where a consumer stands, and what it was given since."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.given: list[_Loaded] = []


class Feed:
    """The arrival journal for consumers."""

    def __init__(
        self,
        journal: Journal,
        disk: Disk,
        resolver: Resolver,
        accounts: Accounts,
        limits: Limits,
        quarantine: Quarantine,
        *,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._disk = disk
        self._resolver = resolver
        self._accounts = accounts
        self._limits = limits
        self._quarantine = quarantine
        self._clock = clock
        self._head = 0
        self._trimmed = 0
        self._passed = 0
        self._cache: dict[int, _Loaded] = {}
        self._cached = 0
        self._oldest = 1
        self._cursors: dict[str, _Cursor] = {}
        self._moved = asyncio.Event()

    @property
    def head(self) -> int:
        """Number of the newest pack."""
        return self._head

    def load(self) -> None:
        """See where the journal ends; in the disk thread."""
        self._head = self._journal.stats().next_seq - 1
        self._oldest = self._head + 1

    def waiting(self) -> dict[StationId, Account]:
        """What the journal holds for the store, read through; in the disk thread, for ``Accounts.rebase``."""
        found: dict[StationId, Account] = {}
        after = self._journal.cursor(STORE)
        while records := self._journal.read(after, limit=READ_RECORDS, max_bytes=READ_BYTES):
            for record in records:
                came = arrival.decode(record.body)
                account = found.setdefault(came.sender, Account())
                account.stored += record.count if came.fresh else 0
                account.bytes += len(came.payload)
            after = records[-1].seq
        return found

    async def warm(self) -> None:
        """Let quality control see the end of the journal again, after a restart."""
        after = max(self._head - WARM_RECORDS, 0)
        records = await self._disk.run(lambda: self._journal.read(after, limit=WARM_RECORDS, max_bytes=READ_BYTES))
        for record in records:
            self._resolver.seed(self._decode(record).decoded.observations)

    def behind(self, cursor: str) -> int:
        """Packs that this consumer has not done yet."""
        known = self._cursors.get(cursor)
        return 0 if known is None else self._head - known.position

    def committed(self, commit: Commit) -> None:
        """Keep what was just decoded, and wake who waits."""
        seq = commit.first_seq
        for one in commit.kept:
            taken = one.taken
            decoded = Decoded(seq, taken.station, taken.received_at, one.fresh, taken.header, taken.observations)
            self._cache[seq] = _Loaded(decoded, len(taken.payload))
            self._cached += len(taken.observations)
            seq += 1
        if commit.kept:
            self._head = seq - 1
            self._evict()
            self._moved.set()
            self._moved = asyncio.Event()

    async def next_batch(self, cursor: str, *, limit: int, max_wait_s: float) -> list[Decoded]:
        """The packs behind ``cursor``, in order; never empty.

        Waits for a first pack as long as it takes (cancel it to stop). Then returns as soon as the packs hold
        ``limit`` observations, or ``max_wait_s`` after the first. A pack is never split, so a batch may hold more
        than ``limit``. The cursor stands still: until ``done``, the next call returns the same packs again.

        Raises:
            Transient: the journal cannot be read now.
        """
        state = await self._cursor(cursor)
        batch: list[_Loaded] = []
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        count = 0
        while True:
            after = batch[-1].decoded.seq if batch else state.position
            moved = self._moved
            more = await self._load(after, limit - count)
            batch += more
            count += sum(len(one.decoded.observations) for one in more)
            if count >= limit:
                break
            if more:
                continue
            if deadline is None and batch:
                deadline = loop.time() + max_wait_s
            if not await _set_before(moved, deadline):
                break
        state.given = batch
        return [one.decoded for one in batch]

    async def done(self, cursor: str, seq: int, refused: Sequence[RefusedPoint] = ()) -> None:
        """Every pack up to ``seq`` has had its effect, except for ``refused``, which goes to quarantine.

        Give all points the store refused since the last ``done``, with the very Observation objects of the batch.

        Raises:
            Transient: the journal cannot be written now; call it again with the same arguments.
        """
        state = await self._cursor(cursor)
        if seq <= state.position:
            return
        done = [one for one in state.given if one.decoded.seq <= seq]
        if cursor == STORE:
            await self._account(done, seq, refused)
        else:
            await self._disk.run(lambda: self._advance(cursor, seq))
        self._passed += sum(one.size for one in done)
        state.position = seq
        state.given = state.given[len(done) :]
        self._evict()

    def _advance(
        self, cursor: str, seq: int, notes: Mapping[str, bytes] | None = None, refusals: Sequence[Refusal] = ()
    ) -> None:
        self._journal.advance(cursor, seq, notes=notes, refusals=refusals)
        if seq - self._trimmed >= TRIM_RECORDS or self._passed >= TRIM_BYTES or seq == self._head:
            self._journal.trim()
            self._trimmed = seq
            self._passed = 0

    async def _account(self, done: Sequence[_Loaded], seq: int, refused: Sequence[RefusedPoint]) -> None:
        """Commit the cursor and what became of the packs; only fresh ones count."""
        changes: dict[StationId, Account] = {}
        refusals: list[Refusal] = []
        for one in done:
            decoded = one.decoded
            change = changes.get(decoded.station)
            if change is None:
                change = changes[decoded.station] = Account()
            change.bytes += one.size
            if decoded.fresh:
                change.stored += len(decoded.observations)
                if one.late:
                    change.refused += sum(refusal.count for refusal in one.late)
                    refusals += one.late
        if refused:
            counted = {id(point) for one in done if one.decoded.fresh for point in one.decoded.observations}
            refusals += _refusals([p for p in refused if id(p.observation) in counted], changes, self._clock.now())
        after, notes = self._accounts.prepared(changes)
        await self._disk.run(lambda: self._advance(STORE, seq, notes, refusals))
        self._accounts.committed(after)
        self._quarantine.added(refusals)
        for station, change in changes.items():
            self._limits.released(station, change.bytes)

    async def _cursor(self, name: str) -> _Cursor:
        state = self._cursors.get(name)
        if state is None:
            position = await self._disk.run(lambda: self._journal.cursor(name))
            state = self._cursors.setdefault(name, _Cursor(position))
        return state

    async def _load(self, after: int, want: int) -> list[_Loaded]:
        """Packs behind ``after`` with about ``want`` observations, from memory where they are, else read."""
        last = self._head
        if after >= last:
            return []
        found = []
        count, seq, cache = 0, after + 1, self._cache
        while count < want and seq <= last and (one := cache.get(seq)) is not None:
            found.append(one)
            count += len(one.decoded.observations)
            seq += 1
        if found:
            return found
        limit = min(READ_RECORDS, last - after)
        records = await self._disk.run(lambda: self._journal.read(after, limit=limit, max_bytes=READ_BYTES))
        return [self._decode(record) for record in records]

    def _decode(self, record: Record) -> _Loaded:
        came = arrival.decode(record.body)
        station = came.sender
        try:
            pack = decode_pack(came.payload, now_ms=came.received_at)
        except Rejected as error:
            # Taken by an earlier version of this program, not understood by this one.
            refusal = Refusal(
                error.reason, error.detail, str(station), came.payload, came.received_at, record.count
            )
            return _Loaded(
                Decoded(record.seq, station, came.received_at, came.fresh, None, []), len(came.payload), [refusal]
            )
        outcome = self._resolver.again(station, pack, came.skip, came.flags)
        late = [
            Refusal(
                bad.reason,
                bad.detail,
                str(station),
                encode_pack(Pack(None, [pack.records[bad.index]])),
                came.received_at,
                1,
            )
            for bad in outcome.bad
        ]
        decoded = Decoded(record.seq, station, came.received_at, came.fresh, pack.header, outcome.observations)
        return _Loaded(decoded, len(came.payload), late)

    def _evict(self) -> None:
        """Forget what all consumers have done, then the oldest beyond the cache's size."""
        done = min((cursor.position for cursor in self._cursors.values()), default=0)
        # Numbers are dense, so the oldest is known; next(iter(...)) of a dict that is emptied in front is slow.
        oldest = self._oldest
        while oldest <= self._head and (oldest <= done or self._cached > CACHE_READINGS):
            one = self._cache.pop(oldest, None)
            if one is not None:
                self._cached -= len(one.decoded.observations)
            oldest += 1
        self._oldest = oldest


def _refusals(points: Sequence[RefusedPoint], changes: dict[StationId, Account], now: int) -> list[Refusal]:
    """Rows for the quarantine, one for each thing the store said of a station; moves the accounts."""
    grouped: dict[tuple[StationId, str, str], list[Observation]] = {}
    for point in points:
        stream = point.observation.datastream
        station = StationId(stream.community, stream.station)
        grouped.setdefault((station, point.reason, point.detail), []).append(point.observation)
        changes[station].stored -= 1
        changes[station].refused += 1
    return [
        Refusal(reason, detail, str(station), _body(observations), now, len(observations))
        for (station, reason, detail), observations in grouped.items()
    ]


def _body(observations: Sequence[Observation]) -> bytes:
    items = []
    for one in observations:
        stream = one.datastream
        name = f"{stream.community}/{stream.station}/{stream.sensor}/{stream.quantity}"
        unit = QUANTITIES[stream.quantity].wire_unit or None
        items.append(Item(name, unit, one.measured_at, one.value))
    return encode_pack(Pack(None, items))


async def _set_before(event: asyncio.Event, deadline: float | None) -> bool:
    """Whether the event came before the deadline (of the loop's clock); without one, wait for it."""
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True
