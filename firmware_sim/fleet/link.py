"""One connection of one light station to the broker, on gmqtt 0.8.

gmqtt keeps the packet ids of lost messages in use for ever, so a client that reconnects by itself can in the end
send nothing; and it raises OverflowError beyond the broker's receive maximum. Here a client lives for one
connection, and ``room`` says how much may be sent.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from gmqtt import Client, Message, Subscription
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.storage import PersistentStorage

CONNECT_TIMEOUT_S = 20.0
GOODBYE_TIMEOUT_S = 2.0
KEEPALIVE_S = 60
WINDOW = 50
"""Packs on the way at most, however many the broker would take: a station is a small thing."""

_REFUSED = 0x80
_WITH_WILL = 0x04
# What it warns of is dealt with here; a thousand stations would fill the screen.
_QUIET = logging.getLogger("gmqtt.fleet")
_QUIET.setLevel(logging.CRITICAL + 1)
for _name in ("gmqtt.client", "gmqtt.mqtt.protocol", "gmqtt.mqtt.connection", "gmqtt.mqtt.package"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Broker(msgspec.Struct, frozen=True):
    """Where the broker listens.

    Attributes:
        host: name or address.
        port: of MQTT 5.
        tls: how to encrypt; None: not at all.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Refused(Exception):
    """The broker will not have this station as it is: password, client id, access list."""


class _InFlight(PersistentStorage):  # type: ignore[misc]  # gmqtt publishes no types
    """Ids of published packets, and a word when one comes back acknowledged."""

    def __init__(self, acknowledged: Callable[[], None]) -> None:
        super().__init__()
        self._acknowledged = acknowledged

    def remove_message_by_mid(self, mid: int) -> None:
        """A PUBACK came."""
        super().remove_message_by_mid(mid)
        self._acknowledged()

    @property
    def count(self) -> int:
        """How many are not acknowledged (no ``__len__``: gmqtt would take an empty storage for none)."""
        return len(self._messages)


class _Client(Client):  # type: ignore[misc]  # gmqtt publishes no types
    async def reconnect(self, delay: bool = False) -> None:  # noqa: FBT001, FBT002 - gmqtt's signature
        """Never: a new connection is a new client."""


class Connection:
    """From CONNECT to the loss.

    Args:
        station: ``community/station``, also the user name.
        password: or None where the broker asks for none.
        broker: where.
        on_ack: called with the body of each ``ack``.
        on_room: called whenever there may be room for another pack.

    Attributes:
        lost: done when the connection is over.
    """

    def __init__(
        self,
        station: str,
        password: str | None,
        broker: Broker,
        *,
        on_ack: Callable[[bytes], None],
        on_room: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._subscribed: asyncio.Future[None] = loop.create_future()
        self._broker = broker
        self._prefix = f"hinomi/v1/{station}"
        self._window = 0
        self._in_flight = _InFlight(on_room)
        self._on_ack = on_ack
        self._client = _Client(
            station.replace("/", "."),
            clean_session=True,
            will_message=Message(f"{self._prefix}/status", b'{"status":"offline"}', qos=1, retain=True),
            persistent_storage=self._in_flight,
            logger=_QUIET,
        )
        if password is not None:
            self._client.set_auth_credentials(station, password)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message
        self._client.on_subscribe = self._suback

    async def open(self) -> None:
        """Connect and subscribe to the acknowledgements.

        Raises:
            Refused: the broker says no.
            OSError: it cannot be reached, does not answer, or went away.
        """
        broker = self._broker
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connecting = self._client.connect(broker.host, broker.port, broker.tls or False, KEEPALIVE_S)
                await self._unless_lost(connecting)
                self._client.subscribe(Subscription(f"{self._prefix}/ack", qos=0))
                await self._unless_lost(self._subscribed)
        except MQTTConnectError as error:
            raise Refused(error.message) from error
        except TimeoutError as error:
            raise ConnectionError("the broker does not answer") from error

    @property
    def room(self) -> int:
        """How many packs may be sent now."""
        return 0 if self.lost.done() else self._window - self._in_flight.count

    def send(self, body: bytes, content_type: str) -> None:
        """Publish a pack with QoS 1; only while there is room."""
        self._client.publish(f"{self._prefix}/obs", body, qos=1, content_type=content_type)

    def say(self, status: dict[str, Any]) -> bool:
        """Publish the retained status; returns whether there was room for it."""
        if self.room <= 0:
            return False
        self._client.publish(f"{self._prefix}/status", msgspec.json.encode(status), qos=1, retain=True)
        return True

    async def close(self) -> None:
        """Say offline and goodbye; where there is no room to say it, the broker is asked to send the will."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                said = self.say({"status": "offline"})
                if said:
                    await self._unless_lost(self._in_flight.wait_empty())
                await self._client.disconnect(reason_code=0 if said else _WITH_WILL)

    async def _unless_lost(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ConnectionError("the broker closed the connection")
            task.result()
        finally:
            task.cancel()

    def _connected(self, _client: object, _flags: int, _code: int, properties: dict[str, Any]) -> None:
        # gmqtt gives out one id less than the maximum, and the subscription takes one.
        offered = properties.get("receive_maximum", [WINDOW])[0]
        self._window = max(1, min(WINDOW, offered - 2))

    def _disconnected(self, _client: object, _packet: object, *_rest: object) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _suback(self, _client: object, _mid: int, codes: tuple[int, ...], _properties: object) -> None:
        if self._subscribed.done():
            return
        if any(code >= _REFUSED for code in codes):
            self._subscribed.set_exception(Refused("not allowed to read its own acknowledgements (access list)"))
        else:
            self._subscribed.set_result(None)

    def _message(self, _client: object, _topic: str, body: bytes, _qos: int, _properties: object) -> None:
        self._on_ack(body)
