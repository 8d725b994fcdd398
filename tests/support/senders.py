"""Stations that send again until they are acknowledged, and write down first what they promise.

A model of the edge's rules, on aiomqtt: what is accepted stands fsynced in a file (the oracle); a pack is deleted
only when ``ack`` covers it; fresh packs go first; the rest is sent again after a while, in any order.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import aiomqtt

from sensing.observation import ClockQuality, Kind
from sensing.senml import Header, Item, Pack, encode
from sensing.topic import StationId

BURST = 60

Key = tuple[str, str, str, int]


class Oracle:
    """What was accepted, on the disk before it is sent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a")

    def accept(self, keys: dict[Key, float]) -> None:
        for (station, sensor, quantity, at), value in keys.items():
            self._file.write(json.dumps([station, sensor, quantity, at, value]) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def read(self) -> dict[Key, float]:
        rows = (json.loads(line) for line in self.path.read_text().splitlines())
        return {(station, sensor, quantity, at): value for station, sensor, quantity, at, value in rows}


class Sender:
    """One station; ``produce`` makes packs, ``run`` sends them."""

    def __init__(
        self,
        station: StationId,
        port: int,
        oracle: Oracle,
        rng: random.Random,
        *,
        stream: str = "s1",
        resend_s: float = 0.7,
    ) -> None:
        self.station = station
        self.stream = stream
        self.resend_s = resend_s
        self.accepted = 0
        self.acked = 0
        self.published = 0
        self.garbage: Callable[[random.Random], bytes | None] = lambda _rng: None
        self._port = port
        self._oracle = oracle
        self._rng = rng
        self._next = 1
        self._packs: dict[int, list[Item]] = {}
        self._sent_at: dict[int, float] = {}
        self._clock_ms = (int(time.time()) - 86_400) * 1000 + rng.randrange(1000)

    @property
    def pending(self) -> int:
        """Packs that are not acknowledged."""
        return len(self._packs)

    def produce(self, packs: int, readings: int) -> None:
        """Accept some packs; their readings are on the disk when this returns."""
        keys: dict[Key, float] = {}
        for _ in range(packs):
            items = []
            for _ in range(readings):
                self._clock_ms += 200
                value = self._rng.randrange(100, 300) / 100
                keys[(self.station.station, "gauge", "water_level", self._clock_ms)] = value
                items.append(Item(f"{self.station}/gauge/water_level", "m", self._clock_ms, value))
            self._packs[self._next] = items
            self._next += 1
            self.accepted += readings
        self._oracle.accept(keys)

    async def run(self) -> None:
        """Connect and send until cancelled."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError, OSError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self._port,
                    identifier=self.station.client_id,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    timeout=5,
                ) as client:
                    client.pending_calls_threshold = BURST
                    await client.subscribe(self.station.topic("ack"), qos=0)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._hear(client))
                        group.create_task(self._send(client))
            await asyncio.sleep(0.1)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            body = json.loads(bytes(message.payload))  # type: ignore[arg-type]
            if body["stream"] != self.stream:
                continue
            for seq in [seq for seq in self._packs if _covered(seq, body)]:
                self.acked += len(self._packs.pop(seq))
                self._sent_at.pop(seq, None)
        raise aiomqtt.MqttError("disconnected")

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            now = time.monotonic()
            unsent = [seq for seq in self._packs if seq not in self._sent_at]
            late = [seq for seq, at in self._sent_at.items() if now - at > self.resend_s]
            self._rng.shuffle(late)
            due = (sorted(unsent, reverse=True) + late)[:BURST]
            for seq in due:
                self._sent_at[seq] = now
            await asyncio.gather(*(self._publish(client, self._body(seq)) for seq in due))
            if not due:
                await asyncio.sleep(0.02)

    def _body(self, seq: int) -> bytes:
        base = min(self._packs, default=self._next)
        head = Header(self.stream, seq, min(base, seq), self.accepted, 0, ClockQuality.SYNCED, Kind.READING)
        items = self._packs.get(seq)
        return b"" if items is None else encode(Pack(head, items))

    async def _publish(self, client: aiomqtt.Client, body: bytes) -> None:
        if not body:
            return
        bad = self.garbage(self._rng)
        if bad is not None:
            await client.publish(self.station.topic("obs"), bad, qos=1)
        await client.publish(self.station.topic("obs"), body, qos=1)
        self.published += 1


def _covered(seq: int, ack: dict[str, list[list[int]] | int]) -> bool:
    upto, also = ack["upto"], ack["also"]
    assert isinstance(upto, int)
    assert isinstance(also, list)
    return seq <= upto or any(low <= seq <= high for low, high in also)
