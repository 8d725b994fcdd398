"""Agents in tests: their configuration, their process, a client of their socket intake."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from support.servers import die_with_parent

from edge.agent import Surroundings, run
from edge.notify import Notifier
from edge.orders import Orders
from hinomi.clock import Clock, SystemClock

STATION = "town/bridge"
NAME = f"{STATION}/"


def write_config(folder: Path, port: int, *, extra: str = "", commit_s: float = 0.2, **tables: str) -> Path:
    """``edge.toml`` in ``folder``: a journal, a socket intake that answers at once, quick resends.

    ``tables`` add settings to a table (``broker="tls = true"``), ``extra`` whole tables.
    """
    settings = {
        "station": f'id = "{STATION}"\nclock_trusted = true',
        "broker": f'host = "127.0.0.1"\nport = {port}',
        "journal": f'path = "edge.db"\ncommit_s = {commit_s}',
        "uplink": "resend_s = 1.0",
    }
    for name, text in tables.items():
        settings[name] = f"{settings[name]}\n{text}"
    path = folder / "edge.toml"
    body = "\n".join(f"[{name}]\n{text}" for name, text in settings.items())
    intake = '[[intake]]\ntype = "socket"\npath = "in.sock"\nwait_s = 0.0\n'
    path.write_text(f"{body}\n{intake}{extra}\n")
    return path


class AgentProcess:
    """``hinomi edge run`` as a real process that can be killed."""

    def __init__(self, config: Path, *, environment: dict[str, str] | None = None) -> None:
        self.config = config
        self.log = config.parent / "agent.log"
        self._environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        return [sys.executable, "-m", "hinomi", "edge", "run", "--config", str(self.config)]

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def hang_up(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    @property
    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@contextmanager
def agent_process(config: Path, **settings: Any) -> Iterator[AgentProcess]:
    agent = AgentProcess(config, **settings).start()
    try:
        yield agent
    finally:
        if agent.process is not None and agent.process.poll() is None:
            agent.kill()


_NURSERY = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from support.servers import die_with_parent
import edge.agent, edge.intake.socket, edge.sensors.host
from edge.cli import main
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        sys.stdin.close()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os._exit(main(["run", "--config", sys.argv[1]]))
    print(pid, flush=True)
"""


class QuickAgent(AgentProcess):
    """The same, forked from a process that has imported everything: for hundreds of kills a minute."""

    def __init__(self, config: Path) -> None:
        super().__init__(config)
        with self.log.open("ab") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, "-c", _NURSERY, str(config), str(Path(__file__).parents[1])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        self._pid = 0

    @property
    def pid(self) -> int:
        return self._pid

    def start(self) -> Self:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(b"start\n")
        self._nursery.stdin.flush()
        self._pid = int(self._nursery.stdout.readline())
        return self

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        while Path(f"/proc/{self._pid}").exists():
            time.sleep(0.001)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.kill()
        self._nursery.wait(20)
        self._nursery.stdin.close()
        self._nursery.stdout.close()


class SocketClient:
    """A program on the same machine that pushes readings; connects again when the agent was away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sock: socket.socket | None = None
        self._file: Any = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request; OSError when the agent is gone before it answered."""
        if self._sock is None:
            self._connect()
        try:
            self._file.write(json.dumps(request).encode() + b"\n")
            self._file.flush()
            line = self._file.readline()
        except OSError:
            self.close()
            raise
        if not line.endswith(b"\n"):
            self.close()
            raise ConnectionResetError("no answer")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def push(self, *readings: dict[str, Any]) -> dict[str, Any]:
        return self.ask({"readings": list(readings)})

    def totals(self) -> dict[str, int]:
        return self.ask({"status": True})

    def wait_until_there(self, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.totals()
                return
            time.sleep(0.002)
        raise AssertionError(f"nobody listens on {self._path}")

    def close(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._sock.close()
            self._sock = None

    def _connect(self) -> None:
        folder = os.open(self._path.parent, os.O_PATH)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(20)
            sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        except OSError:
            sock.close()
            raise
        finally:
            os.close(folder)
        self._sock = sock
        self._file = sock.makefile("rwb")


def reading(sensor: str = "air", quantity: str = "pm2_5", value: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"sensor": sensor, "quantity": quantity, "value": value, **more}


@asynccontextmanager
async def agent_here(
    config: Path,
    *,
    clock: Clock | None = None,
    boot: str = "boot-1",
    synced: Callable[[], bool] = lambda: True,
    serial: str = "",
) -> AsyncIterator[Orders]:
    """The agent inside the test's own event loop, with the test's own surroundings."""
    around = Surroundings(
        pace=SystemClock(),
        boot=boot,
        synced=synced,
        serial=serial,
        rng=random.Random(1),
        notifier=Notifier(),
        clock=clock,
    )
    orders = Orders()
    task = asyncio.create_task(run(config, around, orders))
    try:
        yield orders
    finally:
        orders.stop()
        await task


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)


class ShiftedClock(SystemClock):
    """The machine's clock, set wrong by so many milliseconds."""

    def __init__(self, shift_ms: int) -> None:
        self.shift_ms = shift_ms

    def now(self) -> int:
        return super().now() + self.shift_ms


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")
