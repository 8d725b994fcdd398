"""Readings from other programs on the same machine, over a unix socket.

One JSON line a request, answered after its readings are committed::

    {"readings": [{"sensor": "air", "quantity": "pm2_5", "value": 12.5, "unit"?: "ug/m3", "measured_at"?: 1790…}]}
    {"accepted": 1, "refused": [{"index": 0, "reason": "wrong_unit", "detail": "…"}]}

    {"status": true}
    {"accepted": 12, "acked": 10, "pending": 2, "dropped": 0}

``{"error": "…"}`` means that nothing of the request was accepted.
"""

from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec

from edge.intake.base import Intake, IntakeSection, Pushed, Sink
from edge.lines import LineServer

MAX_READINGS = 5000


class Config(IntakeSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        path: where the socket is made; its folder must exist.
        mode: its permissions, in octal digits.
    """

    path: Path
    mode: Annotated[str, msgspec.Meta(pattern="^[0-7]{3,4}$")] = "660"

    def open(self, sink: Sink) -> Intake:
        """The intake, not yet bound."""
        return SocketIntake(self, sink)


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line."""

    readings: list[Pushed] = []
    status: bool = False


_REQUESTS = msgspec.json.Decoder(Request)


class SocketIntake:
    """See ``edge.intake.base.Intake``."""

    def __init__(self, config: Config, sink: Sink) -> None:
        self._sink = sink
        self._server = LineServer(config.path, self._answer, mode=int(config.mode, 8))

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, trace)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._server.run()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = _REQUESTS.decode(line)
        except msgspec.DecodeError:
            self._sink.count("socket.malformed")
            raise
        if request.status:
            return msgspec.structs.asdict(await self._sink.totals())
        if len(request.readings) > MAX_READINGS:
            return {"error": f"{len(request.readings)} readings in one request, at most {MAX_READINGS}"}
        refused = await self._sink.accept(request.readings)
        return {
            "accepted": len(request.readings) - len(refused),
            "refused": [msgspec.structs.asdict(one) for one in refused],
        }
