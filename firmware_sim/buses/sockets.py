"""Unix sockets that leave nothing behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_LONGEST_LINE = 1 << 17


@asynccontextmanager
async def listening(path: Path, serve: Serve) -> AsyncIterator[None]:
    """Serve each client on the unix socket ``path``; when left, clients are cut off and the socket is gone."""
    tasks: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Not left to asyncio, which (3.11) complains of each client that is still there at the end.
            task = group.create_task(_client(serve, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        with _fresh(path):
            server = await asyncio.start_unix_server(connected, path, limit=_LONGEST_LINE)
            try:
                yield
            finally:
                server.close()
                for task in tasks:
                    task.cancel()


async def _client(serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
    finally:
        writer.close()


@contextmanager
def _fresh(path: Path) -> Iterator[None]:
    # A killed process leaves its socket in the file system; binding needs the name to be free.
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
