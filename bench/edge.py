"""What the agent costs: memory, processor, bytes in the journal and on the wire; and a month's backlog.

``python bench/edge.py [--seconds 60] [--drain 60] [--out FILE.json]``. The agent is a real process with ten sensors
at 1 Hz, real drivers on simulated buses, TLS to Debian's mosquitto, and the smallest cloud of the tests. Memory is
what it is at the end (VmRSS) and at most (VmHWM), without intake; the rows below it say what each extra adds.
"""

import argparse
import itertools
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Not this folder, in which a script is named as a package is.
sys.path[0:1] = [str(ROOT), str(ROOT / "tests")]

from support.acker import Acker  # noqa: E402 - the tests' helpers serve here too
from support.certificates import make_authority, make_certificate  # noqa: E402 - the same
from support.clock import ManualClock  # noqa: E402 - the same
from support.month import CHANNELS, TICKS, fill, packs  # noqa: E402 - the same
from support.proxy import FaultProxy  # noqa: E402 - the same
from support.servers import Mosquitto, die_with_parent  # noqa: E402 - the same
from support.stations import SocketClient, reading  # noqa: E402 - the same

from edge.clock import StationClock  # noqa: E402 - the same
from hinomi.journal.sqlite import SqliteJournal  # noqa: E402 - the same

LIMITS = {"rss_mib": 36.0, "cpu_percent": 1.0, "journal_bytes_a_reading": 10.0}
EXTRAS = {
    "socket intake": '[[intake]]\ntype = "socket"\npath = "in.sock"\n',
    "HTTP intake": '[[intake]]\ntype = "sensor_community"\nport = 0\n'
    '[[intake.device]]\nid = "1"\nname = "balcony"\n',
    "Modbus": '[[sensor]]\ntype = "modbus_level"\nname = "weir"\ninterval_s = 1\nport = "{root}/ttySIM1"\n'
    'register = [{ quantity = "water_level", address = 0, format = "float32" }]\n',
}
SCENARIO = Path(__file__).with_name("edge-scenario.toml")


def sensors(root: Path) -> str:
    """Ten of them at 1 Hz: 18 readings a second."""
    tables = [
        f'type = "bme280"\nname = "b{bus}{address}"\nbus = "{root}/i2c-{bus}.sock"\naddress = {address}'
        for bus in (1, 2)
        for address in (0x76, 0x77)
    ]
    tables += [
        f'type = "ds18b20"\nname = "d{number}"\nid = "28-00000000000{number}"\nquantity = "temperature"\n'
        f'root = "{root}/w1/devices"'
        for number in range(4)
    ]
    tables += [
        f'type = "ultrasonic"\nname = "bridge"\nport = "{root}/ttySIM0"\nmounting_height_m = 4.5\nsamples = 1',
        'type = "host"\nname = "pi"\nreport = ["disk_free", "memory_free"]',
    ]
    return "".join(f"[[sensor]]\n{table}\ninterval_s = 1\n" for table in tables)


