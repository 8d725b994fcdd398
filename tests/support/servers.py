"""Real servers on free ports, in folders of their own, gone when the test is gone.

Each dies with its parent (PR_SET_PDEATHSIG), so that not even a SIGKILL of the test run leaves one behind.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For ``preexec_fn``: the kernel kills the child when its parent ends, however it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def need(program: str) -> str:
    """The path of ``program``, or a skip by name (a failure where servers are required)."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path:
        return path
    reason = f"{program} is not installed (apt-get install it, or run make servers)"
    if os.environ.get("HINOMI_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with socket.socket() as sock:
            sock.settimeout(0.2)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"no server on port {port}:\n{log.read_text(errors='replace')[-2000:]}")


class Server:
    """One real daemon: start, stop (SIGTERM), kill (SIGKILL), start again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment()},
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        wait_for_port(self.port, self.process, self.log)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None


class Mosquitto(Server):
    """Debian's mosquitto; ``config`` is added to a loopback listener (anonymous unless it says otherwise)."""

    def __init__(self, folder: Path, config: str = "allow_anonymous true\n") -> None:
        super().__init__(folder)
        self.program = need("mosquitto")
        self.config = config

    def command(self) -> list[str]:
        path = self.folder / "mosquitto.conf"
        path.write_text(f"listener {self.port} 127.0.0.1\nuser root\nset_tcp_nodelay true\n{self.config}")
        return [self.program, "-c", str(path)]


class Influx(Server):
    """Debian's InfluxDB 1.6.7, without reporting, on two loopback ports."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program = need("influxd")
        self.rpc_port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        path = self.folder / "influxdb.conf"
        path.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{self.rpc_port}"
[meta]
dir = "{self.folder}/meta"
[data]
dir = "{self.folder}/data"
wal-dir = "{self.folder}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{self.port}"
log-enabled = false
"""
        )
        return [self.program, "-config", str(path)]


class VictoriaMetrics(Server):
    """Debian's VictoriaMetrics: answers InfluxDB's /api/v2/write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program = need("victoria-metrics")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            self.program,
            f"-storageDataPath={self.folder}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
        ]


def http_get(url: str, timeout: float = 10.0) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        text: str = answer.read().decode()
        return text
