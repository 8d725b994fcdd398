"""A clock that tests own."""

import asyncio
import heapq
import itertools


class ManualClock:
    """Time stands still until ``advance``; sleepers wake in order as it passes them."""

    def __init__(self, now_ms: int = 1_700_000_000_000, monotonic: float = 1000.0) -> None:
        self._now = now_ms
        self._monotonic = monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def step(self, delta_ms: int) -> None:
        """Set the wall clock, as NTP or a person would; time since boot goes on undisturbed."""
        self._now += delta_ms

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Pass ``seconds``, waking each sleeper at its own moment and letting tasks run in between."""
        end = self._monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._pass(due - self._monotonic)
            if not future.done():
                future.set_result(None)
            await settle()
        self._pass(end - self._monotonic)
        await settle()

    def tick(self, seconds: float) -> None:
        """Pass ``seconds`` for code that never sleeps."""
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        if seconds > 0:
            self._monotonic += seconds
            self._now += round(seconds * 1000)


async def settle(rounds: int = 20) -> None:
    """Let the tasks that are ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)
