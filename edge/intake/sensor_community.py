"""Readings from the sensor.community (airrohr) firmware, by its option "send data to own API": JSON over HTTP.

The firmware takes any status from 200 to 208 for success and does not send again otherwise. Its values carry no
time, so the moment of their arrival is that of the measurement; it averages over its interval of 145 seconds.
"""

import asyncio
import base64
import errno
import hmac
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Self

import msgspec
from aiohttp import web

from edge.buses import trouble
from edge.intake import airrohr
from edge.intake.base import Intake, IntakeSection, Pushed, Refused, Sink
from hinomi.config import Secret, Section
from hinomi.errors import ConfigError, Rejected, Transient

_LOG = logging.getLogger(__name__)

_MAX_BYTES = 16 * 1024  # the longest real one, with every sensor that the firmware knows, is about 4 KiB
_BODY_SECONDS = 10.0
_RETRY_SECONDS = 60
_STATUS = {"oversized": 413, "unauthorized": 401, "unknown_device": 403, "slow": 408}


class Device(Section, frozen=True, kw_only=True):
    """One device that may send.

    Attributes:
        id: the number of its chip, as its own page shows it.
        name: its readings' sensor name is this and the model of the part, e.g. ``balcony-sds011``.
    """

    id: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z]{1,32}$")]
    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,22}$")]


class Config(IntakeSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        port: TCP port; 0: any free one.
        device: the devices that may send.
        host: address to listen on.
        path: of the URL.
        username: for HTTP basic authentication.
        password: its password.
        token: instead of them: ``?token=…`` in the path, or an ``Authorization: Bearer`` header.
    """

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    device: tuple[Device, ...]
    host: str = "127.0.0.1"
    path: Annotated[str, msgspec.Meta(pattern="^/[!-~]*$")] = "/data.php"
    username: str = ""
    password: Secret | None = None
    token: Secret | None = None

    def __post_init__(self) -> None:
        for what in ("id", "name"):
            values = [getattr(device, what) for device in self.device]
            if len(set(values)) != len(values):
                raise ValueError(f"device: each {what} only once")
        if bool(self.username) != (self.password is not None):
            raise ValueError("username and password belong together; one of them is missing")
        if set("?#{}") & set(self.path):
            raise ValueError("path must not contain ?, #, { or }")

    def open(self, sink: Sink) -> Intake:
        """The intake, not yet bound."""
        return _Server(self, sink)


class _Server:
    def __init__(self, config: Config, sink: Sink) -> None:
        self._config = config
        self._sink = sink
        self._devices = {device.id: device for device in config.device}
        self._runner: web.AppRunner | None = None
        self.address: tuple[str, int] = (config.host, config.port)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post(self._config.path, self._post)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._config.host, self._config.port).start()
        except OSError as error:
            await runner.cleanup()
            raise _cannot_listen(error, self._config) from error
        self._runner = runner
        host, port, *_ = runner.addresses[0]
        self.address = (host, port)
        if self._config.port == 0:
            print(f"ready sensor_community {host} {port}", flush=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def run(self) -> None:
        """The server works by itself."""
        await asyncio.Event().wait()

    async def _post(self, request: web.Request) -> web.Response:
        try:
            self._authorize(request)
            upload = airrohr.decode(await _body(request))
            return await self._accept(upload, self._device(upload.chip))
        except Rejected as error:
            self._sink.count(f"sensor_community.{error.reason}")
            _LOG.debug("refused %s: %s", request.remote, error)
            headers = {"WWW-Authenticate": 'Basic realm="hinomi"'} if error.reason == "unauthorized" else None
            body = {"accepted": 0, "reason": error.reason, "detail": error.detail}
            return _json(_STATUS.get(error.reason, 400), body, headers)
        except Transient as error:
            self._sink.count("sensor_community.not_taken")
            body = {"accepted": 0, "reason": "not_taken", "detail": str(error)}
            return _json(503, body, {"Retry-After": str(_RETRY_SECONDS)})

    def _device(self, chip: str) -> Device:
        device = self._devices.get(chip)
        if device is None:
            raise Rejected("unknown_device", f"chip {chip[:40]!r} is not in this station's configuration")
        return device

    async def _accept(self, upload: airrohr.Upload, device: Device) -> web.Response:
        """Hand the good values on, and tell which ones were not."""
        readings, refused = airrohr.readings(upload, device.name)
        for one in refused:
            self._sink.count(f"sensor_community.{one.reason}")
        answers = [{"value_type": one.value_type, "reason": one.reason, "detail": one.detail} for one in refused]
        late = await self._sink.accept(readings) if readings else []
        answers += _named(late, readings)
        accepted = len(readings) - len(late)
        return _json(200 if accepted or not answers else 422, {"accepted": accepted, "refused": answers})

    def _authorize(self, request: web.Request) -> None:
        config = self._config
        given = request.headers.get("Authorization", "")
        allowed: list[str] = []
        if config.password is not None:
            pair = f"{config.username}:{config.password.reveal()}"
            allowed.append("Basic " + base64.b64encode(pair.encode()).decode())
        if config.token is not None:
            allowed.append("Bearer " + config.token.reveal())
            if "token" in request.query:
                given = "Bearer " + request.query["token"]
        if allowed and not any(hmac.compare_digest(given.encode(), one.encode()) for one in allowed):
            raise Rejected("unauthorized", "wrong or missing user name, password or token")


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Rejected("oversized", f"more than {_MAX_BYTES} bytes") from error
    except TimeoutError as error:
        raise Rejected("slow", f"the body did not come within {_BODY_SECONDS:g} s") from error


def _named(refused: Sequence[Refused], readings: Sequence[Pushed]) -> list[dict[str, str]]:
    return [
        {
            "value_type": f"{readings[one.index].sensor}/{readings[one.index].quantity}",
            "reason": one.reason,
            "detail": one.detail,
        }
        for one in refused
    ]


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers
    )


def _cannot_listen(error: OSError, config: Config) -> ConfigError | Transient:
    where = f"{config.host}:{config.port}"
    if error.errno == errno.EACCES:
        return ConfigError.of("intake.port", f"{where}: ports below 1024 are the system's; take 8080, for example")
    if error.errno == errno.EADDRINUSE:
        return Transient(f"{where}: another program listens there (who: sudo ss -ltnp); choose another port")
    return Transient(f"{where}: {trouble.words(error)}")
