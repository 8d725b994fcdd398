"""A whole town of real processes for the campaigns: broker, InfluxDB, cloud, two agents, a fleet.

Every connection between them leads through a proxy of its own that can break it. Whatever is written here is what a
person would write who installs the town: the shipped broker configuration, stations registered by ``hinomi station
add``. Processes die with the thread that started them, so all is started from the main thread.
"""

import contextlib
import json
import os
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.campaign_parts import Broker, Part
from support.proxy import FaultProxy
from support.servers import Influx, free_port, http_get
from support.stations import SocketClient

from hinomi.cli import main

AGENTS = ("bridge", "school")
FLEET = 3
PROGRAM = [sys.executable, "-m", "hinomi"]

_CLOUD = """
[broker]
port = {broker}
username = "hinomi-cloud"
password = "only-in-tests"

[broker_files]
passwords = "broker/passwords"
acl = "broker/acl"

[journal]
path = "arrival/arrival.db"

[database]
url = "sqlite:///{folder}/hinomi.db"

[store]
type = "influx1"
url = "http://127.0.0.1:{store}"

[http]
port = {http}
"""

_AGENT = """
[station]
id = "town/{name}"
clock_trusted = {trusted}

[broker]
host = "127.0.0.1"
port = {broker}
password_file = "../{name}.password"

[journal]
path = "edge.db"
commit_s = 0.2

[uplink]
resend_s = 1.0

[[intake]]
type = "socket"
path = "in.sock"
wait_s = 0.0
"""


class Town:
    """Enter it: all is up. ``parts`` and ``proxies`` are there to be broken.

    Attributes:
        parts: broker, store, cloud, the agents by name, fleet.
        proxies: the network: ``cloud-store``, ``cloud-broker``, and ``NAME-broker`` of each agent and the fleet.
    """

    def __init__(self, folder: Path, *, seed: int, agents: Sequence[str] = AGENTS, fleet: int = FLEET) -> None:
        self.folder = folder
        self.agents = agents
        self.influx = Influx(folder / "influx")
        self.broker = Broker(folder / "broker")
        self.http = free_port()
        self.proxies: dict[str, FaultProxy] = {}
        self.parts: dict[str, Part] = {}
        self._seed = seed
        self._fleet = fleet
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            for name in ("cloud-broker", *(f"{agent}-broker" for agent in self.agents), "fleet-broker"):
                self.proxies[name] = self._stack.enter_context(FaultProxy(self.broker.port))
            self.proxies["cloud-store"] = self._stack.enter_context(FaultProxy(self.influx.port))
            self._write()
            self.add("broker", self.broker.command)
            self.add("store", self.influx.command)
            self.add("cloud", lambda: [*PROGRAM, "cloud", "run", "--config", str(self.folder / "cloud.toml")])
            for name in self.agents:
                self.add(name, lambda name=name: self.agent_command(self.folder / name))
            if self._fleet:
                self.add("fleet", self.fleet_command)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, name: str, command: Callable[[], Sequence[str]]) -> Part:
        """Start one more process; it is gone when the town is."""
        part = self.parts[name] = Part(name, command, self.folder)
        self._stack.callback(_bury, part)
        part.start()
        return part

    def agent_command(self, folder: Path) -> list[str]:
        return [*PROGRAM, "edge", "run", "--config", str(folder / "edge.toml")]

    def fleet_command(self, *more: str) -> list[str]:
        arguments = {
            "-n": str(self._fleet),
            "--interval": "0.25",
            "--community": "village",
            "--broker": f"127.0.0.1:{self.proxies['fleet-broker'].port}",
            "--log": str(self.fleet_log),
            "--password-file": str(self.folder / "fleet.passwords"),
            "--seed": str(self._seed),
        }
        return [*PROGRAM, "sim", "fleet", *(word for pair in arguments.items() for word in pair), *more]

    @property
    def fleet_log(self) -> Path:
        return self.folder / "fleet.jsonl"

    def wait_until_up(self, seconds: float = 40.0) -> None:
        for name in self.agents:
            with closing(SocketClient(self.folder / name / "in.sock")) as client:
                client.wait_until_there(seconds)
        self.until(lambda: self.live() is not None, seconds)
        if self._fleet:
            self.until(lambda: "ready" in self.parts["fleet"].text, seconds)

    def totals(self, agent: str) -> dict[str, int]:
        """The agent's counters, over its intake."""
        with closing(SocketClient(self.folder / agent / "in.sock")) as client:
            return client.totals()

    def status(self, agent: str) -> dict[str, Any]:
        """What the agent says of itself to a person."""
        with closing(SocketClient(self.folder / agent / "edge.db.sock")) as client:
            return client.ask({"status": True})

    def live(self) -> dict[str, Any] | None:
        """The live page's numbers; None while nobody answers."""
        try:
            found: dict[str, Any] = json.loads(http_get(f"http://127.0.0.1:{self.http}/api/live.json", 5.0))
        except (OSError, ValueError):
            return None
        return found

    def meter(self, community: str = "") -> dict[str, Any]:
        """The loss meter of a community, or of all."""
        live = self.live() or {}
        found: dict[str, Any] = live.get("meters", {}).get(community, {})
        return found

    def health(self) -> dict[str, Any]:
        """What ``/healthz`` says, also when it is not well."""
        try:
            found: dict[str, Any] = json.loads(http_get(f"http://127.0.0.1:{self.http}/healthz", 5.0))
        except urllib.error.HTTPError as error:
            found = json.loads(error.read())
        return found

    def until(self, condition: Callable[[], object], seconds: float, state: Callable[[], object] = str) -> None:
        """Wait; ``state`` says how things stand if it takes too long."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not in time: {state()}"
            for part in self.parts.values():
                part.check()
            time.sleep(0.1)

    def _write(self) -> None:
        """Every file that a person or ``hinomi station add`` writes."""
        folder, config = self.folder, self.folder / "cloud.toml"
        (folder / "arrival").mkdir(exist_ok=True)
        ports = {name: proxy.port for name, proxy in self.proxies.items()}
        broker, store = ports["cloud-broker"], ports["cloud-store"]
        config.write_text(_CLOUD.format(broker=broker, store=store, http=self.http, folder=folder))
        stations = [f"village/fleet-{number:04d}" for number in range(1, self._fleet + 1)]
        for name in self.agents:
            (folder / name).mkdir(exist_ok=True)
            trusted = "true" if name == self.agents[0] else "false"
            agent = _AGENT.format(name=name, trusted=trusted, broker=ports[f"{name}-broker"])
            (folder / name / "edge.toml").write_text(agent)
            self._register(config, f"town/{name}", folder / f"{name}.password")
        lines = []
        for station in stations:
            secret = folder / "password"
            self._register(config, station, secret)
            lines.append(f"{station}:{secret.read_text()}")
            secret.unlink()
        (folder / "fleet.passwords").write_text("".join(lines))
        (folder / "fleet.passwords").chmod(0o600)

    def _register(self, config: Path, station: str, secret: Path) -> None:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 - no path
            assert main(["station", "add", station, "--password-to", str(secret), "--config", str(config)]) == 0


def _bury(part: Part) -> None:
    with contextlib.suppress(AssertionError):
        part.kill()
