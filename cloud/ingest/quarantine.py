"""What was set aside: how much it is, and what a person can do with it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from cloud.ingest.commit import REPLAYED, Commit, Taken
from hinomi.disk import Disk
from hinomi.errors import Rejected
from hinomi.journal.protocol import Journal, Refusal
from sensing.topic import StationId

_LATELY = 4096
_PAGE = 200
_TOGETHER = 100

Judge = Callable[[StationId, bytes], Taken]
Add = Callable[[Taken], Awaitable[bool]]


class Result(msgspec.Struct, frozen=True):
    """What became of one row.

    Attributes:
        id: the row.
        done: it is replayed or deleted, and gone.
        note: plain words.
        taken: readings taken in now.
        refused: readings that were refused again, in a row of their own.
    """

    id: int
    done: bool
    note: str
    taken: int = 0
    refused: int = 0


_AGAIN = "the connection to the broker was lost just now; look again"


class Quarantine:
    """Counts what is in the table beside the arrival journal, and knows what was set aside lately.

    Args:
        rows: more are not kept.
        size: more bytes of bodies are not kept.
    """

    def __init__(self, rows: int, size: int) -> None:
        self._max_rows = rows
        self._max_bytes = size
        self._rows = 0
        self._bytes = 0
        self._lately: dict[int, None] = {}

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._rows

    def is_full(self) -> bool:
        """Whether a further row would be too many; a person must look."""
        return self._rows >= self._max_rows or self._bytes >= self._max_bytes

    def holds(self, refusal: Refusal) -> bool:
        """Whether the same was set aside lately: a station repeats for ever what it gets no acknowledgement for."""
        return _mark(refusal) in self._lately

    def added(self, refusals: Iterable[Refusal]) -> None:
        """These rows are in the table now."""
        for refusal in refusals:
            self._rows += 1
            self._bytes += len(refusal.body)
            if len(self._lately) >= _LATELY:
                del self._lately[next(iter(self._lately))]
            self._lately[_mark(refusal)] = None

    def committed(self, commit: Commit) -> None:
        """A group was committed."""
        self.added(commit.refusals)
        for row in commit.replayed:
            self._rows -= 1
            self._bytes -= len(row.body)

    def load(self, journal: Journal) -> None:
        """Count, and finish a replay that was interrupted between its commit and its tidying up."""
        replayed = journal.note(REPLAYED)
        if replayed:
            journal.forget_refusals(msgspec.msgpack.decode(replayed, type=list[int]))
        after = 0
        while rows := journal.refusals(after, _PAGE):
            self.added(rows)
            after = rows[-1].id


def _mark(refusal: Refusal) -> int:
    return hash((refusal.source, refusal.reason, refusal.body))


class Desk:
    """List, show, replay, delete: for ``hinomi cloud quarantine``."""

    def __init__(self, journal: Journal, disk: Disk, *, judge: Judge, add: Add) -> None:
        self._journal = journal
        self._disk = disk
        self._judge = judge
        self._add = add
        self._busy: set[int] = set()

    async def rows(self, after: int, limit: int) -> list[Refusal]:
        """Rows with a higher id, in order."""
        return await self._disk.run(lambda: self._journal.refusals(after, limit))

    async def row(self, number: int) -> Refusal:
        """One row.

        Raises:
            Rejected: ``not_found``.
        """
        found = await self.rows(number - 1, 1)
        if not found or found[0].id != number:
            raise Rejected("not_found", f"the quarantine has no row {number}")
        return found[0]

    async def replay(self, numbers: Sequence[int]) -> list[Result]:
        """Judge rows again, now that a unit, a quantity or the program has been put right."""
        return await self._each(self._replay, numbers)

    async def delete(self, numbers: Sequence[int]) -> list[Result]:
        """Give rows up; their readings count as written off from then on."""
        return await self._each(self._delete, numbers)

    async def _each(
        self, work: Callable[[Refusal, StationId], Awaitable[Result]], numbers: Sequence[int]
    ) -> list[Result]:
        """Some at a time, so that they share commits; the same number once."""
        unique = list(dict.fromkeys(numbers))
        results: list[Result] = []
        for start in range(0, len(unique), _TOGETHER):
            some = unique[start : start + _TOGETHER]
            results += await asyncio.gather(*(self._one(work, number) for number in some))
        return results

    async def _one(self, work: Callable[[Refusal, StationId], Awaitable[Result]], number: int) -> Result:
        if number in self._busy:
            return Result(number, done=False, note="somebody else is at it")
        self._busy.add(number)
        try:
            refusal = await self.row(number)
            return await work(refusal, StationId.parse(refusal.source))
        except Rejected as error:
            return Result(number, done=False, note=error.detail)
        except ValueError as error:
            return Result(number, done=False, note=str(error))
        finally:
            self._busy.discard(number)

    async def _replay(self, refusal: Refusal, station: StationId) -> Result:
        taken = self._judge(station, refusal.body)
        if not taken.good:
            why = "; ".join(f"{one.reason}: {one.detail}" for one in taken.refusals) or "it holds no reading"
            return Result(refusal.id, done=False, note=why)
        taken.replay = refusal
        if not await self._add(taken):
            return Result(refusal.id, done=False, note=_AGAIN)
        return Result(refusal.id, done=True, note="taken in", taken=taken.good, refused=taken.refused)

    async def _delete(self, refusal: Refusal, station: StationId) -> Result:
        taken = Taken(station, refusal.at, None, b"", keep=False, replay=refusal)
        if not await self._add(taken):
            return Result(refusal.id, done=False, note=_AGAIN)
        return Result(refusal.id, done=True, note=f"deleted; {refusal.count} readings are written off")
