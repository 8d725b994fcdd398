"""Stores: what a reading costs to write, and what a question costs to answer, whatever the history.

SQLite, InfluxDB 1.6.7 plain and compressed, and the personal table, in batches of 60, 600 and 5,000 readings;
beside it what influxdb-client's Point costs for the same lines. Then the newest of every datastream and one series,
with a little history and with a lot. Prints a table and writes JSON (``--out``). CPU is this process's alone.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from common_ingest import machine
from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision
from support.servers import Influx

from cloud.db import Database
from cloud.store import influx1
from cloud.store.personal import PersonalStore
from cloud.store.protocol import Store
from cloud.store.sqlite import SqliteStore
from hinomi.clock import SystemClock
from hinomi.disk import Disk
from sensing import series
from sensing.observation import Datastream, Observation

STREAMS = 240
BATCHES = (60, 600, 5000)
HOUR_MS = 3_600_000
NOW = time.time_ns() // 1_000_000


def streams(count: int) -> list[Datastream]:
    """Stations of four quantities each."""
    names = ("water_level", "temperature", "humidity", "pm2_5")
    return [Datastream("bench", f"station-{i // 4}", "sensor", names[i % 4]) for i in range(count)]


def readings(count: int, of: Sequence[Datastream], first: int) -> list[Observation]:
    """Round robin over the datastreams, a second apart."""
    size = len(of)
    return [
        Observation(of[i % size], first + i // size * 1000, 20 + (i * 7 % 997) / 100, seq=i) for i in range(count)
    ]


async def writing(store: Store, batch: int, seconds: float) -> dict[str, float]:
    """Readings a second and CPU a reading, in batches, for about ``seconds``."""
    of = streams(STREAMS)
    await store.write(readings(batch, of, NOW - 40 * HOUR_MS))
    times: list[float] = []
    written, began, cpu = 0, time.perf_counter(), time.process_time()
    prepared = 0.0
    first = NOW - 30 * HOUR_MS
    while time.perf_counter() - began - prepared < seconds:
        before = time.perf_counter(), time.process_time()
        rows = readings(batch, of, first)
        first += (batch // STREAMS + 1) * 1000
        prepared += time.perf_counter() - before[0]
        cpu += time.process_time() - before[1]
        at = time.perf_counter()
        if await store.write(rows):
            raise RuntimeError("refused")
        times.append(time.perf_counter() - at)
        written += batch
    return {
        "readings_per_s": written / sum(times),
        "cpu_us_per_reading": (time.process_time() - cpu) / written * 1e6,
        "p50_ms": statistics.median(times) * 1000,
        "p99_ms": sorted(times)[int(len(times) * 0.99)] * 1000,
    }


def encoding() -> dict[str, float]:
    """CPU microseconds a line, ours and influxdb-client's."""
    rows = readings(20_000, streams(STREAMS), NOW)
    began = time.process_time()
    for row in rows:
        series.line(row)
    ours = time.process_time() - began
    began = time.process_time()
    for o in rows:
        d = o.datastream
        point = Point(d.quantity).tag("community", d.community).tag("sensor", d.sensor).tag("station", d.station)
        point.field("value", o.value).field("flags", o.flags).field("seq", o.seq)
        point.time(o.measured_at, WritePrecision.MS).to_line_protocol()
    return {"line_us": ours / len(rows) * 1e6, "point_us": (time.process_time() - began) / len(rows) * 1e6}


async def timed(ask: Callable[[], Awaitable[Any]], times: int = 20) -> float:
    """Median milliseconds of a question."""
    found = []
    for _ in range(times):
        at = time.perf_counter()
        await ask()
        found.append(time.perf_counter() - at)
    return statistics.median(found) * 1000


async def asking(store: Store, reopen: Callable[[], Awaitable[Store]], history: int) -> dict[str, float]:
    """Questions after ``history`` readings a datastream, a minute apart."""
    of = streams(STREAMS)
    for part in range(0, history, 20):
        at = NOW - (history - part) * 60_000
        await store.write([Observation(d, at + k * 60_000, float(k)) for k in range(20) for d in of])
    other = await reopen()
    at = time.perf_counter()
    found = len(await other.latest("bench"))
    first = (time.perf_counter() - at) * 1000
    if found != STREAMS:
        raise RuntimeError(f"{found} of {STREAMS} datastreams")
    result = {
        "first_latest_ms": first,
        "latest_ms": await timed(lambda: other.latest("bench")),
        "series_15h_ms": await timed(lambda: other.series(of[0], NOW - 15 * HOUR_MS, NOW, 15 * 60_000)),
    }
    await other.close()
    return result


async def measure(folder: Path, influx: Influx, seconds: float) -> dict[str, Any]:
    """All kinds of stores."""
    clock = SystemClock()
    disk = Disk("database")
    numbers = iter(range(1000))

    async def sqlite() -> Store:
        return await SqliteStore.open(folder / f"store-{next(numbers)}.db")

    async def plain() -> Store:
        return await influx1.Config(type="influx1", url=influx.url).open(clock)

    async def packed() -> Store:
        return await influx1.Config(type="influx1", url=influx.url, gzip=True).open(clock)

    async def personal() -> Store:
        return PersonalStore(Database(f"sqlite:///{folder}/personal-{next(numbers)}.db", disk))

    report: dict[str, Any] = {"machine": machine(), "encoding": encoding()}
    heads = f"{'batch':>7}{'readings/s':>12}{'CPU us/reading':>16}{'p50 ms':>8}{'p99 ms':>8}"
    print(f"{report['machine']}\n\n{'':<22}{heads}")
    kinds = {"SQLite": sqlite, "InfluxDB 1.6.7": plain, "InfluxDB 1.6.7, gzip": packed, "personal table": personal}
    for name, make in kinds.items():
        for batch in BATCHES:
            store = await make()
            row = report.setdefault(name, {})[str(batch)] = await writing(store, batch, seconds)
            await store.close()
            print(
                f"{name:<22}{batch:>7}{row['readings_per_s']:>12.0f}{row['cpu_us_per_reading']:>16.2f}"
                f"{row['p50_ms']:>8.1f}{row['p99_ms']:>8.1f}"
            )
    code = report["encoding"]
    print(f"\none line: {code['line_us']:.2f} us, with influxdb-client's Point {code['point_us']:.2f} us\n")
    print(f"{STREAMS} datastreams{'history':>12}{'first latest':>14}{'latest':>8}{'series':>8}   (ms)")
    for history in (60, 2880):
        path = folder / f"asking-{history}.db"
        influx_town = await plain()
        await influx_town.erase("bench")
        for name, store, again in (
            ("SQLite", await SqliteStore.open(path), lambda path=path: SqliteStore.open(path)),
            ("InfluxDB", influx_town, plain),
        ):
            row = report.setdefault(f"asking {name}", {})[str(history)] = await asking(store, again, history)
            await store.close()
            ms = (row["first_latest_ms"], row["latest_ms"], row["series_15h_ms"])
            print(f"{name:<15}{history:>12}{ms[0]:>14.1f}{ms[1]:>8.2f}{ms[2]:>8.2f}")
    return report


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-store.json"))
    parser.add_argument("--seconds", type=float, default=1.5, help="for each kind and batch")
    arguments, _ = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="hinomi-bench-"))
    influx = Influx(folder / "influx")
    influx.start()
    try:
        report = asyncio.run(measure(folder, influx, arguments.seconds))
    finally:
        influx.kill()
        shutil.rmtree(folder, ignore_errors=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
