"""What was set aside: how much it is, and what a person can do with it."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from cloud.ingest.commit import REPLAYED, Commit, Taken
from hinomi.disk import Disk
from hinomi.errors import Rejected
from hinomi.journal.protocol import Journal, Refusal
from sensing.topic import StationId

Judge = Callable[[StationId, bytes], Taken]
Add = Callable[[Taken], Awaitable[bool]]


class Result(msgspec.Struct, frozen=True):
    """What became of one row: readings taken in now, readings still refused, and why."""

    id: int
    taken: int
    refused: int
    note: str


class Quarantine:
    """Counts the rows of the table beside the arrival journal."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows = 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._rows

    def is_full(self) -> bool:
        """Whether a further row would be too many; a person must look."""
        return self._rows >= self._limit

    def added(self, count: int) -> None:
        """So many rows came, or went (negative)."""
        self._rows += count

    def committed(self, commit: Commit) -> None:
        """A group was committed."""
        self._rows += commit.refusals - len(commit.replayed)

    def load(self, journal: Journal) -> None:
        """Count, and finish a replay that was interrupted between its commit and its tidying up."""
        replayed = journal.note(REPLAYED)
        if replayed:
            journal.forget_refusals(msgspec.msgpack.decode(replayed, type=list[int]))
        self._rows = journal.stats().quarantined


class Desk:
    """List, show, replay, delete: for ``hinomi cloud quarantine``."""

    def __init__(self, journal: Journal, disk: Disk, quarantine: Quarantine, *, judge: Judge, add: Add) -> None:
        self._journal = journal
        self._disk = disk
        self._quarantine = quarantine
        self._judge = judge
        self._add = add

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
        return [await self._replay(number) for number in numbers]

    async def delete(self, numbers: Sequence[int]) -> list[Result]:
        """Give rows up; their readings count as written off from then on."""
        return [await self._delete(number) for number in numbers]

    async def _replay(self, number: int) -> Result:
        try:
            refusal = await self.row(number)
            station = StationId.parse(refusal.source)
        except Rejected as error:
            return Result(number, 0, 0, error.detail)
        except ValueError as error:
            return Result(number, 0, 0, str(error))
        taken = self._judge(station, refusal.body)
        if not taken.good:
            why = "; ".join(f"{one.reason}: {one.detail}" for one in taken.refusals) or "it holds no reading"
            return Result(number, 0, taken.refused, why)
        taken.replay = refusal
        if not await self._add(taken):
            return Result(number, 0, 0, "the connection to the broker was lost just now; try again")
        return Result(number, taken.good, taken.refused, "taken in")

    async def _delete(self, number: int) -> Result:
        try:
            refusal = await self.row(number)
        except Rejected as error:
            return Result(number, 0, 0, error.detail)
        taken = Taken(StationId.parse(refusal.source), refusal.at, None, b"", keep=False, replay=refusal)
        if not await self._add(taken):
            return Result(number, 0, 0, "the connection to the broker was lost just now; try again")
        return Result(number, 0, 0, f"deleted; {refusal.count} readings are written off")
