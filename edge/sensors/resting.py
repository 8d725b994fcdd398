"""The frame of fan-and-laser dust sensors: they sleep between readings where the interval is long.

Their laser diode lives about 8000 hours, which is eleven months without sleep. After waking, the fan needs half a
minute before the numbers mean anything; nothing is reported until then.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import msgspec

from edge.buses.uart import Take, Uart
from edge.sensors.base import Context, Measured, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.errors import Transient

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]

_BAUD = 9600
_SILENCE_S = 2.0
_COMMAND_S = 0.1
_MARGIN_S = 2.0  # it wakes this much earlier than it has to


class RestingSection(SensorSection, frozen=True, kw_only=True):
    """Settings that such sensors share.

    Attributes:
        port: serial port.
        warm_up_s: seconds of running before a reading counts.
        sleep_from_s: with an ``interval_s`` of at least this many seconds it sleeps between readings.
    """

    port: Path
    warm_up_s: Seconds = 30.0
    sleep_from_s: Seconds = 120.0

    def __post_init__(self) -> None:
        if self.sleep_from_s < self.warm_up_s + 2 * _MARGIN_S:
            raise ValueError(
                f"sleep_from_s must be at least warm_up_s + {2 * _MARGIN_S:g}: it could not warm up in between"
            )

    @property
    def sleeps(self) -> bool:
        """Whether it sleeps between readings."""
        return self.interval_s >= self.sleep_from_s


class Protocol(msgspec.Struct, frozen=True):
    """What one model says and understands.

    Attributes:
        take: finds a data frame.
        decode: its readings.
        setup: commands for a device just found: it works on and speaks only when asked.
        wake: commands for one that was asleep; no settings that it would write to its memory each time.
        ask: command that asks for one data frame.
        sleep: command that stops fan and laser.
    """

    take: Take
    decode: Callable[[bytes], list[Measured]]
    setup: tuple[bytes, ...]
    wake: tuple[bytes, ...]
    ask: bytes
    sleep: bytes


class Resting(Blocking):
    """A dust sensor with its protocol."""

    def __init__(self, context: Context, config: RestingSection, protocol: Protocol) -> None:
        super().__init__(context)
        self._config = config
        self._protocol = protocol
        self._uart: Uart | None = None
        self._ready_at = 0.0
        self._waking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Wake it and ask once: a silent device is told now, not after the warm-up."""
        self._uart = Uart(self._config.port, _BAUD)
        self._send(self._protocol.setup)
        self.measure()

    def measure(self) -> list[Measured]:
        """Ask for a fresh frame; twice, because a single disturbed one should not cost a new warm-up."""
        try:
            return self._ask()
        except Transient:
            return self._ask()

    def stop(self) -> None:
        """Close the port."""
        if self._uart is not None:
            self._uart.close()
            self._uart = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._warms_up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waking is not None:
            self._waking.cancel()
            with contextlib.suppress(asyncio.CancelledError, Transient):
                await self._waking
            self._waking = None
        await super().__aexit__(kind, error, trace)

    async def read(self) -> Sequence[Measured]:
        """One reading; none before it is warm."""
        if self._waking is not None and self._waking.done():
            self._waking.result()
        if self.context.clock.monotonic() < self._ready_at:
            return []
        next_at = self.context.clock.monotonic() + self._config.interval_s
        measured = await super().read()
        if self._config.sleeps:
            await self.context.run(self._rest)
            self._ready_at = float("inf")
            self._waking = asyncio.create_task(self._wake_before(next_at))
        return measured

    async def _wake_before(self, next_at: float) -> None:
        clock = self.context.clock
        await clock.sleep(next_at - self._config.warm_up_s - _MARGIN_S - clock.monotonic())
        await self.context.run(self._wake)
        self._warms_up()

    def _warms_up(self) -> None:
        self._ready_at = self.context.clock.monotonic() + self._config.warm_up_s

    def _ask(self) -> list[Measured]:
        uart = self._open()
        uart.clear()
        uart.send(self._protocol.ask)
        return self._protocol.decode(uart.frame(self._protocol.take, _SILENCE_S))

    def _wake(self) -> None:
        self._send(self._protocol.wake)

    def _rest(self) -> None:
        self._send((self._protocol.sleep,))

    def _send(self, commands: tuple[bytes, ...]) -> None:
        for command in commands:
            self._open().send(command)
            self._open().wait(_COMMAND_S)

    def _open(self) -> Uart:
        if self._uart is None:
            raise Transient(f"{self._config.port}: the port was closed")
        return self._uart
