"""Unix sockets that leave nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_LONGEST_LINE = 1 << 17


@asynccontextmanager
async def listening(path: Path, serve: Client) -> AsyncIterator[None]:
    """Serve each client on the unix socket ``path``; when left, clients are cut off and the socket is gone."""
    writers: set[asyncio.StreamWriter] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            await serve(reader, writer)
        except ConnectionError:
            return
        finally:
            writers.discard(writer)
            writer.close()

    with _fresh(path):
        server = await asyncio.start_unix_server(client, path, limit=_LONGEST_LINE)
        try:
            yield
        finally:
            server.close()
            for writer in list(writers):
                writer.close()


@contextmanager
def _fresh(path: Path) -> Iterator[None]:
    # A killed process leaves its socket in the file system; binding needs the name to be free.
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
