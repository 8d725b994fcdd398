"""How a command reaches quarantine and store: a unix socket of the running service, one JSON line each way.

The same ``answer`` serves a command that opens the journal itself because no service is running.
"""

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from cloud.ingest.quarantine import Desk
from cloud.store.protocol import Store
from hinomi.errors import ConfigError, HinomiError, Rejected
from hinomi.journal.protocol import Refusal

_LINE = 1 << 20


class Request(msgspec.Struct, frozen=True):
    """What is asked.

    Attributes:
        op: ``list``, ``show``, ``replay`` or ``delete`` in the quarantine; ``erase`` in the store.
        ids: rows, for ``show``, ``replay`` and ``delete``.
        after: ``list`` begins behind this id.
        limit: rows in one answer to ``list``.
        community: whose readings, in the store.
        station: only this one's.
        before: only those measured before, ms.
    """

    op: str
    ids: list[int] = []
    after: int = 0
    limit: int = 100
    community: str = ""
    station: str | None = None
    before: int | None = None


def socket_path(journal: Path) -> Path:
    """Where the socket of the service with this journal is."""
    return journal.with_name(f"{journal.name}.sock")


async def answer(desk: Desk, request: Request, store: Store | None = None) -> dict[str, Any]:
    """What desk or store say; ``error`` where they cannot."""
    try:
        match request.op:
            case "list":
                rows = await desk.rows(request.after, min(max(request.limit, 1), 1000))
                return {"rows": [_row(row) for row in rows]}
            case "show":
                shown = [await desk.row(number) for number in request.ids]
                return {"rows": [_row(row) | {"body": base64.b64encode(row.body).decode()} for row in shown]}
            case "replay":
                return {"results": msgspec.to_builtins(await desk.replay(request.ids))}
            case "delete":
                return {"results": msgspec.to_builtins(await desk.delete(request.ids))}
            case "erase" if store is not None:
                await store.erase(request.community, station=request.station, before=request.before)
                return {"erased": True}
        raise Rejected("bad_request", f"no operation {request.op!r}")
    except HinomiError as error:
        return {"error": str(error)}


def _row(row: Refusal) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": row.at,
        "source": row.source,
        "reason": row.reason,
        "detail": row.detail,
        "readings": row.count,
        "bytes": len(row.body),
    }


@contextlib.asynccontextmanager
async def serve(desk: Desk, path: Path, store: Store | None = None) -> AsyncIterator[None]:
    """Answer on the socket while inside; only its owner may connect.

    Raises:
        ConfigError: it cannot be made there.
    """

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, msgspec.DecodeError, ValueError):
            while line := await reader.readline():
                said = await answer(desk, msgspec.json.decode(line, type=Request), store)
                writer.write(msgspec.json.encode(said) + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(client, sock=_bound(path), limit=_LINE)
    try:
        async with server:
            yield
    finally:
        _removed(path)


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of the socket that fits: the kernel takes 107 bytes, folders can be longer."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        _removed(path)
        with _short(path) as name:
            sock.bind(name)
        path.chmod(0o600)
    except OSError as error:
        sock.close()
        raise ConfigError.of("journal.path", f"the socket {str(path)!r} cannot be made: {error}") from error
    return sock


def _removed(path: Path) -> None:
    path.unlink(missing_ok=True)


async def ask(path: Path, request: Request) -> dict[str, Any] | None:
    """The running service's answer; None when no service is there."""
    try:
        with _short(path) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=64 << 20)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    writer.write(msgspec.json.encode(request) + b"\n")
    line = await reader.readline()
    writer.close()
    said: dict[str, Any] = msgspec.json.decode(line)
    return said
