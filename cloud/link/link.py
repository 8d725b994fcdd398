"""The link: connect, hand on what arrives, acknowledge what was committed, begin again after a loss."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cloud.link.client import Connection, Refused
from cloud.link.section import BrokerSection, tls_context
from hinomi.clock import Clock
from hinomi.errors import ConfigError

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.5
BACKOFF_LAST_S = 30.0

# (topic, payload, MQTT 5 properties) -> nothing to wait for, or a future: True: acknowledge, False: stale.
# It runs in the event loop, once for each message, and must neither block nor raise.
Receive = Callable[[str, bytes, dict[str, Any]], "asyncio.Future[bool] | None"]


class Lifecycle(Protocol):
    """Who wants to know of connections."""

    def connected(self, *, session_present: bool) -> None:
        """Subscribed; without a session the broker has forgotten us, and perhaps its retained messages."""
        ...

    def lost(self) -> None:
        """Nothing that was received and not acknowledged can be acknowledged any more; resolve it as stale."""
        ...


class Link:
    """One persistent MQTT 5 session.

    ``run`` keeps it up until cancelled. Reading pauses while ``section.window`` messages are in work, or they are
    larger than ``section.window_mb``: the broker's word for it (receive maximum) is asked for, but not relied on.

    Attributes:
        generation: number of the present connection, from 1.
        stale: messages whose connection was gone before their commit; the broker delivers them again.
    """

    def __init__(
        self,
        section: BrokerSection,
        topics: Sequence[str],
        receive: Receive,
        lifecycle: Lifecycle,
        *,
        pace: Clock,
        rng: random.Random,
    ) -> None:
        self.generation = 0
        self.stale = 0
        self._section = section
        self._topics = topics
        self._receive = receive
        self._lifecycle = lifecycle
        self._pace = pace
        self._rng = rng
        self._connection: Connection | None = None
        self._problem: str | None = "not connected yet"
        self._working = 0
        self._held = 0
        self._held_max = section.window_mb << 20
        self._gate = asyncio.Event()
        self._gate.set()

    @property
    def is_connected(self) -> bool:
        """Whether messages can arrive now."""
        return self._connection is not None

    @property
    def in_work(self) -> int:
        """Messages that are received and not acknowledged."""
        return self._working

    @property
    def held_bytes(self) -> int:
        """Size of the messages in work."""
        return self._held

    def problem(self) -> str | None:
        """Why there is no connection, for people; None when there is one."""
        return self._problem

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send with QoS 0; False when there is no connection."""
        if self._connection is None:
            return False
        self._connection.publish(topic, payload, retain=retain)
        return True

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            ConfigError: the first connection was refused for what stands in the configuration.
        """
        tls = tls_context(self._section)
        failures = 0
        while True:
            connection = Connection(self._section, self._handle, self._gate)
            try:
                await self._open(connection, tls)
            except (Refused, OSError) as error:
                failures += 1
                self._failed(error)
            else:
                failures = 0
                await self._serve(connection)
            await self._pace.sleep(self._backoff(failures))

    async def _open(self, connection: Connection, tls: ssl.SSLContext | None) -> None:
        try:
            await connection.open(tls, self._topics)
        except BaseException:
            # What waited for us was sent before the answer to our subscription, and may be in work.
            self._lifecycle.lost()
            raise

    async def _serve(self, connection: Connection) -> None:
        self.generation += 1
        self._connection = connection
        self._problem = None
        self._lifecycle.connected(session_present=connection.session_present)
        watch = asyncio.ensure_future(self._watch(connection))
        try:
            self._problem = await asyncio.shield(connection.lost)
        finally:
            watch.cancel()
            self._connection = None
            await connection.close()
            self._lifecycle.lost()
        log.info("broker: connection %d lost: %s", self.generation, self._problem)

    async def _watch(self, connection: Connection) -> None:
        """End a connection whose other side is silent: TCP alone would wait for a quarter of an hour."""
        limit = 1.9 * self._section.keepalive_s  # gmqtt says after twice as long that the broker ended it
        while True:
            await self._pace.sleep(self._section.keepalive_s / 2)
            if self._gate.is_set() and connection.silent_for() > limit:
                connection.end(f"the broker was silent for {limit:.0f} s")

    async def _handle(self, topic: str, payload: bytes, properties: dict[str, Any]) -> int:
        """0 makes gmqtt send the PUBACK, into the connection that the message came from."""
        size = len(payload)
        self._working += 1
        self._held += size
        # mosquitto 2.0 sends more than our receive maximum as soon as a queue has formed (its issue 2301).
        if self._working >= self._section.window or self._held > self._held_max:
            self._gate.clear()
        try:
            committed = self._receive(topic, payload, properties)
            if committed is not None and not await committed:
                self.stale += 1
            return 0
        finally:
            self._working -= 1
            self._held -= size
            if self._working < self._section.window and self._held <= self._held_max:
                self._gate.set()

    def _failed(self, error: Exception) -> None:
        where = f"{self._section.host}:{self._section.real_port}"
        if isinstance(error, Refused):
            self._problem = f"{where} refused us: {error}; check broker.username, password and its access list"
        elif isinstance(error, ssl.SSLCertVerificationError):
            self._problem = f"{where} shows a certificate that broker.ca does not vouch for: {error.verify_message}"
        else:
            self._problem = f"{where} cannot be reached: {error}; is the broker running there?"
            return
        if self.generation == 0:
            # Nobody else would notice a wrong password on the first start; later it may be a broker being set up.
            raise ConfigError.of("broker", self._problem)

    def _backoff(self, failures: int) -> float:
        """Full jitter, so that many clients of a restarted broker do not come at once."""
        ceiling = min(BACKOFF_FIRST_S * 2.0 ** min(failures, 10), BACKOFF_LAST_S)
        return self._rng.uniform(BACKOFF_FIRST_S / 5, ceiling)
