"""What a sensor plug-in is, and what the agent gives it.

A plug-in module has ``class Config(SensorSection, frozen=True)``: its settings, ``quantities()`` and ``open()``.
``open()`` touches no hardware; entering the sensor does, and a failure there or in ``read()`` is the agent's to
supervise: it leaves the sensor, waits, enters it again. So a plug-in raises and never retries for long.
"""

import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, Protocol, Self, TypeVar

import msgspec

from hinomi.clock import Clock
from hinomi.config import Section

T = TypeVar("T")

Identifier = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
Interval = Annotated[float, msgspec.Meta(ge=0.05, le=86400.0)]


class Measured(msgspec.Struct, frozen=True, gc=False):
    """One value without its time.

    Attributes:
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        value: in that quantity's UCUM unit; finite.
    """

    quantity: str
    value: float


class State(Protocol):
    """Small durable values of one sensor; keys are its own, nobody else sees them."""

    def get(self, key: str) -> bytes | None:
        """What was staged or saved last, or None."""
        ...

    def stage(self, key: str, value: bytes) -> None:
        """Commit ``value`` together with the readings that the present ``read()`` returns, or not at all."""
        ...

    async def save(self, key: str, value: bytes) -> None:
        """Commit ``value`` now.

        Raises:
            Transient: the disk is full or failing; nothing was kept.
        """
        ...


class Context(Protocol):
    """What the agent gives to one sensor.

    Attributes:
        name: the sensor's name inside the station.
        clock: the measurement clock; ``read()`` needs it only for what the sensor itself has to time.
        rng: the source of randomness, seeded in tests.
        state: this sensor's durable values.
    """

    name: str
    clock: Clock
    rng: random.Random
    state: State

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking ``work`` in this sensor's own thread, started at the first use.

        Raises:
            Transient: the call before is still hanging on its bus.
        """
        ...

    async def push(self, measured: Sequence[Measured], *, age_s: float = 0.0) -> None:
        """Take readings outside of ``read()`` (a contact opened) and commit them at once.

        Args:
            measured: what was measured.
            age_s: how long ago (seconds of ``clock``) it happened.

        Raises:
            Transient: the disk is full or failing; nothing was accepted.
            Rejected: a value can never be accepted.
        """
        ...


class Sensor(Protocol):
    """An opened sensor: enter it (touches the hardware), read it on a schedule, leave it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def read(self) -> Sequence[Measured]:
        """Measure once; empty when there is nothing new.

        Raises:
            Transient: the device is silent, a checksum failed, the bus reported an error.
            Rejected: it answered with something that can never be a reading.
        """
        ...


class SensorSection(Section, frozen=True):
    """A ``[[sensor]]`` table; a plug-in's ``Config`` adds its own settings.

    Attributes:
        type: the row in ``SENSORS``.
        name: the sensor's name inside the station (on the wire, in topics and in the store).
        interval_s: seconds between two readings.
        urgent: each reading is committed and sent at once (a rule reads it), not with the next group.
        timeout_s: seconds after which one reading is given up and the sensor is opened again.
    """

    type: str
    name: Identifier
    interval_s: Interval
    urgent: bool = False
    timeout_s: Annotated[float, msgspec.Meta(gt=0.0, le=600.0)] = 10.0

    def quantities(self) -> tuple[str, ...]:
        """The quantities it will give, for the station's list of datastreams (a silent one is then missed)."""
        raise NotImplementedError

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        raise NotImplementedError
