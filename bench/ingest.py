"""Ingest: mosquitto -> Hinomi's cloud -> InfluxDB 1.6.7, beside what one would write in an afternoon.

Packs of one and of 60 readings, QoS 1, as fast as they are taken. Prints a table and writes JSON (``--out``).
``--telegraf PATH`` sends the same load through Telegraf. Ratios are within one run; the machine is named.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common_ingest import (
    COMMUNITY,
    ROOT,
    STATIONS,
    Meter,
    Publisher,
    in_background,
    machine,
    payloads,
    query,
    servers,
    topic,
    wait_for_count,
)
from support.servers import Influx, Mosquitto, die_with_parent

from cloud.db import Database
from cloud.fleet.registry import Registry
from sensing.station import StationRecord
from sensing.topic import StationId

WARM_UP = 0.1


def prepare_cloud(folder: Path, broker: Mosquitto, influx: Influx, store: str = "influx1") -> Path:
    """Configuration and registered stations."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder}/hinomi.db"
    registry = Registry(Database(url))
    for number in range(STATIONS):
        registry.add(StationRecord(StationId(COMMUNITY, f"s{number}")), None, 0)
    target = (
        f'type = "influx1"\nurl = "{influx.url}"' if store == "influx1" else f'type = "sqlite"\npath = "{store}"'
    )
    config = folder / "cloud.toml"
    config.write_text(
        f"""[broker]
port = {broker.port}
[store]
{target}
[journal]
path = "arrival.db"
[database]
url = "{url}"
[http]
port = 0
[limits]
readings_per_s = 0
"""
    )
    return config


def cloud(config: Path) -> list[str]:
    """The command that runs our service."""
    return [sys.executable, "-m", "hinomi", "cloud", "run", "--config", str(config)]


def baseline(broker: Mosquitto, influx: Influx, database: str) -> list[str]:
    """The command that runs the naive one."""
    return [sys.executable, str(ROOT / "bench/baseline_aiomqtt.py"), str(broker.port), influx.url, database]


def telegraf(program: str, folder: Path, broker: Mosquitto, influx: Influx, database: str) -> list[str]:
    """The command that runs Telegraf on the same load."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "telegraf.conf"
    config.write_text(
        f"""[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 1000000
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{broker.port}"]
  topics = ["hinomi/v1/+/+/obs"]
  qos = 1
  persistent_session = true
  client_id = "telegraf-bench"
  max_undelivered_messages = 5000
  topic_tag = ""
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "hinomi/v1/+/+/obs"
    tags = "_/_/community/station/_"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "senml"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "@this"
      tags = ["n"]
      included_keys = ["n", "v", "t"]
      timestamp_key = "t"
      timestamp_format = "unix"
[[outputs.influxdb]]
  urls = ["{influx.url}"]
  database = "{database}"
"""
    )
    return [program, "--config", str(config)]


def start(command: Sequence[str], ready: str | None) -> subprocess.Popen[bytes]:
    """Start a consumer and wait until it says that it is ready."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if ready is None:
        time.sleep(3)
        return process
    if process.stdout is None or not process.stdout.readline().startswith(ready.encode()):
        raise RuntimeError(f"{command} did not become ready")
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then wait."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(
    command: Sequence[str],
    ready: str | None,
    broker: Mosquitto,
    influx: Influx,
    database: str,
    count: int,
    per_pack: int,
) -> dict[str, float]:
    """Run one load through one consumer.

    The first part warms up (imports, tables, names) and is not counted.
    """
    messages = [(topic(station), body) for station, body in payloads(count, per_pack)]
    first = int(count * WARM_UP)
    process = start(command, ready)
    try:
        publisher = Publisher(broker.port)
        publisher.publish(messages[:first])
        wait_for_count(influx, database, first * per_pack, 120)
        meter = Meter(process.pid)
        cpu, begun = meter.cpu_s(), time.perf_counter()
        thread = in_background(publisher, messages[first:])
        done = wait_for_count(influx, database, count * per_pack, 600)
        thread.join()
        cpu = meter.cpu_s() - cpu
        readings = (count - first) * per_pack
        return {
            "readings": readings,
            "readings_per_s": readings / (done - begun),
            "cpu_us_per_reading": cpu / readings * 1e6,
            "rss_mib": meter.rss_mib(),
        }
    finally:
        stop(process)


def consumers(
    folder: Path, broker: Mosquitto, influx: Influx, program: str | None
) -> dict[str, tuple[list[str], str | None, str]]:
    """Name -> (command, the line it says when it is ready, its database)."""
    found: dict[str, tuple[list[str], str | None, str]] = {
        "hinomi": (cloud(prepare_cloud(folder / "cloud", broker, influx)), "ready", f"hinomi_{COMMUNITY}"),
        "aiomqtt + Point": (baseline(broker, influx, "baseline"), "ready", "baseline"),
    }
    if program is not None:
        found["telegraf"] = (telegraf(program, folder / "telegraf", broker, influx, "telegraf"), None, "telegraf")
    return found


def one_size(per_pack: int, count: int, program: str | None, only: str | None) -> dict[str, dict[str, float]]:
    """All consumers on packs of one size, each with fresh servers."""
    results = {}
    for name in ("hinomi", "aiomqtt + Point", *(["telegraf"] if program else [])):
        if only not in {None, name}:
            continue
        folder = Path(tempfile.mkdtemp(prefix="hinomi-bench-"))
        broker, influx = servers(folder)
        try:
            command, ready, database = consumers(folder, broker, influx, program)[name]
            query(influx, f'CREATE DATABASE "{database}"')
            results[name] = measure(command, ready, broker, influx, database, count, per_pack)
        finally:
            broker.kill()
            influx.kill()
            shutil.rmtree(folder, ignore_errors=True)
    return results


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-ingest.json"))
    parser.add_argument("--telegraf", metavar="PATH", help="Telegraf's binary")
    parser.add_argument("--singles", type=int, default=60_000, help="packs of one reading")
    parser.add_argument("--packs", type=int, default=10_000, help="packs of 60 readings")
    parser.add_argument("--only", help="one consumer")
    arguments = parser.parse_args()
    program = arguments.telegraf if arguments.telegraf and shutil.which(arguments.telegraf) else None
    if arguments.telegraf and program is None:
        print(f"no Telegraf at {arguments.telegraf}: not measured")
    report: dict[str, object] = {"machine": machine()}
    print(f"mosquitto -> … -> InfluxDB 1.6.7, QoS 1\n{machine()}\n")
    print(f"{'':<18}{'readings a pack':>16}{'readings/s':>12}{'CPU us/reading':>16}{'RSS MiB':>9}")
    for per_pack, count in ((1, arguments.singles), (60, arguments.packs)):
        results = one_size(per_pack, count, program, arguments.only)
        for name, row in results.items():
            print(
                f"{name:<18}{per_pack:>16}{row['readings_per_s']:>12.0f}"
                f"{row['cpu_us_per_reading']:>16.2f}{row['rss_mib']:>9.1f}"
            )
        if {"hinomi", "aiomqtt + Point"} <= results.keys():
            ratio = results["aiomqtt + Point"]["cpu_us_per_reading"] / results["hinomi"]["cpu_us_per_reading"]
            print(f"{'':<18}less CPU a reading than aiomqtt + Point: {ratio:.1f}x, although ours is durable\n")
            results["ratio"] = {"cpu": ratio}
        report[f"packs_of_{per_pack}"] = results
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
