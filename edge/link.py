"""The connection to the broker: aiomqtt with what it does not tell, TLS, and words for a person when it fails."""

import asyncio
import contextlib
import logging
import ssl
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config import BrokerSection
from sensing.topic import StationId

# The broker waits so long (s) before it tells that a station is gone: a short loss of the network is no news.
WILL_DELAY_S = 60
OFFLINE = b'{"status":"offline"}'
# How long the broker may take for a connection, a subscription or its own acknowledgement (s).
TIME_LIMIT_S = 30.0

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python's ssl does not name.
_NO_CHECK_TIME = 0x200000
_SUCCESS_BELOW = 128

# What aiomqtt and paho log is raised too, and told in words for a person.
_SILENT = logging.getLogger("hinomi.edge.mqtt")
_SILENT.setLevel(logging.CRITICAL)


class Link(aiomqtt.Client):
    """One connection; enter it, publish, read ``messages``, leave it.

    Attributes:
        refusal: what the broker answered to a publish that it did not take (MQTT 5), else empty.
    """

    def __init__(self, broker: BrokerSection, station: StationId, tls: ssl.SSLContext | None) -> None:
        """Prepare the connection: where and how, who speaks, what is trusted."""
        self._five = broker.version == "5"
        host, port = broker.address
        super().__init__(
            host,
            port,
            identifier=station.client_id,
            username=broker.username or str(station),
            password=broker.password.reveal() if broker.password else None,
            protocol=aiomqtt.ProtocolVersion.V5 if self._five else aiomqtt.ProtocolVersion.V311,
            clean_session=None if self._five else True,
            clean_start=True if self._five else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=broker.keepalive_s,
            timeout=TIME_LIMIT_S,
            logger=_SILENT,
            will=aiomqtt.Will(
                station.topic("status"),
                OFFLINE,
                qos=1,
                retain=True,
                properties=self._properties_of(PacketTypes.WILLMESSAGE, WillDelayInterval=WILL_DELAY_S),
            ),
            # A will is delayed no longer than its session lives.
            properties=self._properties_of(PacketTypes.CONNECT, SessionExpiryInterval=WILL_DELAY_S),
            tls_context=tls,
        )
        self.refusal = ""
        # The uplink bounds what is under way; aiomqtt's warning about many calls is not for us.
        self.pending_calls_threshold = 10_000

    async def open(self) -> None:
        """Connect.

        aiomqtt connects in a thread and forgets a connection whose opening was cancelled or timed out; it would
        live on beside the next one under the same client id. So the opening always runs to its end.

        Raises:
            aiomqtt.MqttError: no connection.
        """
        opening = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            await self.close()
            raise
        except aiomqtt.MqttError:
            self._client.disconnect()
            self._connected.cancel()
            raise

    async def close(self) -> None:
        """Disconnect, so that the broker does not publish the will; a dead connection is only dropped."""
        with contextlib.suppress(aiomqtt.MqttError):
            await self.__aexit__(None, None, None)
        if self._disconnected.done() and not self._disconnected.cancelled():
            # Why it ended was told by whoever used it; asyncio must not tell it again.
            self._disconnected.exception()

    def content_type(self, value: str) -> Properties | None:
        """The property that tells a payload's type, where the protocol has it."""
        return self._properties_of(PacketTypes.PUBLISH, ContentType=value)

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        # aiomqtt waits for its whole time limit when the broker hangs up instead of answering.
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttCodeError(reason_code))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - aiomqtt's
        def register() -> None:
            # aiomqtt registers the bare number, which after a close is nobody's, or somebody else's.
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), client.loop_write)

        self._loop.call_soon_threadsafe(register)

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        # aiomqtt drops the reason, so that a publish that the broker's rules forbid looks like any other.
        if reason_code.value >= _SUCCESS_BELOW:
            self.refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _properties_of(self, packet: int, **values: Any) -> Properties | None:
        if not self._five:
            return None
        properties = Properties(packet)  # type: ignore[no-untyped-call]
        for name, value in values.items():
            setattr(properties, name, value)
        return properties


def tls_context(broker: BrokerSection, *, clock_known: bool) -> ssl.SSLContext | None:
    """What to trust and what to show; None: not encrypted. It reads files.

    A machine that does not know the time yet cannot tell whether a certificate is still, or already, valid; where
    NTP is blocked it would never reach the cloud, which could tell it. Until then the period of validity is not
    checked; who signed it and whose name it bears always is.

    Raises:
        OSError: a file cannot be read or is no certificate.
    """
    if not broker.tls:
        return None
    context = ssl.create_default_context(cafile=str(broker.ca) if broker.ca else None)
    if broker.certificate:
        context.load_cert_chain(broker.certificate, broker.key)
    if not clock_known:
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    return context


def refused(code: object) -> bool:
    """Whether the broker's answer to a subscription, a number or a ReasonCode, is a refusal."""
    number = getattr(code, "value", code)
    return isinstance(number, int) and number >= 128


def explain(error: BaseException, broker: BrokerSection, station: StationId) -> str:
    """What happened and what to do about it, for the log."""
    host, port = broker.address
    where, text = f"broker {host}:{port}", str(error) or type(error).__name__
    small = text.lower()
    advice = next((advice for signs, advice in _ADVICE if any(sign in small for sign in signs)), "")
    advice = advice.format(user=broker.username or str(station), station=station, host=host, port=port)
    return f"{where}: {text}{f' - {advice}' if advice else ''}"


_ADVICE = (
    (
        ("bad user name or password", "not authorized", "not authorised"),
        "check [broker] username ({user!r}) and password; 'hinomi station add {station}' gives a new one",
    ),
    (
        ("certificate verify failed",),
        "is [broker] ca its issuer, host ({host!r}) the name in it, and this machine's clock right?",
    ),
    (("alert certificate", "alert unknown ca", "alert bad certificate"), "the broker refuses [broker] certificate"),
    (("wrong version number", "record layer failure"), "port {port} does not speak TLS; is it the right port?"),
    (("refused",), "nothing listens there; is the broker running, and is [broker] port right?"),
    (("name or service not known", "name resolution", "no address"), "is [broker] host right, is there a network?"),
    (("unreachable",), "is there a network?"),
    (("timed out",), "no answer; is [broker] host right, does a firewall stand between?"),
)
