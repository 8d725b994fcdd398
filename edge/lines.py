"""One JSON object a line over a unix stream socket: request, answer, request, answer."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from hinomi.errors import Transient

# A line holds a few thousand readings.
MAX_LINE = 512 * 1024
MAX_CLIENTS = 64

Handler = Callable[[bytes], Awaitable[dict[str, Any]]]


class LineServer:
    """Listens on a unix socket; enter it, then ``run()`` until cancelled.

    Args:
        path: where; a socket left behind by a killed process is replaced, a living one is not.
        handler: answers one line; ``msgspec.DecodeError`` and ``Transient`` become ``{"error": …}``.
        mode: permissions of the socket.
    """

    def __init__(self, path: Path, handler: Handler, *, mode: int) -> None:
        self._path = path
        self._handler = handler
        self._mode = mode
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        sock = _bind(self._path, self._mode)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_LINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def run(self) -> None:
        """Serve until cancelled; accepting is the event loop's work already."""
        await asyncio.Event().wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        if len(self._clients) >= MAX_CLIENTS:
            writer.close()
            return
        self._clients.add(task)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except ValueError:
            # A line longer than the limit; where the next one begins is not known any more.
            writer.write(msgspec.json.encode({"error": f"a line is longer than {MAX_LINE} bytes"}) + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            # The client went away, or we do; either way there is nobody to answer.
            return
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return await self._handler(line)
        except msgspec.DecodeError as error:
            return {"error": f"not understood: {error}"}
        except Transient as error:
            return {"error": f"try again: {error}"}


async def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request and return its answer.

    Raises:
        OSError: nobody listens there.
        msgspec.DecodeError: what answers is not ours.
    """
    with _short(path) as short:
        reader, writer = await asyncio.open_unix_connection(short, limit=MAX_LINE)
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        answer: dict[str, Any] = msgspec.json.decode(await reader.readline())
        return answer
    finally:
        writer.close()


def _bind(path: Path, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            if path.is_socket() and not _alive(short):
                path.unlink()
            sock.bind(short)
        path.chmod(mode)
    except OSError as error:
        sock.close()
        raise Transient(
            f"the socket {path} cannot be made ({error.strerror}): does another agent run, may we write there?"
        ) from error
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return sock


def _alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


class _short:  # noqa: N801 - a function to its users
    """A path of any length as one that fits the 107 bytes of a socket's address, by the folder's descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> str:
        self._folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._folder)
