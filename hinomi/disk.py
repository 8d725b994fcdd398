"""One thread that does a process's durable writes, and writes that cancellation cannot tear.

A cancelled task must not leave a write running while its owner closes the file: the write is shielded, awaited to
its end, and only then is the cancellation raised again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Disk:
    """The writer thread; enter it before what it writes to, leave it after."""

    def __init__(self, name: str = "disk") -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What still runs may take as long as the disk does; the loop goes on meanwhile.
        await asyncio.shield(asyncio.to_thread(self._pool.shutdown))

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the writer thread, in the order of the calls, and return what it returns.

        A cancellation waits for ``work`` to end; whatever ``work`` raised is then secondary to it.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():  # cancelled again while waiting: still not before the write has ended
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            raise
