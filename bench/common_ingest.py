"""What the measurements of ingest share: servers, a load that costs little, and the reading of /proc.

The publisher speaks MQTT 5 over a plain socket, because a client library would take the processor from those that
are measured. Every message is a SenML pack as a station of ours sends it.
"""

import json
import os
import platform
import select
import socket
import struct
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.servers import Influx, Mosquitto  # noqa: E402 - the tests' servers serve here too

COMMUNITY = "bench"
STATIONS = 50
QUANTITIES = (("gauge", "water_level", "m"), ("sky", "temperature", "Cel"), ("sky", "pressure", "hPa"))
BROKER = """allow_anonymous true
max_inflight_messages 500
max_queued_messages 0
max_queued_bytes 0
"""
# Within any retention, and not in the future.
START_MS = (int(time.time()) - 30 * 86_400) * 1000


def payloads(count: int, per_pack: int) -> Iterator[tuple[int, bytes]]:
    """``count`` packs of ``per_pack`` readings as (station number, SenML JSON)."""
    seqs = [0] * STATIONS
    for number in range(count):
        station = number % STATIONS
        seqs[station] += 1
        yield station, _pack(station, seqs[station], per_pack)


def _pack(station: int, seq: int, per_pack: int) -> bytes:
    first = (seq - 1) * per_pack
    at = START_MS + first * 1000
    labels = {
        "hn_stream": f"bench{station}",
        "hn_seq": seq,
        "hn_base": max(1, seq - 20),
        "hn_accepted": first + per_pack,
        "hn_dropped": 0,
        "hn_clock": "synced",
        "hn_kind": "reading",
    }
    records = []
    for index in range(per_pack):
        sensor, quantity, unit = QUANTITIES[(first + index) % len(QUANTITIES)]
        value = {"m": 1.0, "Cel": 20.0, "hPa": 1013.0}[unit] + (first + index) % 40 / 100
        record = {"n": f"{sensor}/{quantity}", "u": unit, "v": value, "t": at / 1000 + index}
        records.append(record)
    records[0] = {"bn": f"{COMMUNITY}/s{station}/", "bver": 26, **records[0], **labels}
    return json.dumps(records, separators=(",", ":")).encode()


def topic(station: int) -> str:
    """Where a station sends."""
    return f"hinomi/v1/{COMMUNITY}/s{station}/obs"


class Publisher:
    """QoS 1 on a plain socket, at most ``window`` unacknowledged."""

    def __init__(self, port: int, window: int = 500) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._window = window
        self._inflight = 0
        self._mid = 0
        self._rest = b""
        name = f"bench-{os.getpid()}-{port}-{time.monotonic_ns()}".encode()
        body = b"\x00\x04MQTT\x05\x02\x00\x00\x00" + struct.pack("!H", len(name)) + name
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        answer = self._socket.recv(64)
        if answer[:1] != b"\x20":
            raise ConnectionError(f"the broker said {answer.hex()}")
        # Receive Maximum of the broker, if it tells one.
        at = answer.find(b"\x21", 5)
        if at > 0:
            self._window = min(window, struct.unpack("!H", answer[at + 1 : at + 3])[0])

    def publish(self, messages: Sequence[tuple[str, bytes]], rate: float = 0.0) -> None:
        """All of them, acknowledged; ``rate``: at most so many a second."""
        begun = time.perf_counter()
        out = bytearray()
        for sent, (to, payload) in enumerate(messages):
            while self._inflight + 1 > self._window:
                self._flush(out)
                if self._inflight + 1 > self._window:
                    self._wait()
            if rate:
                due = begun + sent / rate
                now = time.perf_counter()
                if due > now:
                    self._flush(out)
                    time.sleep(due - now)
            out += self._packet(to.encode(), payload)
            if len(out) > 32_000:
                self._flush(out)
        self._flush(out)
        while self._inflight:
            self._wait()

    def _packet(self, to: bytes, payload: bytes) -> bytes:
        self._mid = self._mid % 65_535 + 1
        self._inflight += 1
        head = struct.pack("!H", len(to)) + to + struct.pack("!H", self._mid) + b"\x00"
        return b"\x32" + _length(len(head) + len(payload)) + head + payload

    def _flush(self, out: bytearray) -> None:
        if out:
            self._socket.sendall(out)
            out.clear()
        while select.select([self._socket], [], [], 0)[0]:
            self._read()

    def _wait(self) -> None:
        if select.select([self._socket], [], [], 30.0)[0]:
            self._read()

    def _read(self) -> None:
        received = self._socket.recv(65_536)
        if not received:
            raise ConnectionError("the broker closed the connection")
        data = self._rest + received
        at = 0
        while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
            if data[at] == 0x40:
                self._inflight -= 1
            at += 2 + data[at + 1]
        self._rest = data[at:]


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


class Meter:
    """Processor time (user and system, all threads) and memory of one process, from /proc."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._tick = os.sysconf("SC_CLK_TCK")

    def cpu_s(self) -> float:
        """Seconds since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / self._tick

    def rss_mib(self) -> float:
        """Greatest resident set so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0


def count(influx: Influx, database: str) -> int:
    """Readings in the database; Telegraf calls all of them ``senml`` and their field ``v``."""
    total = 0
    names = [("value", quantity) for _, quantity, _ in QUANTITIES]
    for field, measurement in [("v", "senml")] if database == "telegraf" else names:
        answer = query(influx, f'SELECT count("{field}") FROM "{measurement}"', database)
        for series in answer["results"][0].get("series", []):
            total += int(series["values"][0][1])
    return total


def query(
    influx: Influx, text: str, database: str = ""
) -> dict[str, list[dict[str, list[dict[str, list[list[int]]]]]]]:
    """One InfluxQL query."""
    body = urllib.parse.urlencode({"q": text, "db": database}).encode()
    with urllib.request.urlopen(f"{influx.url}/query", body, timeout=60) as answer:
        found: dict[str, list[dict[str, list[dict[str, list[list[int]]]]]]] = json.load(answer)
        return found


def wait_for_count(influx: Influx, database: str, expected: int, seconds: float) -> float:
    """When the count was reached (perf_counter), asking often near the end only."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        now = count(influx, database)
        if now >= expected:
            return time.perf_counter()
        time.sleep(0.25 if now < 0.9 * expected else 0.05)
    raise TimeoutError(f"{count(influx, database)} of {expected} readings after {seconds} s")


def machine() -> str:
    """What this was measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    system = f"{platform.system()} {platform.release()}"
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, {system}"


def servers(folder: Path) -> tuple[Mosquitto, Influx]:
    """A broker without limits and an InfluxDB, both started."""
    broker, influx = Mosquitto(folder / "broker", BROKER), Influx(folder / "influx")
    broker.start()
    influx.start()
    return broker, influx


def in_background(
    publisher: Publisher, messages: Sequence[tuple[str, bytes]], rate: float = 0.0
) -> threading.Thread:
    """Publish in a thread of its own."""
    thread = threading.Thread(target=publisher.publish, args=(messages, rate))
    thread.start()
    return thread
