"""A feed in memory, for the writer alone."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from cloud.store.protocol import RefusedPoint
from hinomi.errors import Transient
from sensing.observation import Observation


class ListPack(msgspec.Struct, frozen=True):
    seq: int
    observations: list[Observation]


class ListFeed:
    """Packs in a list, a cursor, and what was refused; ``failures`` are raised by the next calls."""

    def __init__(self) -> None:
        self.packs: list[ListPack] = []
        self.cursor = 0
        self.refused: list[RefusedPoint] = []
        self.done_calls: list[int] = []
        self.failures: list[Exception] = []
        self.largest = 0
        self._grown = asyncio.Event()

    def put(self, observations: Sequence[Observation]) -> None:
        self.packs.append(ListPack(len(self.packs) + 1, list(observations)))
        self._grown.set()

    @property
    def behind(self) -> int:
        return sum(len(pack.observations) for pack in self.packs[self.cursor :])

    async def next_batch(self, cursor: str, *, limit: int, max_wait_s: float) -> list[ListPack]:
        assert cursor == "store"
        assert max_wait_s < 1
        self._fail()
        while self.cursor == len(self.packs):
            self._grown.clear()
            await self._grown.wait()
        batch: list[ListPack] = []
        count = 0
        for pack in self.packs[self.cursor :]:
            batch.append(pack)
            count += len(pack.observations)
            if count >= limit:
                break
        else:
            await asyncio.sleep(0)
        self.largest = max(self.largest, count)
        return batch

    async def done(self, cursor: str, seq: int, refused: Sequence[RefusedPoint] = ()) -> None:
        assert cursor == "store"
        self._fail()
        assert seq > self.cursor
        self.cursor = seq
        self.done_calls.append(seq)
        self.refused += refused

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait in real time for what other threads do."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


def away(text: str = "away", retry_after: float | None = None) -> Transient:
    return Transient(text, retry_after=retry_after)
