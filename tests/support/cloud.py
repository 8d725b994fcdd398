"""The cloud service as a process of its own, to be killed."""

import csv
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.servers import Influx, die_with_parent

from cloud.db import Database
from cloud.fleet.registry import Registry
from sensing.station import StationRecord
from sensing.topic import StationId

ROOT = Path(__file__).resolve().parents[2]


def write_config(
    folder: Path,
    broker_port: int,
    stations: Sequence[StationId],
    *,
    store: str = 'type = "sqlite"\npath = "readings.db"',
    journal: str = 'path = "arrival.db"',
    more: str = "",
) -> Path:
    """``cloud.toml`` in a new folder, with its stations registered."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder}/hinomi.db"
    database = Database(url)
    registry = Registry(database)
    for station in stations:
        registry.add(StationRecord(station), None, 0)
    database.close()
    config = folder / "cloud.toml"
    config.write_text(
        f"""[broker]
port = {broker_port}
[store]
{store}
[journal]
{journal}
[database]
url = "{url}"
[http]
port = 0
{more}
"""
    )
    return config


class CloudProcess:
    """``hinomi cloud run``; start, stop, kill, start again. ``wrap`` may run it in a namespace."""

    def __init__(self, config: Path, wrap: Callable[[list[str]], list[str]] = list) -> None:
        self.wrap = wrap
        self.config = config
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.log = config.parent / "cloud.log"

    def start(self, seconds: float = 40.0) -> None:
        """Until it says that it is ready."""
        self.spawn()
        self.wait_ready(seconds)

    def spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.wrap([sys.executable, "-m", "hinomi", "cloud", "run", "--config", str(self.config)]),
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call
            )

    def wait_ready(self, seconds: float = 40.0) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready "):
            raise RuntimeError(f"the cloud is not ready: {line!r}\n{self.log.read_text()[-3000:]}")
        self.url = line.split()[1]

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        return found

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def loss(self) -> dict[str, int]:
        """The loss meter over all stations."""
        return {
            name.removeprefix("hinomi_loss_"): int(value)
            for name, value in self.metrics().items()
            if name.startswith("hinomi_loss_")
        }

    def wait_stored(self, seconds: float = 60.0) -> dict[str, int]:
        """Until nothing is pending any more; the loss meter then."""
        end = time.monotonic() + seconds
        while True:
            loss = self.loss()
            if loss["pending_station"] == 0 and loss["pending_journal"] == 0:
                return loss
            if time.monotonic() > end:
                raise TimeoutError(f"{loss}\n{self.health()}\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)


def rows_of_sqlite(path: Path) -> dict[tuple[str, str, str, int], float]:
    """(station, sensor, quantity, measured_at) -> value, of a closed or living store."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = connection.execute(
            "SELECT station, sensor, quantity, measured_at, value FROM observation "
            "JOIN datastream ON datastream.id = observation.datastream"
        ).fetchall()
    finally:
        connection.close()
    rows = {tuple(row[:4]): row[4] for row in found}
    assert len(rows) == len(found)
    return rows


def rows_of_influx(server: Influx, database: str) -> dict[tuple[str, str, str, int], float]:
    """The same of an InfluxDB 1.x, by its CSV."""
    text = "SELECT value FROM /.*/ GROUP BY station, sensor"
    query = urllib.parse.urlencode({"db": database, "epoch": "ms", "q": text})
    request = urllib.request.Request(f"{server.url}/query?{query}", headers={"Accept": "application/csv"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    rows = {}
    for quantity, tags, at, value in list(csv.reader(lines))[1:]:
        sensor, station = (part.split("=")[1] for part in tags.split(","))
        rows[(station, sensor, quantity, int(at))] = float(value)
    return rows
