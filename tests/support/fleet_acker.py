"""The least that a cloud can be: remembers what arrives and acknowledges it end to end. Reads SenML by hand."""

import json
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, Self

import cbor2
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

Key = tuple[str, str, str, int]

_LABELS = {-1: "bver", -2: "bn", -3: "bt", 0: "n", 1: "u", 2: "v", 6: "t"}


class Acker:
    """A subscriber with a persistent session.

    Attributes:
        values: by (station, sensor, quantity, measured_at) what was said of it, each different value once.
        seqs: by (station, stream) the packs that came.
        headers: every header in order of arrival, with the station.
        messages: how many packs came, the repeated ones too.
        statuses: the newest status of each station.
        silent: while set, nothing is acknowledged.
    """

    def __init__(self, port: int, *, password: str | None = None) -> None:
        self.values: dict[Key, set[float]] = {}
        self.seqs: dict[tuple[str, str], set[int]] = {}
        self.headers: list[dict[str, Any]] = []
        self.messages = 0
        self.payloads: list[tuple[str, bytes, str | None]] = []
        self.statuses: dict[str, dict[str, Any]] = {}
        self.silent = threading.Event()
        self._bases: dict[tuple[str, str], int] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="acker", protocol=mqtt.MQTTv5)
        if password is not None:
            self._client.username_pw_set("cloud", password)
        self._client.on_connect = self._connected
        self._client.on_message = self._message
        self._client.reconnect_delay_set(1, 1)
        self._port = port

    def __enter__(self) -> Self:
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        session.ReceiveMaximum = 500
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=session)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # Without these references back to us it is freed at once, and closes its last two sockets.
        self._client.on_connect = None
        self._client.on_message = None

    @property
    def keys(self) -> set[Key]:
        return set(self.values)

    def wait(self, condition: Callable[[], bool], seconds: float = 20.0) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def speak(self) -> None:
        """Acknowledge what came while it was silent."""
        self.silent.clear()
        for station, stream in list(self.seqs):
            self._acknowledge(station, stream)

    def say(self, station: str, ack: dict[str, Any]) -> None:
        self._client.publish(f"hinomi/v1/{station}/ack", json.dumps(ack), retain=True).wait_for_publish(5)

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([("hinomi/v1/+/+/obs", 1), ("hinomi/v1/+/+/status", 1)])

    def _message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        _, _, community, station, leaf = message.topic.split("/")
        name = f"{community}/{station}"
        if leaf == "status":
            self.statuses[name] = json.loads(message.payload)
            return
        self.payloads.append((name, message.payload, getattr(message.properties, "ContentType", None)))
        records = read_senml(message.payload)
        header = {label: value for label, value in records[0].items() if label.startswith("hn_")}
        self.messages += 1
        self.headers.append({"station": name, **header})
        bn, bt = records[0]["bn"], records[0]["bt"]
        for record in records:
            owner, sensor, quantity = (bn + record["n"]).rsplit("/", 2)
            key = (owner, sensor, quantity, round((bt + record.get("t", 0.0)) * 1000))
            self.values.setdefault(key, set()).add(record["v"])
        place = (name, header["hn_stream"])
        self.seqs.setdefault(place, set()).add(header["hn_seq"])
        self._bases[place] = max(header["hn_base"], self._bases.get(place, 0))
        if not self.silent.is_set():
            self._acknowledge(*place)

    def _acknowledge(self, station: str, stream: str) -> None:
        have = self.seqs[station, stream]
        upto = self._bases[station, stream] - 1
        while upto + 1 in have:
            upto += 1
        also: list[list[int]] = []
        for seq in sorted(seq for seq in have if seq > upto):
            if also and also[-1][1] == seq - 1:
                also[-1][1] = seq
            else:
                also.append([seq, seq])
        ack = {"stream": stream, "upto": upto, "also": also[:64], "now": round(time.time() * 1000)}
        self._client.publish(f"hinomi/v1/{station}/ack", json.dumps(ack), retain=True)


def read_senml(payload: bytes) -> list[dict[str, Any]]:
    if payload[0] == 0x78:
        payload = zlib.decompress(payload)
    records = json.loads(payload) if payload[:1] == b"[" else cbor2.loads(payload)
    return [{_LABELS.get(label, label): value for label, value in record.items()} for record in records]
