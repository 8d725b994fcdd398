"""One connection on gmqtt 0.8, without the parts of it that lose messages.

gmqtt keeps one client over many connections: a handler that ends after a reconnect then acknowledges on the new
connection, where the same packet id names another message. Here a client lives for one connection only and never
reconnects, so (connection generation, packet id) cannot be mixed up: what is late writes into a dead connection.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gmqtt import Client, Subscription
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.mqtt.protocol import MQTTProtocol

from cloud.link.section import BrokerSection

CONNECT_TIMEOUT_S = 20.0
ABORT_AFTER_S = 2.0
# Ours are at most 256 KiB; a larger one is still received, to be refused with a reason.
MAX_PACKET = (1 << 20) + 4096
REFUSED = 0x80

# Its warnings tell of matters that are dealt with here, or of every packet.
for _name in ("gmqtt.client", "gmqtt.mqtt.protocol", "gmqtt.mqtt.connection", "gmqtt.mqtt.package"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
_SILENT = logging.getLogger("gmqtt.silent")
_SILENT.setLevel(logging.CRITICAL)

Handler = Callable[[str, bytes, dict[str, Any]], Awaitable[int]]


class _Protocol(MQTTProtocol):  # type: ignore[misc]  # gmqtt publishes no types
    """Reads only while the gate is open; writes what one turn of the loop gathered in one go."""

    def __init__(self, gate: asyncio.Event, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last_in = time.monotonic()
        self._gate = gate
        self._out = bytearray()
        self._loop_now = asyncio.get_running_loop()
        self._dead = False

    async def read(self, n: int = -1) -> bytes:
        """What the socket gave; waits while too much is in work."""
        if not self._gate.is_set():
            await self._gate.wait()
        data: bytes = await super().read(n)
        self.last_in = time.monotonic()
        return data

    def eof_received(self) -> bool:
        """The broker has ended the connection: while reading pauses, nobody would come to see it."""
        keeps_open = bool(super().eof_received())
        return keeps_open and self._gate.is_set()

    def write_data(self, data: bytes) -> None:
        """Hundreds of acknowledgements after one commit become one system call."""
        if self._dead:
            return
        if not self._out:
            self._loop_now.call_soon(self.flush)
        self._out += data

    def die(self) -> None:
        """Nothing that is written from now on leaves this machine."""
        self._dead = True
        self._out.clear()
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Hand what was gathered to the socket."""
        if self._out and not self._dead:
            super().write_data(bytes(self._out))
            self._out.clear()


class _Client(Client):  # type: ignore[misc]  # gmqtt publishes no types
    """gmqtt's client on our protocol, for one connection."""

    def __init__(self, gate: asyncio.Event, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, logger=_SILENT, **kwargs)
        self.protocol: _Protocol | None = None
        self._gate = gate

    async def reconnect(self, delay: bool = False) -> None:  # noqa: FBT001, FBT002 - gmqtt's signature
        """Nothing: the link makes a new client."""

    async def _create_connection(self, host: str, port: int, ssl: Any, clean_session: bool, keepalive: int) -> Any:  # noqa: FBT001 - gmqtt's signature
        def make() -> _Protocol:
            return _Protocol(
                self._gate,
                connection_state=self._connection_state,
                id_generator=self._package_handler.id_generator,
            )

        loop = asyncio.get_running_loop()
        transport, self.protocol = await loop.create_connection(make, host, port, ssl=ssl or None)
        handler = self._package_handler
        return MQTTConnection(
            transport, self.protocol, clean_session, keepalive, package_handler=handler, logger=_SILENT
        )

    async def goodbye(self, **properties: Any) -> None:
        """Send what is waiting and DISCONNECT, then close."""
        if self.protocol is not None and self._connection is not None:
            self.protocol.send_disconnect(**properties)
            self.protocol.flush()
            await self._connection.close()


class Refused(Exception):
    """The broker said no, and will say it again: password, client id, rights."""


class Connection:
    """One life of the link, from CONNECT to the loss.

    Attributes:
        lost: done when the connection is over, with the reason in words.
    """

    def __init__(self, section: BrokerSection, handler: Handler, gate: asyncio.Event) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.session_present = False
        self._section = section
        self._handler = handler
        self._subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = _Client(
            gate,
            section.client_id,
            clean_session=False,
            optimistic_acknowledgement=False,
            session_expiry_interval=section.session_expiry_s,
            receive_maximum=section.window,
            maximum_packet_size=MAX_PACKET,
        )
        if section.username:
            password = section.password.reveal() if section.password else None
            self._client.set_auth_credentials(section.username, password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe

    async def open(self, tls: Any, topics: Sequence[str]) -> None:
        """Connect and subscribe (QoS 1).

        Raises:
            Refused: the broker will not have us as we are.
            OSError: it cannot be reached, or went away.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._unless_lost(self._connect(tls))
                self._client.subscribe([Subscription(topic, qos=1) for topic in topics])
                await self._unless_lost(self._subscribed)
        except BaseException:
            self.end("not connected")
            raise

    async def _connect(self, tls: Any) -> None:
        section = self._section
        try:
            await self._client.connect(
                section.host, section.real_port, ssl=tls or False, keepalive=section.keepalive_s
            )
        except MQTTConnectError as error:
            raise Refused(error.message) from error

    async def _unless_lost(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ConnectionError(self.lost.result())
            task.result()
        finally:
            if not task.done():
                task.cancel()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send with QoS 0."""
        self._client.publish(topic, payload, qos=0, retain=retain)

    def silent_for(self) -> float:
        """Seconds since the broker last said something."""
        protocol = self._client.protocol
        return 0.0 if protocol is None else time.monotonic() - protocol.last_in

    def end(self, reason: str) -> None:
        """Cut the connection at once; what is not acknowledged will be delivered again."""
        if self._client.protocol is not None:
            self._client.protocol.die()
        if not self.lost.done():
            self.lost.set_result(reason)

    async def close(self) -> None:
        """Say goodbye (the session stays), then cut."""
        if not self.lost.done():
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(ABORT_AFTER_S):
                    await self._client.goodbye(session_expiry_interval=self._section.session_expiry_s)
        self.end("closed")

    def _on_connect(self, _client: object, session_present: int, _code: int, _properties: object) -> None:
        self.session_present = bool(session_present)

    def _on_disconnect(self, _client: object, packet: object, *_rest: object) -> None:
        said = f" ({packet.hex()})" if isinstance(packet, bytes) and packet else ""
        self.end(f"the broker closed the connection{said}")

    def _on_subscribe(self, _client: object, _mid: int, codes: Sequence[int], _properties: object) -> None:
        if self._subscribed.done():
            return
        if any(code >= REFUSED for code in codes):
            self._subscribed.set_exception(Refused("it does not allow our subscriptions (access list)"))
        else:
            self._subscribed.set_result(None)

    async def _on_message(
        self, _client: object, topic: str, payload: bytes, _qos: int, properties: dict[str, Any]
    ) -> int:
        if self.lost.done():
            return 0  # read before the end; it cannot be acknowledged any more, and comes again
        completed = False
        try:
            code = await self._handler(topic, payload, properties)
            completed = True
        finally:
            if not completed:
                self.end("a message could not be handled; see the log")
        return code