@contextmanager
def process(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that ends with the block."""
    with log.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "hinomi", *command],
            stdout=file,
            stderr=file,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


@contextmanager
def broker(folder: Path, *, tls: bool) -> Iterator[Mosquitto]:
    """Debian's mosquitto."""
    settings = "allow_anonymous true\n"
    if tls:
        settings += "".join(
            f"{name} {folder / file}\n"
            for name, file in (("cafile", "ca.crt"), ("certfile", "broker.crt"), ("keyfile", "broker.key"))
        )
    server = Mosquitto(folder / "mosquitto", settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def write_config(folder: Path, port: int, tables: str, *, tls: bool) -> Path:
    """The agent's file with everything else as it is by default."""
    secure = f'tls = true\nca = "{folder / "ca.crt"}"\n' if tls else ""
    path = folder / "edge.toml"
    path.write_text(
        '[station]\nid = "town/bench"\nclock_trusted = true\n'
        f'[broker]\nhost = "127.0.0.1"\nport = {port}\n{secure}[journal]\npath = "edge.db"\n{tables}'
    )
    return path


def memory(pid: int) -> dict[str, float]:
    """Resident memory in MiB, now and at most."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {"rss_mib": int(rows["VmRSS"].split()[0]) / 1024, "peak_mib": int(rows["VmHWM"].split()[0]) / 1024}


def cpu_s(pid: int) -> float:
    """Processor time so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_agent(folder: Path, root: Path, extra: str, seconds: float) -> dict[str, Any]:
    """One agent for ``seconds``, after ten of warming up."""
    for old in folder.glob("edge.db*"):
        old.unlink()
    (folder / "agent.log").write_text("")
    with (
        broker(folder, tls=True) as server,
        FaultProxy(server.port) as wire,
        Acker(server.port, ca=folder / "ca.crt", every_s=1.0) as cloud,
    ):
        config = write_config(folder, wire.port, sensors(root) + extra.replace("{root}", str(root)), tls=True)
        with process("edge", "run", "--config", str(config), log=folder / "agent.log") as agent:
            cloud.wait(lambda acker: acker.readings > 100, 60)
            time.sleep(5)
            before = (cpu_s(agent.pid), cloud.readings, cloud.bytes, wire.passed["up"], time.monotonic())
            time.sleep(seconds)
            after = (cpu_s(agent.pid), cloud.readings, cloud.bytes, wire.passed["up"], time.monotonic())
            result: dict[str, Any] = memory(agent.pid)
    lines = (folder / "agent.log").read_text().splitlines()
    if troubles := [line for line in lines if not line.startswith("ready ")]:
        raise RuntimeError("\n".join(troubles))
    spent, readings, payload, up, passed = (late - early for late, early in zip(after, before, strict=True))
    return result | {
        "cpu_percent": 100 * spent / passed,
        "readings_a_second": readings / passed,
        "cpu_us_a_reading": 1e6 * spent / readings,
        "payload_bytes_a_reading": payload / readings,
        "wire_bytes_a_reading": up / readings,
    }


def journal_size(folder: Path) -> dict[str, float]:
    """Six hours of ten channels at 1 Hz in commits of five seconds, never acknowledged."""
    clock = ManualClock(1_800_000_000_000)
    station = StationClock(clock, boot="bench", synced=lambda: True, saved=[], known_ms=0)
    journal = SqliteJournal.open(folder / "six-hours.db", cap_bytes=1 << 40, new_stream=lambda: "bench")
    entries = packs(clock, station, random.Random(1), ticks=6 * 3600, every_s=1, ticks_a_pack=5)
    while chunk := list(itertools.islice(entries, 1000)):
        journal.append(chunk)
    stats = journal.stats()
    journal.close()
    readings = stats.accepted_readings
    return {
        "journal_bytes_a_reading": SqliteJournal.peek(folder / "six-hours.db").file_bytes / readings,
        "body_bytes_a_reading": stats.bytes / readings,
    }


def month(folder: Path, seconds: float) -> dict[str, Any]:
    """A month alone, then the network is back; live readings are pushed while it drains."""
    for old in folder.glob("edge.db*"):
        old.unlink()
    fill(folder / "edge.db").close()
    stats = SqliteJournal.peek(folder / "edge.db")
    client, waits = SocketClient(folder / "in.sock"), []
    with broker(folder, tls=False) as server, Acker(server.port, every_s=1.0) as cloud:
        config = write_config(folder, server.port, EXTRAS["socket intake"], tls=False)
        with process("edge", "run", "--config", str(config), log=folder / "agent.log") as agent:
            client.wait_until_there()
            cloud.wait(lambda acker: len(acker.packs) > 100, 60)
            started, first, spent = time.monotonic(), len(cloud.packs), cpu_s(agent.pid)
            for number in itertools.count():
                sent, at = time.monotonic(), time.time_ns() // 1_000_000
                client.push(reading("live", value=float(number), measured_at=at))
                cloud.wait(lambda acker, at=at: ("town/bench/live/pm2_5", at) in acker.values)
                waits.append(time.monotonic() - sent)
                time.sleep(0.2)
                if time.monotonic() > started + seconds or client.totals()["pending"] == 0:
                    break
            passed, drained = time.monotonic() - started, len(cloud.packs) - first
            spent = cpu_s(agent.pid) - spent
            peak = memory(agent.pid)["peak_mib"]
    client.close()
    waits.sort()
    return {
        "readings": TICKS * len(CHANNELS),
        "file_mb": stats.file_bytes / 1e6,
        "bytes_a_reading": stats.file_bytes / stats.accepted_readings,
        "packs_a_second": drained / passed,
        "minutes_to_drain": TICKS / (drained / passed) / 60,
        "live_p50_ms": 1000 * waits[len(waits) // 2],
        "live_p99_ms": 1000 * waits[int(len(waits) * 0.99)],
        "draining_cpu_percent": 100 * spent / passed,
        "draining_peak_mib": peak,
    }


def machine() -> str:
    """What this was measured on."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    )
    return (
        f"{next(names, platform.processor())}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}"
    )


def show(title: str, result: dict[str, Any]) -> None:
    """One table."""
    print(f"\n{title}")
    for name, value in result.items():
        limit = f"   at most {LIMITS[name]:g}" if name in LIMITS else ""
        print(f"  {name:28}{value:12.2f}{limit}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-edge.json"))
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the agent is watched")
    parser.add_argument("--drain", type=float, default=60.0, help="how long the month drains; 0: no month")
    options = parser.parse_args()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}")
    result: dict[str, Any] = {"schema": 1, "machine": machine(), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="hinomi-bench-") as name:
        folder = Path(name)
        make_authority(folder)
        make_certificate(folder, "broker", "localhost")
        root = folder / "sim"
        with process("sim", "buses", str(SCENARIO), "--root", str(root), log=folder / "sim.log"):
            while "ready" not in (folder / "sim.log").read_text():
                time.sleep(0.05)
            result["agent"] = run_agent(folder, root, "", options.seconds) | journal_size(folder)
            show("ten sensors at 1 Hz over TLS", result["agent"])
            result["extras_mib"] = {}
            for extra, table in EXTRAS.items():
                rss = run_agent(folder, root, table, 12.0)["rss_mib"]
                result["extras_mib"][extra] = rss - result["agent"]["rss_mib"]
            show("resident memory that an extra adds, MiB", result["extras_mib"])
        if options.drain:
            result["month"] = month(folder, options.drain)
            show("thirty days of ten channels every ten seconds", result["month"])
    options.out.write_text(json.dumps(result, indent=1))
    print(f"\n{options.out}")


if __name__ == "__main__":
    main()
