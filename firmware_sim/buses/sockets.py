"""Unix sockets that leave nothing behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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

        server = await asyncio.start_unix_server(connected, path, limit=_LONGEST_LINE)
        try:
            yield
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            _remove(path)


async def _client(serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
    finally:
        writer.close()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
