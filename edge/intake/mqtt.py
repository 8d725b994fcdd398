"""Readings from devices at a local MQTT broker (Zigbee2MQTT, Tasmota, ESPHome and the like), by a mapping table.

Their messages carry no time that can be trusted, so the moment of arrival is that of the measurement. That is why
retained messages are left alone (nobody knows how old they are) and why the session is a clean one: what the broker
would keep for us while we are away would come with a wrong time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Self

import aiomqtt
import msgspec

from edge.intake import mapping
from edge.intake.base import Intake, IntakeSection, Pushed, Sink
from hinomi.config import Secret
from hinomi.errors import ConfigError, Rejected, Transient

_LOG = logging.getLogger(__name__)

_KEEPALIVE_S = 30
_BACKLOG = 1000  # messages in memory while a commit is under way
_MAX_BYTES = 64 * 1024
_WRONG_LOGIN = {4, 5, 134, 135}  # MQTT 3.1.1 and 5
_REFUSED = 128  # in a SUBACK, and above


class Config(IntakeSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        device: the mapping table.
        host: of the local broker.
        port: of the local broker.
        username: if it asks for one.
        password: its password.
    """

    device: tuple[mapping.Device, ...]
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    username: str = ""
    password: Secret | None = None

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("device: at least one is needed")
        mapping.check(self.device)
        if self.password is not None and not self.username:
            raise ValueError("username is missing beside password")

    def open(self, sink: Sink) -> Intake:
        """The intake, not yet connected."""
        return _Subscriber(self, sink)


class _Subscriber:
    def __init__(self, config: Config, sink: Sink) -> None:
        self._config = config
        self._sink = sink
        self._devices: dict[str, list[mapping.Device]] = {}
        for device in config.device:
            self._devices.setdefault(device.topic, []).append(device)
        self._stack = contextlib.AsyncExitStack()
        self._client: aiomqtt.Client | None = None

    async def __aenter__(self) -> Self:
        config = self._config
        client = aiomqtt.Client(
            config.host,
            config.port,
            username=config.username or None,
            password=config.password.reveal() if config.password is not None else None,
            identifier=f"hinomi-intake-{self._sink.rng.getrandbits(32):08x}",
            clean_session=True,
            keepalive=_KEEPALIVE_S,
            queue_type=self._counting_queue(),
            max_queued_incoming_messages=_BACKLOG,
            logger=_LOG,
        )
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(client)
                granted = await client.subscribe([(topic, 1) for topic in self._devices])
            except aiomqtt.MqttError as error:
                raise self._cannot_connect(error) from error
            self._check_granted([_code(one) for one in granted])
            self._stack = stack.pop_all()
        self._client = client
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client = None
        with contextlib.suppress(aiomqtt.MqttError):  # it is gone already
            await self._stack.aclose()

    async def run(self) -> None:
        """Take messages until the connection breaks.

        Raises:
            Transient: the connection broke.
        """
        if self._client is None:
            raise Transient("MQTT intake: not connected")
        broken: aiomqtt.MqttError | None = None
        # Each message is stamped as it comes and waits for its commit together with others.
        async with asyncio.TaskGroup() as waiting:
            try:
                async for message in self._client.messages:
                    waiting.create_task(self._take(message))
            except aiomqtt.MqttError as error:
                broken = error
        raise Transient(f"MQTT intake: the broker at {self._where} is gone: {broken}") from broken

    async def _take(self, message: aiomqtt.Message) -> None:
        if message.retain:
            self._sink.count("mqtt.retained")
            return
        readings = self._readings(message.topic.value, message.payload)
        if not readings:
            return
        try:
            await self._sink.accept(readings)
        except Transient as error:
            # A later attempt would carry a later time.
            self._sink.count("mqtt.not_taken", len(readings))
            _LOG.warning("%s: %d readings were not taken: %s", message.topic, len(readings), error)

    def _readings(self, topic: str, payload: bytes) -> list[Pushed]:
        found = []
        for device in self._devices.get(topic, ()):
            taken, refused = _mapped(device, payload)
            for error in refused:
                self._sink.count(f"mqtt.{error.reason}")
                _LOG.debug("%s: %s", topic, error)
            found += taken
        return found

    def _counting_queue(self) -> type[asyncio.Queue[aiomqtt.Message]]:
        sink = self._sink

        class Counting(asyncio.Queue[aiomqtt.Message]):
            """Says how often it was full; the client only writes a line into its log."""

            def put_nowait(self, item: aiomqtt.Message) -> None:
                try:
                    super().put_nowait(item)
                except asyncio.QueueFull:
                    sink.count("mqtt.overflow")
                    raise

        return Counting

    def _check_granted(self, codes: Sequence[int | None]) -> None:
        refused = [topic for topic, code in zip(self._devices, codes, strict=True) if (code or 0) >= _REFUSED]
        if refused:
            raise ConfigError.of(
                "intake.device", f"the broker at {self._where} does not let us read: {', '.join(refused)}"
            )

    @property
    def _where(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    def _cannot_connect(self, error: aiomqtt.MqttError) -> ConfigError | Transient:
        if _code(getattr(error, "rc", None)) in _WRONG_LOGIN:
            return ConfigError.of(
                "intake.username", f"the broker at {self._where} refuses it: user name or password is wrong"
            )
        return Transient(f"MQTT intake: no connection to the broker at {self._where}: {error}; does it run?")


def _code(reason: object) -> int | None:
    """The number of a reason; the client library has one for both versions of MQTT."""
    value = getattr(reason, "value", reason)
    return value if isinstance(value, int) else None


def _mapped(device: mapping.Device, payload: bytes) -> tuple[list[Pushed], list[Rejected]]:
    """The readings in a message, and why others are none."""
    if len(payload) > _MAX_BYTES:
        return [], [Rejected("oversized", f"{len(payload)} bytes")]
    try:
        return mapping.readings(device, payload)
    except Rejected as error:
        return [], [error]
