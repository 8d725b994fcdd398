"""The smallest honest cloud: takes packs, keeps them, acknowledges them; and can be told to misbehave.

It decodes with the library that the cloud uses and shares nothing else with it, so that the edge is tested alone.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hinomi.errors import Rejected
from sensing.observation import Kind
from sensing.senml import Pack, decode

PackKey = tuple[str, int]


class Ranges:
    """Which numbers are here: all up to ``upto``, and some above."""

    def __init__(self) -> None:
        self.upto = 0
        self.above: set[int] = set()

    def add(self, seq: int) -> None:
        if seq > self.upto:
            self.above.add(seq)
        while self.upto + 1 in self.above:
            self.upto += 1
            self.above.discard(self.upto)

    def also(self) -> list[list[int]]:
        ranges: list[list[int]] = []
        for seq in sorted(self.above):
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1][1] = seq
            else:
                ranges.append([seq, seq])
        return ranges[:64]


class Acker:
    """Subscribes to everybody's packs with a persistent session, and acknowledges at most every ``every_s``.

    Attributes:
        silent: take packs, but do not acknowledge.
        deaf: forget packs that come, as a cloud does that was killed before its commit.
        now: the time that acknowledgements tell, ms.
        values: (name, measured_at) -> value, of every reading that came.
        packs: (stream, seq) -> pack, in the order of their first coming.
        arrived: (stream, seq) -> when it came first, s.
        conflicts: keys that came with two values.
        resent: how many packs came more than once.
        bytes: of all payloads.
        dropped: readings that tombstones declared.
        statuses: what came on ``status``.
        bad: why payloads could not be decoded.
    """

    def __init__(
        self,
        port: int,
        *,
        every_s: float = 0.05,
        host: str = "127.0.0.1",
        ca: Path | None = None,
        login: tuple[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.silent = False
        self.deaf = False
        self.now: Callable[[], int] = lambda: time.time_ns() // 1_000_000
        self.values: dict[tuple[str, int], float | None] = {}
        self.packs: dict[PackKey, Pack] = {}
        self.arrived: dict[PackKey, float] = {}
        self.conflicts: list[tuple[str, int]] = []
        self.resent = 0
        self.bytes = 0
        self.dropped = 0
        self.statuses: list[dict[str, Any]] = []
        self.bad: list[str] = []
        self.streams: dict[str, Ranges] = {}
        self._address = (host, port)
        self._every_s = every_s
        self._topics: dict[str, str] = {}
        self._dirty: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="cloud", protocol=mqtt.MQTTv5, manual_ack=True
        )
        if ca:
            files = map(str, certificate) if certificate else ()
            self._client.tls_set(str(ca), *files)
        if login:
            self._client.username_pw_set(*login)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        properties.ReceiveMaximum = 1000
        self._client.connect_async(*self._address, keepalive=60, clean_start=False, properties=properties)
        self._client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def readings(self) -> int:
        """Distinct keys."""
        return len(self.values)

    def say(self, topic: str, ack: object, *, retain: bool = True) -> None:
        """Publish an acknowledgement of the test's own."""
        payload = ack if isinstance(ack, bytes) else json.dumps(ack)
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def wait(self, condition: Callable[[Self], object], seconds: float = 20.0) -> None:
        """Wait until ``condition`` holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self._lock:
                if condition(self):
                    return
            time.sleep(0.01)
        raise AssertionError(f"not within {seconds} s; {len(self.packs)} packs came, {self.readings} readings")

    def _on_connect(self, client: mqtt.Client, userdata: object, flags: object, reason: object, _: object) -> None:
        client.subscribe([("hinomi/v1/+/+/obs", 1), ("hinomi/v1/+/+/status", 1)])
        with self._lock:
            self._dirty |= set(self._topics)

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            if message.topic.endswith("/status"):
                self.statuses.append(json.loads(message.payload))
            elif not self.deaf:
                self._take(message.topic, message.payload)
        client.ack(message.mid, message.qos)

    def _take(self, topic: str, payload: bytes) -> None:
        self.bytes += len(payload)
        try:
            pack = decode(payload, now_ms=self.now())
        except Rejected as error:
            self.bad.append(str(error))
            return
        header = pack.header
        assert header is not None
        key = (header.stream, header.seq)
        fresh = key not in self.packs
        if fresh:
            self.packs[key] = pack
            self.arrived[key] = time.monotonic()
        self.resent += not fresh
        if header.kind is Kind.DROPPED:
            self.dropped += int(pack.records[0].value or 0) if fresh else 0
        else:
            for item in pack.records:
                at = (item.name, item.measured_at)
                if self.values.setdefault(at, item.value) != item.value:
                    self.conflicts.append(at)
        self.streams.setdefault(header.stream, Ranges()).add(header.seq)
        self._topics[header.stream] = topic.removesuffix("obs") + "ack"
        self._dirty.add(header.stream)

    def _tick(self) -> None:
        while not self._ended.wait(self._every_s):
            if self.silent or not self._client.is_connected():
                continue
            with self._lock:
                dirty, self._dirty = self._dirty, set()
                acks = [(self._topics[stream], self._ack(stream)) for stream in dirty]
            for topic, ack in acks:
                self._client.publish(topic, json.dumps(ack), qos=0, retain=True)

    def _ack(self, stream: str) -> dict[str, Any]:
        ranges = self.streams[stream]
        return {"stream": stream, "upto": ranges.upto, "also": ranges.also(), "now": self.now()}
