"""From the journal to the cloud: connect, send, resend until acknowledged, delete; for ever.

The broker's own acknowledgement says nothing about durability. What counts is the cloud's ``ack``: it deletes packs
here, and what it does not cover goes again.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

import aiomqtt
import msgspec

from edge import acked, body, wire
from edge.backlog import Backlog
from edge.clock import StationClock
from edge.collect import Collector
from edge.config import EdgeConfig
from edge.health import Health
from edge.link import OFFLINE, Link, explain, refused, tls_context
from edge.outbox import Ack, Outbox
from edge.pick import Ask, Turn, pick
from edge.waiting import wait_for
from hinomi.clock import Clock
from hinomi.errors import Rejected, Transient
from hinomi.journal.protocol import Record
from sensing.observation import ClockQuality
from sensing.senml import Pack, encode

# Waits between attempts to connect (s), doubling.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# A connection that lived this long (s) was a good one: the next attempt is soon, however often the line breaks. Two
# machines under one name, who end each other's connections, still have to wait longer each time.
GOOD_S = 10.0
# How long to wait for the retained acknowledgement (s), which saves resending what the cloud has; the broker sends
# it right behind its answer to the subscription.
RETAINED_ACK_S = 0.2
# Where none is retained after a start, a pack of nothing asks for one, again and again after so many seconds.
ASK_AGAIN_S = 10.0
# How often the status is told (s), and how soon after the last time when something changed.
STATUS_EVERY_S = 300.0
STATUS_SOON_S = 10.0
# A station without a clock asks the cloud for the time after so many seconds (NTP may yet answer), and so often.
ASK_TIME_AFTER_S = 5.0
ASK_TIME_EVERY_S = 60.0

# How long (s) packs may wait for the cloud before a person should look.
SILENT_S = 300.0
FULL_DISK_WAIT_S = 5.0

_ACKS = msgspec.json.Decoder(Ack)


class Uplink:
    """The station's connection; one for each configuration in force."""

    def __init__(
        self,
        config: EdgeConfig,
        backlog: Backlog,
        collector: Collector,
        clock: StationClock,
        pace: Clock,
        health: Health,
        rng: random.Random,
        *,
        status: Callable[[], bytes],
    ) -> None:
        """Wire it up; ``status`` makes the body of the status topic."""
        self._config = config
        self._backlog = backlog
        self._collector = collector
        self._clock = clock
        self._pace = pace
        self._health = health
        self._rng = rng
        self._status = status
        self._outbox = Outbox(config.uplink.window, config.uplink.resend_s, rng)
        self._scanned = 0
        self._live_from = 0
        self._held = False
        self._answered_at = 0.0
        self._wake = backlog.changed
        self._acknowledged = asyncio.Event()
        self._knows = False

    async def run(self) -> None:
        """Connect, and again after each loss, with growing waits; nothing that happens there loses a pack."""
        failures = 0
        while True:
            started = self._pace.monotonic()
            try:
                await self._connection()
                text = "the connection ended"
            except* (aiomqtt.MqttError, OSError, Transient) as group:
                text = explain(_first(group), self._config.broker, self._config.station)
            self._outbox.connection_lost(self._pace.monotonic())
            self._health.count("uplink.disconnects")
            self._health.failed("uplink", text)
            failures = 0 if self._pace.monotonic() - started > GOOD_S else failures + 1
            wait = min(FIRST_WAIT_S * 2.0**failures, LONGEST_WAIT_S)
            await self._pace.sleep(wait * self._rng.uniform(0.5, 1.0))

    async def _connection(self) -> None:
        known = self._clock.setting.quality is not ClockQuality.UNSYNCED
        broker = self._config.broker
        link = Link(broker, self._config.station, await asyncio.to_thread(tls_context, broker, clock_known=known))
        await link.open()
        self._health.works("uplink")
        try:
            await self._session(link)
        except asyncio.CancelledError:
            with contextlib.suppress(aiomqtt.MqttError):
                await link.publish(self._config.station.topic("status"), OFFLINE, qos=1, retain=True, timeout=2.0)
            raise
        finally:
            await link.close()

    async def _session(self, link: Link) -> None:
        stats = await self._backlog.run(lambda journal: journal.stats())
        self._live_from = stats.next_seq
        self._answered_at = self._pace.monotonic()
        self._acknowledged.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(link))
            await self._subscribe(link)
            tasks.create_task(self._tell(link))
            if stats.next_seq > 1:
                await self._hear_of_us(link, tasks, answered=stats.base > 1)
            tasks.create_task(self._ask_time())
            tasks.create_task(self._send(link, tasks))

    async def _hear_of_us(self, link: Link, tasks: asyncio.TaskGroup, *, answered: bool) -> None:
        """Wait for the retained acknowledgement; where one was ``answered`` once and is gone, ask after a start.

        A card that is an older copy must learn it before it sends under numbers that the cloud knows already.
        """
        heard = await wait_for(self._acknowledged, self._pace, RETAINED_ACK_S)
        if answered and not heard and not self._knows:
            with contextlib.suppress(Transient):
                record, stand = await self._backlog.run(acked.ask)
                self._start(link, record, stand, tasks)
                while not await wait_for(self._acknowledged, self._pace, ASK_AGAIN_S):
                    self._start(link, record, stand, tasks)
        self._knows = True

    def _start(self, link: Link, record: Record, stand: wire.Stand, tasks: asyncio.TaskGroup) -> None:
        """Send without waiting for the broker."""
        payload = self._payload(record, stand)
        self._outbox.sent(record.seq, len(payload), self._pace.monotonic())
        tasks.create_task(self._publish(link, record.seq, payload))

    async def _subscribe(self, link: Link) -> None:
        topic = self._config.station.topic("ack")
        codes = await link.subscribe(topic)
        if any(refused(code) for code in codes):
            self._health.failed("subscription", f"the broker does not let us read {topic}: check its ACL file")
        else:
            self._health.works("subscription")

    async def _tell(self, link: Link) -> None:
        """Publish the status now, then regularly, and soon after it has changed."""
        while True:
            version, told_at = self._health.version, self._pace.monotonic()
            await link.publish(self._config.station.topic("status"), self._status(), qos=1, retain=True)
            while self._health.version == version and self._pace.monotonic() < told_at + STATUS_EVERY_S:
                await self._pace.sleep(STATUS_SOON_S)
                self._look_at_cloud()

    def _look_at_cloud(self) -> None:
        silent = self._pace.monotonic() - self._answered_at
        if len(self._outbox) and silent > SILENT_S:
            self._health.failed(
                "cloud",
                f"the broker takes our packs, but the cloud has not acknowledged any for {SILENT_S:.0f} s: "
                f"is it running, and is {self._config.station} registered there ('hinomi station list')?",
            )

    async def _ask_time(self) -> None:
        """Where NTP is blocked: send a pack of nothing, because its acknowledgement tells the time.

        Readings wait until then, so that none has to go with a wrong time only to learn the right one.
        """
        await self._pace.sleep(ASK_TIME_AFTER_S)
        while self._clock.correction(self._clock.setting.number) is None:
            with contextlib.suppress(Transient):
                await self._backlog.run(acked.append_nothing)
                self._wake.set()
            await self._pace.sleep(ASK_TIME_EVERY_S)

    async def _send(self, link: Link, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            try:
                turn = await self._turn()
            except Transient as error:
                # A full disk: what cannot be marked as sent is not sent; acknowledgements will make room.
                self._health.failed("journal", str(error))
                await self._pace.sleep(FULL_DISK_WAIT_S)
                continue
            self._outbox.forget(turn.vanished)
            for record in turn.records:
                self._start(link, record, turn.stand, tasks)
            if turn.records or turn.more:
                # Others run in between; what was committed meanwhile is looked at first.
                await asyncio.sleep(0)
                continue
            due = self._outbox.next_due
            await wait_for(self._wake, self._pace, 3600.0 if due is None else due - self._pace.monotonic())

    async def _turn(self) -> Turn:
        await self._collector.save_clock()
        held = self._clock.correction(self._clock.setting.number) is None
        if self._held and not held:
            # What was passed over because its time was not settled may go now.
            self._scanned = 0
        self._held = held
        now = self._pace.monotonic()
        ask = Ask.of(self._outbox, now, live_from=self._live_from, scanned=self._scanned, hold_fresh=held)
        turn = await self._backlog.run(lambda journal: pick(journal, ask, self._sendable))
        self._scanned = turn.scanned
        return turn

    def _sendable(self, record: Record) -> bool:
        """Whether the times of a record are settled; a damaged one goes, so that it is seen and counted."""
        if record.tombstone or not record.body:
            return True
        try:
            return self._clock.correction(body.setting_and_level(record.body)[0]) is not None
        except Rejected:
            return True

    def _payload(self, record: Record, stand: wire.Stand) -> bytes:
        uplink = self._config.uplink
        return encode(self._pack(record, stand), form=uplink.form, deflate=uplink.deflate)

    def _pack(self, record: Record, stand: wire.Stand) -> Pack:
        station, quality, now = self._config.station, self._clock.setting.quality, self._clock.now()
        if record.tombstone or not record.body:
            return wire.tombstone(record, stand, station, quality, now)
        try:
            correction = self._clock.correction(body.setting_and_level(record.body)[0])
            assert correction is not None  # noqa: S101 - only sendable ones come here
            return wire.pack(record, stand, station, correction)
        except Rejected as error:
            # Never seen to happen; said to the cloud as given up rather than kept for ever.
            self._health.tell(f"pack {record.seq} of {record.count} readings cannot be read: {error}")
            return wire.tombstone(record, stand, station, quality, now)

    async def _publish(self, link: Link, seq: int, payload: bytes) -> None:
        topic = self._config.station.topic("obs")
        properties = link.content_type(wire.CONTENT_TYPES[self._config.uplink.form])
        self._health.count("uplink.packs")
        self._health.count("uplink.bytes", len(payload))
        await link.publish(topic, payload, qos=1, properties=properties)
        self._outbox.taken(seq)
        if link.refusal:
            self._health.failed("publishing", f"the broker refuses {topic} ({link.refusal}): check its ACL file")
            link.refusal = ""

    async def _listen(self, link: Link) -> None:
        async for message in link.messages:
            try:
                ack = _ACKS.decode(bytes(message.payload))
            except (msgspec.DecodeError, TypeError):
                self._health.count("uplink.malformed_acks")
                continue
            try:
                await self._take_ack(ack, live=not message.retain)
            except Transient as error:
                # Not deleted here, so it will be sent and acknowledged again.
                self._health.failed("journal", str(error))

    async def _take_ack(self, ack: Ack, *, live: bool) -> None:
        if ack.stream != self._backlog.stream:
            # The retained one of a former journal of ours; or another machine speaks in our name.
            self._health.count("uplink.other_stream_acks" if live else "uplink.former_stream_acks")
            return
        ahead = await self._backlog.run(lambda journal: acked.settle(journal, ack))
        if ahead:
            self._begin_again(ack)
            return
        now = self._pace.monotonic()
        sent_at = self._outbox.acknowledged(ack)
        self._knows = True
        if live or sent_at is not None:
            self._answered_at = now
            self._outbox.cloud_is_there(now)
            self._health.works("cloud")
            self._health.works("publishing")
        # A retained one tells the time of long ago.
        if live and sent_at is not None and self._clock.anchor(ack.now, waited_s=now - sent_at):
            self._collector.clock_changed()
        self._acknowledged.set()
        self._wake.set()

    def _begin_again(self, ack: Ack) -> None:
        self._outbox.clear()
        self._scanned = 0
        self._health.count("uplink.streams_renewed")
        self._health.tell(
            f"the cloud acknowledged packs of this journal, up to {ack.highest}, which were never issued here: the "
            f"card is an older copy or was restored; a new stream was begun, nothing held here is lost"
        )
        self._acknowledged.set()
        self._wake.set()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
