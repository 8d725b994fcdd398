"""The writer: the consumer of the arrival journal that fills the store.

It takes a batch, writes it, and only then moves its cursor; a crash between repeats the batch, which is harmless
because writing is idempotent. While the store is away it holds one batch, nothing more: the journal keeps the rest,
and when the store is back, batches of full size drain it.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Protocol, TypeVar

from cloud.store.protocol import RefusedPoint, Store
from hinomi.clock import Clock
from hinomi.errors import Transient
from sensing.observation import Observation

T = TypeVar("T")

CURSOR = "store"
BATCH = 5000
# Gathering for a moment makes batches of what trickles in: each costs a request and a flush to the disk.
GATHER_S = 0.02
BACKOFF_S = 0.5
BACKOFF_MAX_S = 30.0


class Pack(Protocol):
    """What the writer needs of a decoded pack; ``cloud.ingest.feed.Decoded`` is one."""

    @property
    def seq(self) -> int:
        """Its number in the arrival journal."""
        ...

    @property
    def observations(self) -> Sequence[Observation]:
        """Its readings; may be empty."""
        ...


class Feed(Protocol):
    """What the writer needs of the arrival journal; ``cloud.ingest.feed.Feed`` is one."""

    async def next_batch(self, cursor: str, *, limit: int, max_wait_s: float) -> Sequence[Pack]:
        """Packs behind the cursor, never none; Transient when the journal cannot be read."""
        ...

    async def done(self, cursor: str, seq: int, refused: Sequence[RefusedPoint] = ()) -> None:
        """All up to ``seq`` is stored but ``refused``; Transient when the journal cannot be written."""
        ...


class Writer:
    """From the feed into the store.

    Args:
        feed: the arrival journal.
        store: where to; usually a ``RoutedStore``.
        pace: real time, for back-off.
        random: jitter.
        stored: told of each batch once it can be read in the store.

    Attributes:
        written: observations given to the store and not refused, repetitions counted again.
        refused: observations the store refused.
        batches: how many were done.
        retries: attempts that ended in Transient.
        problem: why the last attempt failed, in plain words; None while all is well.
    """

    def __init__(
        self,
        feed: Feed,
        store: Store,
        *,
        pace: Clock,
        random: Random,
        stored: Callable[[Sequence[Observation]], None] = lambda _: None,
    ) -> None:
        self.written = 0
        self.refused = 0
        self.batches = 0
        self.retries = 0
        self.problem: str | None = None
        self._feed = feed
        self._store = store
        self._pace = pace
        self._random = random
        self._stored = stored
        self._failures = 0

    async def run(self) -> None:
        """Write for ever; cancel it to stop, at any moment."""
        while True:
            await self.step()

    async def step(self) -> None:
        """One batch, to its end, however often it takes."""
        packs = await self._until_done(lambda: self._feed.next_batch(CURSOR, limit=BATCH, max_wait_s=GATHER_S))
        batch = [o for pack in packs for o in pack.observations]
        refused = await self._until_done(lambda: self._store.write(batch))
        self._stored(batch)
        await self._until_done(lambda: self._feed.done(CURSOR, packs[-1].seq, refused))
        self.batches += 1
        self.refused += len(refused)
        self.written += len(batch) - len(refused)

    async def _until_done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again after each Transient: at once never, and ever more slowly up to a limit."""
        while True:
            try:
                result = await attempt()
            except Transient as error:
                self.retries += 1
                self.problem = str(error)
                await self._pace.sleep(self._delay(error.retry_after))
            else:
                self.problem = None
                self._failures = 0
                return result

    def _delay(self, asked: float | None) -> float:
        """Seconds: doubling with jitter, and never sooner than the other side asked for."""
        ceiling = min(BACKOFF_S * 2.0 ** min(self._failures, 16), BACKOFF_MAX_S)
        self._failures += 1
        return max(self._random.uniform(ceiling / 2, ceiling), asked or 0.0)
