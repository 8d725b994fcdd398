"""The demo's processes: broker, store, cloud, simulated hardware, agents, neighbours; their start and their end."""

import math
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from cloud.db import Database
from cloud.fleet.registry import Registry
from hinomi.clock import ClockSection, SystemClock
from hinomi.demo import town
from hinomi.demo.broker import Kind, free_port, need, start_broker, wait_for_port
from hinomi.demo.processes import Processes
from hinomi.journal.sqlite import SqliteJournal

StoreKind = Literal["sqlite", "influx"]

PORT = 8080
# Readings begin when everybody is there: recorded time stands still while the processes start.
_READY_S = 30.0
_PATIENCE_S = 5.0
_PREFIX = "hinomi-demo-"
_LATENCY = re.compile(r"^hinomi_sampling_to_stored_seconds_(p50|p99) (\S+)$", re.MULTILINE)

_CLOUD = """[broker]
host = "127.0.0.1"
port = {broker_port}

[journal]
path = "arrival.db"

[database]
url = "sqlite:///{folder}/hinomi.db"

[store]
{store}

[http]
port = {http_port}

[clock]
speed = {clock.speed!r}
origin_ms = {clock.origin_ms}
anchor_s = {clock.anchor_s!r}
"""

_INFLUX = """reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
"""


class Stage:
    """Everything that runs; made by ``raised``.

    Attributes:
        folder: where all of it keeps its files.
        clock: the one scaled clock of all processes.
        url: of the live page.
    """

    def __init__(self, folder: Path, processes: Processes, *, speed: float, broker: Kind, store: StoreKind) -> None:
        self.folder = folder
        self.processes = processes
        self.broker = broker
        self.store = store
        system = SystemClock()
        self.clock = ClockSection(speed=speed, origin_ms=system.now(), anchor_s=system.monotonic())
        self.url = ""
        self._broker_port = 0

    @property
    def cloud_config(self) -> Path:
        """The cloud's configuration file."""
        return self.folder / "cloud.toml"

    @property
    def fleet_log(self) -> Path:
        """What the neighbours accepted (their output goes to a file of their name)."""
        return self.folder / "accepted.jsonl"

    def journal(self, agent: str) -> Path:
        """The journal of an agent."""
        return self.folder / agent / "journal.db"

    def raise_(self) -> None:
        """Start all processes, the cloud first.

        Raises:
            ConfigError: a server is not installed, or a process does not come up.
        """
        self._broker_port = start_broker(self.broker, self.processes, self.folder)
        self._start_cloud()
        configs = {
            agent: town.write_files(agent, self.folder / agent, clock=self.clock, broker_port=self._broker_port)
            for agent in town.AGENTS
        }
        for agent, (_, devices) in configs.items():
            hardware = str(self.folder / agent / "hw")
            sim = self.processes.hinomi(f"sim-{agent}", "sim", "buses", str(devices), "--root", hardware)
            sim.wait_for_line("ready", _READY_S)
        for agent, (edge, _) in configs.items():
            self.processes.hinomi(f"edge-{agent}", "edge", "run", "--config", str(edge))
        section = msgspec.json.encode(self.clock).decode()
        command = [sys.executable, "-m", "hinomi.demo.neighbours"]
        self.processes.start("neighbours", [*command, str(self._broker_port), str(self.fleet_log), section])

    def end_measuring(self, seconds: float) -> None:
        """No more readings; wait until the journals are empty, at most ``seconds``; then end the stations."""
        end = time.monotonic() + seconds
        sims = [f"sim-{agent}" for agent in town.AGENTS]
        self.processes.stop(["neighbours", *sims], seconds=seconds)
        while time.monotonic() < end and any(self._pending(agent) for agent in town.AGENTS):
            time.sleep(0.1)
        self.processes.stop([f"edge-{agent}" for agent in town.AGENTS], seconds=5.0)

    def ask(self, path: str) -> str | None:
        """What the cloud answers over HTTP; None while it is too busy, or not there."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=_PATIENCE_S) as answer:  # noqa: S310 - our loopback
                text: str = answer.read().decode()
                return text
        except (OSError, ValueError):
            return None

    def latency_ms(self) -> tuple[float, float] | None:
        """Real ms from sampling to readable in the store: median and 99th percentile; None before the first."""
        found = dict(_LATENCY.findall(self.ask("/metrics") or ""))
        values = [float(found.get(name, "nan")) * 1000 / self.clock.speed for name in ("p50", "p99")]
        return None if any(map(math.isnan, values)) else (round(values[0], 1), round(values[1], 1))

    def end_cloud(self) -> None:
        """End the cloud; the store's files and servers stay for the count."""
        self.processes.stop(["cloud"], seconds=10.0)

    def _pending(self, agent: str) -> int:
        return SqliteJournal.peek(self.journal(agent)).pending_readings

    def _start_cloud(self) -> None:
        text = _CLOUD.format(
            broker_port=self._broker_port,
            folder=self.folder,
            store=self._start_store(),
            http_port=_http_port(),
            clock=self.clock,
        )
        self.cloud_config.write_text(text, "utf-8")
        database = Database(f"sqlite:///{self.folder}/hinomi.db")
        registry = Registry(database)
        for record in town.STATIONS:
            registry.add(record, None, SystemClock().now())
        database.close()
        cloud = self.processes.hinomi("cloud", "cloud", "run", "--config", str(self.cloud_config))
        self.url = cloud.wait_for_line("ready", _READY_S)

    def _start_store(self) -> str:
        """Start the store's server, if it has one; returns the lines of ``[store]``."""
        if self.store == "sqlite":
            return 'type = "sqlite"\npath = "readings.db"'
        port, folder = free_port(), self.folder / "influx"
        folder.mkdir()
        config = folder / "influxdb.conf"
        config.write_text(_INFLUX.format(folder=folder, port=port, rpc_port=free_port()), "utf-8")
        influx = self.processes.start("influxdb", [need("influxd", "influxdb"), "-config", str(config)])
        wait_for_port(influx, port, seconds=20.0)
        return f'type = "influx1"\nurl = "http://127.0.0.1:{port}"'


@contextmanager
def raised(*, speed: float, broker: Kind, store: StoreKind) -> Iterator[Stage]:
    """A stage in a folder of its own; whatever happens, no process and no file stays behind."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with Processes(folder) as processes:
            yield Stage(folder, processes, speed=speed, broker=broker, store=store)


def _sweep() -> None:
    """Remove what a demo that was killed could not: its processes died with it, its folder is swept here."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _http_port() -> int:
    """The usual port where it is free, so that an open browser tab finds the next demo; else any."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT
