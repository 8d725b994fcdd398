"""A TCP proxy that breaks connections on purpose.

It runs in threads of its own, so that a test may be synchronous or not, and a stalled event loop does not hide a
fault. ``up`` is what the client sends, ``down`` what the server sends.

    with FaultProxy(broker.port) as proxy:      # clients connect to proxy.port
        proxy.cut()                             # reset all connections now; new ones are taken
        proxy.refuse = True                     # new connections are closed at once
        proxy.stall("down")                     # bytes of one direction wait …
        proxy.flow("down")                      # … until now
        proxy.delay = 0.05                      # seconds before each chunk, both ways
        proxy.half_close("down")                # the server's side is shut for the client, the other goes on
        proxy.corrupt("up", rng, 0.01)          # this share of bytes is flipped
        proxy.cut_after("up", 5000)             # reset when so many bytes more have passed
"""

import contextlib
import random
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]
_CHUNK = 16384


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server

    def socks(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        return (self.client, self.server) if direction == "up" else (self.server, self.client)

    def reset(self) -> None:
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RD)
            sock.close()


class FaultProxy:
    """Listens on ``port`` of the loopback and connects each client to ``target``."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.refuse = False
        self.delay = 0.0
        self.connections = 0
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        self._open: dict[Direction, threading.Event] = {"up": threading.Event(), "down": threading.Event()}
        for event in self._open.values():
            event.set()
        self._corrupt: dict[Direction, tuple[random.Random, float]] = {}
        self._cut_at: dict[Direction, int] = {}
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for direction in ("up", "down"):
            self.flow(direction)
        self.cut()

    def cut(self) -> int:
        """Reset every connection; returns how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def cut_after(self, direction: Direction, count: int) -> None:
        self._cut_at[direction] = self.passed[direction] + count

    def stall(self, direction: Direction) -> None:
        self._open[direction].clear()

    def flow(self, direction: Direction) -> None:
        self._open[direction].set()

    def corrupt(self, direction: Direction, rng: random.Random, share: float) -> None:
        """Flip bits in ``share`` of the bytes; 0 ends it."""
        self._corrupt[direction] = (rng, share)

    def half_close(self, direction: Direction) -> None:
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            with contextlib.suppress(OSError):
                pair.socks(direction)[1].shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            self._begin(client, server)

    def _begin(self, client: socket.socket, server: socket.socket) -> None:
        server.settimeout(None)
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client, server)
        with self._lock:
            self._pairs.append(pair)
            self.connections += 1
        for direction in ("up", "down"):
            threading.Thread(target=self._pump, args=(pair, direction), daemon=True).start()

    def _pump(self, pair: _Pair, direction: Direction) -> None:
        source, sink = pair.socks(direction)
        try:
            while chunk := source.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._open[direction].wait()
                sink.sendall(self._damaged(direction, chunk))
                self.passed[direction] += len(chunk)
                limit = self._cut_at.get(direction)
                if limit is not None and self.passed[direction] >= limit:
                    del self._cut_at[direction]
                    self.cut()
                    return
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One side was reset: the other hears of it, as it would without us.
            pair.reset()

    def _damaged(self, direction: Direction, chunk: bytes) -> bytes:
        rng, share = self._corrupt.get(direction, (None, 0.0))
        if rng is None or not share:
            return chunk
        damaged = bytearray(chunk)
        for index in range(len(damaged)):
            if rng.random() < share:
                damaged[index] ^= 1 << rng.randrange(8)
        return bytes(damaged)
