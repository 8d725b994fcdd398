"""A whole town of real processes for the campaigns: broker, InfluxDB, cloud, two agents, a fleet.

Every connection between them leads through a proxy of its own that can break it. Whatever is written here is what a
person would write who installs the town: the shipped broker configuration, stations registered by ``hinomi station
add``. Processes die with the thread that started them, so all is started from the main thread.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.proxy import FaultProxy
from support.servers import Influx, Mosquitto, die_with_parent, free_port, http_get
from support.stations import SocketClient

from hinomi.cli import main

DEPLOY = Path(__file__).parents[2] / "deploy"
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


class Part:
    """One process that can be killed, stopped, frozen, and started again.

    Attributes:
        down: not running because somebody wanted it.
    """

    def __init__(self, name: str, command: Callable[[], Sequence[str]], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.down = True
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        self.start_with(self._command())

    def start_with(self, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        self.down = False

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        self.check()
        self._living().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if not self.down:
            self._living().send_signal(signal.SIGCONT)

    def check(self) -> None:
        """It may be down because we wanted it, and for no other reason."""
        if not self.down and self._living().poll() is not None:
            raise AssertionError(f"{self.name} ended by itself ({self._living().returncode}):\n{self.text[-3000:]}")

    def wait(self, seconds: float) -> int:
        """Its exit status, once it has ended by itself."""
        code = self._living().wait(seconds)
        self.down = True
        return code

    def _end(self, number: signal.Signals) -> None:
        if self.down:
            return
        self.check()
        self.down = True
        process = self._living()
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
            raise AssertionError(
                f"{self.name} did not end within 20 s of {number.name}:\n{self.text[-3000:]}"
            ) from None

    def _living(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


class Broker(Mosquitto):
    """Mosquitto with the shipped file; only its paths and its port are others."""

    def command(self) -> list[str]:
        text = "user root\n" + (DEPLOY / "mosquitto.conf").read_text("utf-8")
        for old, new in {
            "/etc/mosquitto/hinomi": str(self.folder),
            "/var/lib/mosquitto": str(self.folder),
            "listener 1883": f"listener {self.port} 127.0.0.1",
        }.items():
            assert old in text
            text = text.replace(old, new)
        path = self.folder / "mosquitto.conf"
        path.write_text(text)
        return [self.program, "-c", str(path)]


class Town:
    """Enter it: all is up. ``parts`` and ``proxies`` are there to be broken.

    Attributes:
        parts: broker, store, cloud, the agents by name, fleet.
        proxies: the network: ``cloud-store``, ``cloud-broker``, and ``NAME-broker`` of each agent and the fleet.
    """

    def __init__(self, folder: Path, *, seed: int, fleet: int = FLEET) -> None:
        self.folder = folder
        self.influx = Influx(folder / "influx")
        self.broker = Broker(folder / "broker")
        self.http = free_port()
        self.proxies: dict[str, FaultProxy] = {}
        self.parts: dict[str, Part] = {}
        self._seed = seed
        self._fleet = fleet
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name in ("cloud-broker", *(f"{agent}-broker" for agent in AGENTS), "fleet-broker"):
                self.proxies[name] = stack.enter_context(FaultProxy(self.broker.port))
            self.proxies["cloud-store"] = stack.enter_context(FaultProxy(self.influx.port))
            self._write()
            self._add("broker", self.broker.command)
            self._add("store", self.influx.command)
            self._add("cloud", lambda: [*PROGRAM, "cloud", "run", "--config", str(self.folder / "cloud.toml")])
            for name in AGENTS:
                config = str(self.folder / name / "edge.toml")
                self._add(name, lambda config=config: [*PROGRAM, "edge", "run", "--config", config])
            if self._fleet:
                self._add("fleet", self.fleet_command)
            for part in self.parts.values():
                stack.callback(self._bury, part)
                part.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

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
        for name in AGENTS:
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

    def until(self, condition: Callable[[], object], seconds: float, what: str = "") -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, what or "not in time"
            for part in self.parts.values():
                part.check()
            time.sleep(0.1)

    def _add(self, name: str, command: Callable[[], Sequence[str]]) -> None:
        self.parts[name] = Part(name, command, self.folder)

    def _bury(self, part: Part) -> None:
        with contextlib.suppress(AssertionError):
            part.kill()

    def _write(self) -> None:
        """Every file that a person or ``hinomi station add`` writes."""
        folder, config = self.folder, self.folder / "cloud.toml"
        (folder / "arrival").mkdir(exist_ok=True)
        ports = {name: proxy.port for name, proxy in self.proxies.items()}
        broker, store = ports["cloud-broker"], ports["cloud-store"]
        config.write_text(_CLOUD.format(broker=broker, store=store, http=self.http, folder=folder))
        stations = [f"village/fleet-{number:04d}" for number in range(1, self._fleet + 1)]
        for name in AGENTS:
            (folder / name).mkdir(exist_ok=True)
            trusted = "true" if name == AGENTS[0] else "false"
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
