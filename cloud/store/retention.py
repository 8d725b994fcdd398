"""Raw readings end: a sweep now and then, in pieces small enough that nobody waits for it."""

from cloud.store.section import OpenStore
from hinomi.clock import Clock
from hinomi.errors import Transient

SWEEP_S = 3600.0
DAY_MS = 86_400_000


class Sweeper:
    """Lets a store go of what is older than its retention.

    Args:
        store: what is swept.
        days: how long readings are kept.
        clock: wall time of the readings.
        pace: real time between sweeps.

    Attributes:
        deleted: rows deleted since the start.
        problem: why the last sweep could not be done; None when it was.
    """

    def __init__(self, store: OpenStore, *, days: int, clock: Clock, pace: Clock) -> None:
        self.deleted = 0
        self.problem: str | None = None
        self._store = store
        self._days = days
        self._clock = clock
        self._pace = pace

    async def run(self) -> None:
        """Sweep for ever; a store that is away is asked again at the next round."""
        while True:
            await self.sweep()
            await self._pace.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """One round."""
        try:
            self.deleted += await self._store.expire(self._clock.now() - self._days * DAY_MS)
        except Transient as error:
            self.problem = str(error)
        else:
            self.problem = None
