"""The station's journal behind its one writer thread, and the condition that wakes whoever waits for new packs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hinomi.disk import Disk
from hinomi.journal.protocol import Entry, Journal

T = TypeVar("T")


class Backlog:
    """What was accepted and is not yet acknowledged.

    Attributes:
        changed: set when packs were appended; whoever looks for new ones clears it first.
        crowded: set when a refused append or a growing journal asks for thinning.
    """

    def __init__(self, journal: Journal, disk: Disk) -> None:
        self._journal = journal
        self._disk = disk
        self.changed = asyncio.Event()
        self.crowded = asyncio.Event()

    @property
    def stream(self) -> str:
        """The random id of the journal."""
        return self._journal.stream

    async def run(self, work: Callable[[Journal], T]) -> T:
        """Run ``work`` on the journal in the writer thread.

        Raises:
            Transient: the disk is full or failing.
        """
        return await self._disk.run(lambda: work(self._journal))

    async def append(self, entries: Sequence[Entry], notes: Mapping[str, bytes] | None = None) -> None:
        """Commit entries and notes together.

        Raises:
            Transient: the disk or the journal is full; nothing was committed.
        """
        await self.run(lambda journal: journal.append(entries, notes=notes))
        if entries:
            self.changed.set()
