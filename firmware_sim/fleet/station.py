"""A light station: what it measures, what it still has to deliver, and its connection."""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence

import msgspec

from firmware_sim.fleet.link import Broker, Connection, Refused
from firmware_sim.fleet.outbox import Ack, Outbox
from firmware_sim.fleet.pack import CONTENT_TYPE, Form, Pack, Series, payload
from firmware_sim.signals.base import Signal
from hinomi.clock import Clock

FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 30.0

_ACK: msgspec.json.Decoder[Ack] = msgspec.json.Decoder(Ack)


class DatastreamPlan(msgspec.Struct, frozen=True):
    """One thing that a station measures.

    Attributes:
        sensor: its name inside the station.
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        interval_s: seconds of the measurement clock between two readings.
        signal: the world it looks at.
    """

    sensor: str
    quantity: str
    interval_s: float
    signal: Signal


class StationPlan(msgspec.Struct, frozen=True):
    """One station.

    Attributes:
        id: ``community/station``.
        datastreams: what it measures; none: it only delivers what an earlier run left.
    """

    id: str
    datastreams: tuple[DatastreamPlan, ...] = ()


class Wire(msgspec.Struct, frozen=True):
    """How all stations of a fleet talk.

    Attributes:
        broker: where to.
        form: SenML as JSON or CBOR.
        deflate: in a zlib layer.
        version: what they say their software is.
    """

    broker: Broker
    form: Form = "json"
    deflate: bool = False
    version: str = "fleet"


class Readings:
    """What a station has measured and not yet packed, at most one value for each moment of a datastream."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str, int, float]] = []
        self._last: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def passed(self, sensor: str, quantity: str, at_ms: int) -> None:
        """There was a reading at ``at_ms`` in an earlier run."""
        self._last[sensor, quantity] = max(at_ms, self.last(sensor, quantity, at_ms))

    def last(self, sensor: str, quantity: str, default: int) -> int:
        """Time (ms) of the datastream's newest reading."""
        return self._last.get((sensor, quantity), default)

    @property
    def newest(self) -> int:
        """Time (ms) of the station's newest reading; 0 when there was none."""
        return max(self._last.values(), default=0)

    def take(self, sensor: str, quantity: str, at_ms: int, value: float) -> None:
        """Note a reading, unless the datastream already has one at that moment or later."""
        if self.last(sensor, quantity, at_ms - 1) < at_ms:
            self._open.append((sensor, quantity, at_ms, value))
            self._last[sensor, quantity] = at_ms

    def pop(self, count: int) -> list[Series]:
        """Take ``count`` of them out, the oldest first."""
        taken, self._open = self._open[:count], self._open[count:]
        found: dict[tuple[str, str], Series] = {}
        for sensor, quantity, at_ms, value in taken:
            series = found.setdefault((sensor, quantity), Series(sensor, quantity, [], []))
            series.times.append(at_ms)
            series.values.append(value)
        return list(found.values())


class LightStation:
    """One simulated station of a fleet.

    Attributes:
        plan: what it is.
        outbox: what it still has to deliver.
        readings: what it has measured and not yet packed.
        refusal: why the broker did not let it in the last time; empty when it is in, or was never refused.
        fresh_acks: acknowledgements that were news and are not in the log yet.
    """

    def __init__(
        self, plan: StationPlan, stream: str, wire: Wire, *, password: str | None, pace: Clock, rng: random.Random
    ) -> None:
        self.plan = plan
        self.outbox = Outbox(plan.id, stream, rng)
        self.readings = Readings()
        self.refusal = ""
        self.fresh_acks: list[Ack] = []
        self._wire = wire
        self._password = password
        self._pace = pace
        self._rng = rng
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether it may send."""
        return self._connection is not None and not self._connection.lost.done()

    def recover(self, pack: Pack) -> None:
        """A pack of an earlier run, from the log."""
        self.outbox.add(pack)
        for series in pack.series:
            self.readings.passed(series.sensor, series.quantity, series.times[-1])

    def beats(self) -> Iterator[tuple[int, tuple[DatastreamPlan, ...]]]:
        """Its datastreams by interval (ms): those of one interval are measured together."""
        intervals = sorted({datastream.interval_s for datastream in self.plan.datastreams})
        for interval in intervals:
            group = tuple(each for each in self.plan.datastreams if each.interval_s == interval)
            yield max(1, round(interval * 1000)), group

    def measure(self, group: Sequence[DatastreamPlan], at_ms: int) -> None:
        """Read the world at ``at_ms``; a gap in it is no reading."""
        for datastream in group:
            value = datastream.signal.value(at_ms)
            if value is not None:
                self.readings.take(datastream.sensor, datastream.quantity, at_ms, value)

    def packed(self, size: int | None, *, rest: bool) -> list[Pack]:
        """Packs for the log of what was measured; they are the outbox's only when they are on the disk.

        Args:
            size: readings in each; None: all there is in one.
            rest: also a last one that is smaller.
        """
        packs: list[Pack] = []
        size = size or len(self.readings)
        while self.readings and (len(self.readings) >= size or rest):
            seq = self.outbox.next_seq + len(packs)
            packs.append(Pack(self.plan.id, self.outbox.stream, seq, self.readings.pop(size)))
        return packs

    def pump(self) -> None:
        """Send whatever is due and has room."""
        connection = self._connection
        if connection is None:
            return
        now = self._pace.monotonic()
        while connection.room > 0 and (pack := self.outbox.due(now)) is not None:
            connection.send(self._body(pack), CONTENT_TYPE[self._wire.form])

    def _body(self, pack: Pack) -> bytes:
        outbox, wire = self.outbox, self._wire
        return payload(pack, base=outbox.base, accepted=outbox.accepted, form=wire.form, deflate=wire.deflate)

    async def deliver(self, gate: asyncio.Semaphore) -> None:
        """Keep connected until cancelled; ``gate`` limits how many connect at the same time."""
        failures = 0
        while True:
            connection = self._new_connection()
            try:
                async with gate:
                    await connection.open()
                failures, self.refusal = 0, ""
                self._begin(connection)
                await asyncio.wait({connection.lost})
            except Refused as error:
                self.refusal = str(error)
            except OSError:
                pass
            finally:
                self._connection = None
                await connection.close()
            failures += 1
            await self._pace.sleep(self._backoff(failures))

    def _new_connection(self) -> Connection:
        return Connection(
            self.plan.id, self._password, self._wire.broker, on_ack=self._acknowledged, on_room=self.pump
        )

    def _begin(self, connection: Connection) -> None:
        self._connection = connection
        connection.say(self._status())
        self.outbox.connected(self._pace.monotonic())
        self.pump()

    def _backoff(self, failures: int) -> float:
        return min(FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 10), LAST_BACKOFF_S) * self._rng.uniform(0.5, 1.0)

    def _acknowledged(self, body: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            ack = _ACK.decode(body)
            if self.outbox.acknowledge(ack):
                self.fresh_acks.append(ack)

    def _status(self) -> dict[str, object]:
        outbox = self.outbox
        return {
            "status": "online",
            "version": self._wire.version,
            "boot_id": outbox.stream,
            "serial": f"fleet:{self.plan.id}",
            "config_hash": "",
            "counters": {"accepted": outbox.accepted, "acked": outbox.acked, "resent": outbox.resent},
            "datastreams": [
                {"sensor": each.sensor, "quantity": each.quantity, "interval_s": each.interval_s}
                for each in self.plan.datastreams
            ],
        }
