"""From sampling to readable in InfluxDB: p50 and p99 at 100, 1,000 and 5,000 readings a second.

A fleet of 50 light stations measures in packs of one reading, logs and syncs each, and sends it through mosquitto
to the cloud, which writes into InfluxDB 1.6.7. The time is the cloud's own measure: the moment after the store
answered, minus ``measured_at``. Prints a table and writes JSON (``--out``).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from common_ingest import ROOT, Meter, machine, servers
from ingest import cloud, start, stop

from cloud.db import Database
from cloud.fleet.registry import Registry
from sensing.station import StationRecord
from sensing.topic import StationId

RATES = (100, 1_000, 5_000)
STATIONS = 50
COMMUNITY = "latency"
CONFIG = """[broker]
port = {port}
[journal]
path = "arrival.db"
[database]
url = "{database}"
[store]
type = "influx1"
url = "{url}"
[http]
port = 0
[limits]
readings_per_s = 0
"""
GAUGE = re.compile(r"^hinomi_sampling_to_stored_seconds_(p50|p99) (\S+)$", re.MULTILINE)


def one_rate(rate: int, seconds: int) -> dict[str, float]:
    """Run one load on fresh servers; times in ms, processor in percent of one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker, influx = servers(folder)
        try:
            database = f"sqlite:///{folder}/hinomi.db"
            registry = Registry(Database(database))
            for number in range(1, STATIONS + 1):
                registry.add(StationRecord(id=StationId(COMMUNITY, f"fleet-{number:04}")), None, 1)
            config = folder / "cloud.toml"
            config.write_text(CONFIG.format(port=broker.port, database=database, url=influx.url))
            process = start(cloud(config), None)
            try:
                return _measured(process, broker.port, folder, rate, seconds)
            finally:
                stop(process)
        finally:
            broker.kill()
            influx.kill()


def _measured(
    process: "subprocess.Popen[bytes]", port: int, folder: Path, rate: int, seconds: int
) -> dict[str, float]:
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    address = process.stdout.readline().decode().split()[1]
    meter = Meter(process.pid)
    before = meter.cpu_s()
    report = folder / "fleet.json"
    command = [sys.executable, "-m", "hinomi", "sim", "fleet", "-n", str(STATIONS), "--rate", str(rate)]
    command += ["--readings-per-pack", "1", "--broker", f"127.0.0.1:{port}", "--community", COMMUNITY]
    command += ["--for", str(seconds), "--log", str(folder / "fleet.jsonl"), "--report", str(report)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        told = dict(GAUGE.findall(answer.read().decode()))
    fleet = json.loads(report.read_text())
    return {
        "asked_per_s": rate,
        "accepted": fleet["accepted"],
        "pending": fleet["pending"],
        "skipped": fleet["skipped"],
        "p50_ms": float(told["p50"]) * 1000,
        "p99_ms": float(told["p99"]) * 1000,
        "cloud_cpu_percent": (meter.cpu_s() - before) / seconds * 100,
    }


def main() -> None:
    """Measure all rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [one_rate(rate, arguments.seconds) for rate in RATES]
    print(f"{machine()}; {arguments.seconds} s each")
    print(f"{'asked/s':>8} {'accepted':>9} {'pending':>8} {'p50 ms':>8} {'p99 ms':>8} {'cloud CPU %':>12}")
    for row in rows:
        print(
            f"{row['asked_per_s']:8} {row['accepted']:9} {row['pending']:8} {row['p50_ms']:8.1f}"
            f" {row['p99_ms']:8.1f} {row['cloud_cpu_percent']:12.1f}"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
