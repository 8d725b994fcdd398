"""Readings pushed into an agent by a device that keeps an oracle, and what the store has of them in the end.

The oracle is a file: what the device is about to push, then what was answered as accepted, each flushed to the disk
before the next step. A reading's value is a number of its own, so that it can be told wherever it comes out.
"""

import json
import os
import random
import sqlite3
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from support.servers import Influx, http_get
from support.stations import SocketClient, reading

from firmware_sim.fleet.log import read_packs

Key = tuple[str, str, str, int]

# Sensors whose device gives the time, and sensors whose readings the station times; one of theirs is personal.
TIMED = (("d0", "pm2_5"), ("d1", "water_level"), ("d2", "pm10"))
UNTIMED = (("s0", "temperature"), ("s1", "pm10"), ("s2", "motion"), ("s3", "water_level"))


class Tried(msgspec.Struct, frozen=True):
    """One reading as the device made it; ``at`` None: the station says when."""

    number: int
    sensor: str
    quantity: str
    at: int | None


class Device(threading.Thread):
    """Pushes for ever; what it got no answer for, it pushes again if it knows the time itself, as devices do."""

    def __init__(self, agent: str, folder: Path, rng: random.Random, *, pause_s: float = 0.05) -> None:
        super().__init__(daemon=True, name=f"device of {agent}")
        self.station = f"town/{agent}"
        self.oracle = folder / f"{agent}.oracle"
        self.failed = 0
        self.error: BaseException | None = None
        self._client = SocketClient(folder / agent / "in.sock")
        self._rng = rng
        self._pause_s = pause_s
        self._number = 0
        self._times = dict.fromkeys(TIMED, 0)
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._client.close()
        if self.error:
            raise self.error

    def run(self) -> None:
        try:
            with self.oracle.open("a") as oracle:
                while not self._ended.is_set():
                    self._push(oracle, self._batch())
                    time.sleep(self._rng.uniform(0, 2 * self._pause_s))
        except BaseException as error:  # noqa: BLE001 - raised again by end()
            self.error = error

    def _batch(self) -> list[Tried]:
        timed = self._rng.random() < 0.5
        batch = []
        for _ in range(self._rng.randint(1, 6)):
            self._number += 1
            if not timed:
                batch.append(Tried(self._number, *self._rng.choice(UNTIMED), None))
                continue
            name = self._rng.choice(TIMED)
            at = self._times[name] = max(time.time_ns() // 1_000_000, self._times[name] + 1)
            batch.append(Tried(self._number, *name, at))
        return batch

    def _push(self, oracle: Any, batch: list[Tried]) -> None:
        _note(oracle, {"tried": batch})
        requests = [reading(one.sensor, one.quantity, float(one.number)) for one in batch]
        for request, one in zip(requests, batch, strict=True):
            if one.at is not None:
                request["measured_at"] = one.at
        again = False
        while not self._ended.is_set():
            try:
                answer = self._client.push(*requests)
            except OSError:
                answer = {"error": "no answer"}
            if "error" not in answer:
                _note(oracle, {"accepted": _taken(batch, answer, again=again)})
                return
            self.failed += 1
            if batch[0].at is None:
                return
            again = True
            time.sleep(0.02)


def _taken(batch: list[Tried], answer: dict[str, Any], *, again: bool) -> list[int]:
    """The numbers that are accepted: also those of which the station says that it has them from the time before."""
    refused = {one["index"]: one["reason"] for one in answer["refused"]}
    assert len(refused) == len(batch) - answer["accepted"]
    allowed = {"not_newer"} if again else {"too_fast"}
    assert set(refused.values()) <= allowed, answer
    return [one.number for index, one in enumerate(batch) if refused.get(index) != "too_fast"]


def _note(oracle: Any, line: dict[str, Any]) -> None:
    oracle.write(msgspec.json.encode(line).decode() + "\n")
    oracle.flush()
    os.fdatasync(oracle.fileno())


class Expected(msgspec.Struct):
    """What an oracle says: readings tried, and the numbers of those accepted."""

    tried: dict[int, Tried]
    accepted: set[int]


def expected(oracle: Path) -> Expected:
    found = Expected({}, set())
    for line in oracle.read_text().splitlines():
        fields = json.loads(line)
        found.accepted.update(fields.get("accepted", ()))
        for one in fields.get("tried", ()):
            tried = msgspec.convert(one, Tried)
            found.tried[tried.number] = tried
    return found


def rows_of(influx: Influx, database: Path) -> dict[Key, float]:
    """Every reading that can be read back: InfluxDB's, and the personal ones of the relational database."""
    found: dict[Key, float] = {}
    for community in ("town", "village"):
        form = urllib.parse.urlencode(
            {"db": f"hinomi_{community}", "q": "SELECT value FROM /.*/ GROUP BY *", "epoch": "ms"}
        )
        answer = json.loads(http_get(f"{influx.url}/query?{form}", timeout=60))
        for series in answer["results"][0].get("series", []):
            tags = series["tags"]
            assert tags["community"] == community
            for at, value in series["values"]:
                key = (f"{community}/{tags['station']}", tags["sensor"], series["name"], at)
                assert key not in found, f"{key} is there twice"
                found[key] = value
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT community, station, sensor, quantity, measured_at, value FROM personal")
        for town, station, sensor, quantity, at, value in rows:
            found[f"{town}/{station}", sensor, quantity, at] = value
    connection.close()
    return found


def of_station(rows: dict[Key, float], station: str) -> dict[Key, float]:
    return {key: value for key, value in rows.items() if key[0] == station}


def judge_device(device: Device, rows: dict[Key, float]) -> int:
    """Each accepted reading once, with its key and value; nothing that was never tried. Returns how many."""
    oracle, station = expected(device.oracle), device.station
    own = of_station(rows, station)
    times = Counter(int(value) for value in own.values())
    lost = sorted(oracle.accepted - times.keys())
    assert not lost, f"{station}: {len(lost)} of {len(oracle.accepted)} accepted readings are lost: {lost[:10]}"
    doubled = [number for number, count in times.items() if count > 1]
    assert not doubled, f"{station}: in the store twice: {[key for key in own if own[key] in doubled][:10]}"
    strange = []
    for (_, sensor, quantity, at), value in own.items():
        one = oracle.tried.get(int(value))
        if one is None or (one.sensor, one.quantity) != (sensor, quantity) or one.at not in {None, at}:
            strange.append((sensor, quantity, at, value, one))
    assert not strange, f"{station}: nobody pushed {strange[:10]}"
    return len(oracle.accepted)


def judge_fleet(log: Path, rows: dict[Key, float]) -> int:
    """The log and the store say the same. Returns how many readings that are."""
    wanted: dict[Key, float] = {}
    for pack in read_packs(log):
        values = [value for series in pack.series for value in series.values]
        wanted.update(zip(pack.reading_keys(), values, strict=True))
    own = {key: value for key, value in rows.items() if key[0].startswith("village/")}
    lost, strange = wanted.keys() - own.keys(), own.keys() - wanted.keys()
    assert not lost, f"fleet: {len(lost)} of {len(wanted)} are lost: {sorted(lost)[:10]}"
    assert not strange, f"fleet: {len(strange)} that no log has: {sorted(strange)[:10]}"
    assert own == wanted
    return len(wanted)
