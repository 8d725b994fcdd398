"""What an intake is: something that listens for readings and hands them to the agent's sink.

A plug-in module has ``class Config(IntakeSection, frozen=True)`` with its settings and ``open()``. Entering the
intake binds its port or socket; ``run()`` then serves until it is cancelled.
"""

import random
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Protocol, Self

import msgspec

from hinomi.clock import Clock
from hinomi.config import Section


class Pushed(msgspec.Struct, frozen=True, gc=False):
    """A reading as somebody else gives it; the sink checks and converts it.

    Attributes:
        sensor: the name inside the station, ``[a-z0-9][a-z0-9-]{0,31}``.
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        value: in ``unit``, or in the quantity's own unit without one.
        unit: UCUM, SenML or one of the common spellings of ``sensing.units``.
        measured_at: ms since 1970; without it, the moment of acceptance on the measurement clock.
    """

    sensor: str
    quantity: str
    value: float
    unit: str | None = None
    measured_at: int | None = None


class Refused(msgspec.Struct, frozen=True):
    """A pushed reading that was not taken.

    Attributes:
        index: its place in the sequence given to ``accept``.
        reason: a short stable word: ``unknown_quantity``, ``wrong_unit``, ``not_finite``, ``bad_name``,
            ``bad_time``, ``time_ahead``, ``not_newer`` (the datastream already has this moment or a later one),
            ``too_fast`` (without times of their own, more than 100 a second), ``too_many_datastreams``.
        detail: plain words.
    """

    index: int
    reason: str
    detail: str


class Totals(msgspec.Struct, frozen=True):
    """The station's counters, in readings, over the life of its journal's stream."""

    accepted: int
    acked: int
    pending: int
    dropped: int


class Sink(Protocol):
    """Where readings go.

    Attributes:
        pace: real time, for time-outs and back-off.
        rng: the source of randomness, seeded in tests.
    """

    pace: Clock
    rng: random.Random

    async def accept(self, readings: Sequence[Pushed]) -> list[Refused]:
        """Take readings; what is not in the returned list is committed when this returns.

        Refusals are counted here already; an intake only reports them to its device where it can.

        Raises:
            Transient: the disk is full or failing; nothing was accepted, the device should try again.
        """
        ...

    async def totals(self) -> Totals:
        """The station's counters now."""
        ...

    def count(self, counter: str, by: int = 1) -> None:
        """Add to one of the agent's counters (shown in its status), e.g. ``sensor_community.malformed``."""
        ...


class Intake(Protocol):
    """An opened intake: enter it (binds), run it until cancelled, leave it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self) -> None:
        """Serve until cancelled; whatever it raises is logged and it is opened again after a while."""
        ...


class IntakeSection(Section, frozen=True):
    """An ``[[intake]]`` table; a plug-in's ``Config`` adds its own settings.

    Attributes:
        type: the row in ``INTAKES``.
        interval_s: how often its devices report (seconds), for the station's list of datastreams; 0: not known.
        wait_s: how long ``accept`` may wait (real seconds) for other readings to share its commit; 0: not at all.
            Each commit wears the card a little, so raise it where a device can wait for its answer.
    """

    type: str
    interval_s: Annotated[float, msgspec.Meta(ge=0.0, le=86400.0)] = 0.0
    wait_s: Annotated[float, msgspec.Meta(ge=0.0, le=60.0)] = 0.2

    def open(self, sink: Sink) -> Intake:
        """The intake, not yet bound.

        Raises:
            ConfigError: a setting cannot work.
        """
        raise NotImplementedError
