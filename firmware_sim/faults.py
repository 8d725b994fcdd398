"""What can go wrong, when, and what it does to a device or to a station's clock.

A fault stands in the scenario and is scheduled by virtual time. Everything here is a pure function of that time and
the seed, so a simulator that was killed and started again goes on with the same faults.

=========== ======================================================================================
stuck       the value stays what it was when the fault began
spike       the value is ``value``
drift       ``per_hour`` is added for every hour since the fault began
dropout     no answer, no frame, no pulse
checksum    bytes arrive damaged, so that whatever check there is fails
hang        I2C: the whole bus is held and transfers time out; serial: a frame breaks off, then
            silence; 1-Wire: the line is shorted and every bit reads 0
reboot      power is gone for ``for_s`` (default 2), then the device is as after power-on
battery     the supply fades over ``for_s``: ``battery_voltage`` falls, silence gets frequent, then total
clock_1970  (station) boots without a clock: wall time begins at 1970 until ``for_s`` later
clock_step  (station) the wall clock is off by ``step_s`` during the fault
=========== ======================================================================================
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from firmware_sim.signals.base import Signal
from firmware_sim.signals.synthetic import unit_hash
from firmware_sim.world import World
from hinomi.clock import Clock
from hinomi.config import Section

NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Chance = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]


class Scheduled(Section, frozen=True):
    """When a fault happens.

    Attributes:
        kind: see the table above.
        at_s: virtual seconds after the scenario began.
        for_s: how long; without it to the end.
        repeat_s: begins again every so many seconds.
    """

    kind: str
    at_s: NotNegative = 0.0
    for_s: Positive | None = None
    repeat_s: Positive | None = None

    def __post_init__(self) -> None:
        if self.repeat_s is None:
            return
        if self.for_s is None:
            raise ValueError("repeat_s needs for_s: the fault has to end before it begins again")
        if self.repeat_s <= self.for_s:
            raise ValueError(f"repeat_s ({self.repeat_s:g}) must be above for_s ({self.for_s:g})")

    def begun_at(self, elapsed_s: float) -> float | None:
        """When (elapsed seconds) the occurrence that is active now began; None between occurrences."""
        since = elapsed_s - self.at_s
        if since < 0.0:
            return None
        begun = self.at_s if self.repeat_s is None else self.at_s + since // self.repeat_s * self.repeat_s
        return begun if self.for_s is None or elapsed_s - begun < self.for_s else None

    def times_begun(self, elapsed_s: float) -> int:
        """How many occurrences have begun."""
        since = elapsed_s - self.at_s
        if since < 0.0:
            return 0
        return 1 if self.repeat_s is None else 1 + int(since // self.repeat_s)


class DeviceFault(Scheduled, frozen=True):
    """A fault of one device.

    Attributes:
        chance: the part of the measurements or answers that it hits while it is active.
    """

    chance: Chance = 1.0


class ValueFault(DeviceFault, frozen=True):
    """A fault of what is measured.

    Attributes:
        quantity: which of the device's signals; without it all of them.
    """

    quantity: str | None = None

    def bent(self, value: float, signal: Signal, world: World, begun_s: float) -> float:
        """``value`` as the faulty device measures it."""
        raise NotImplementedError


class Stuck(ValueFault, frozen=True):
    """``kind = "stuck"``."""

    def bent(self, value: float, signal: Signal, world: World, begun_s: float) -> float:
        """The value of the moment when it began; ``value`` if there was none."""
        held = signal.value(world.moment(begun_s))
        return value if held is None else held


class Spike(ValueFault, frozen=True, kw_only=True):
    """``kind = "spike"``: ``value`` (in the quantity's unit) is measured instead."""

    value: float

    def bent(self, value: float, signal: Signal, world: World, begun_s: float) -> float:  # noqa: ARG002 - one shape
        """The spike."""
        return self.value


class Drift(ValueFault, frozen=True, kw_only=True):
    """``kind = "drift"``: ``per_hour`` is added for each hour since it began."""

    per_hour: float

    def bent(self, value: float, signal: Signal, world: World, begun_s: float) -> float:  # noqa: ARG002 - one shape
        """The value as far off as it has drifted."""
        return value + self.per_hour * (world.elapsed() - begun_s) / 3600.0


class Dropout(DeviceFault, frozen=True):
    """``kind = "dropout"``."""


class Checksum(DeviceFault, frozen=True):
    """``kind = "checksum"``."""


class Hang(DeviceFault, frozen=True):
    """``kind = "hang"``; ``timeout_s``: real seconds until the kernel gives up an I2C transfer."""

    timeout_s: Positive = 1.0


class Reboot(DeviceFault, frozen=True):
    """``kind = "reboot"``; ``for_s`` is how long it is without power."""

    for_s: Positive | None = 2.0


class Battery(DeviceFault, frozen=True):
    """``kind = "battery"``; ``for_s`` is how long it takes to be empty, ``empty`` the part of the voltage left."""

    empty: Chance = 0.7

    def __post_init__(self) -> None:
        if self.for_s is None:
            raise ValueError("a fading battery needs for_s: how long it takes to be empty")
        super().__post_init__()

    def used(self, elapsed_s: float) -> float:
        """0 full, 1 empty; stays empty until it begins again."""
        since = elapsed_s - self.at_s
        if since < 0.0 or self.for_s is None:
            return 0.0
        if self.repeat_s is not None:
            since %= self.repeat_s
        return min(since / self.for_s, 1.0)


DEVICE_FAULTS: dict[str, type[DeviceFault]] = {
    "stuck": Stuck,
    "spike": Spike,
    "drift": Drift,
    "dropout": Dropout,
    "checksum": Checksum,
    "hang": Hang,
    "reboot": Reboot,
    "battery": Battery,
}


class StationFault(Scheduled, frozen=True):
    """A fault of the whole station; whoever plays the station applies it, see ``StationClock``."""


class Clock1970(StationFault, frozen=True):
    """``kind = "clock_1970"``."""


class ClockStep(StationFault, frozen=True, kw_only=True):
    """``kind = "clock_step"``: the wall clock is off by ``step_s`` seconds."""

    step_s: float


STATION_FAULTS: dict[str, type[StationFault]] = {"clock_1970": Clock1970, "clock_step": ClockStep}


class Faults:
    """The faults of one device, asked at the present moment.

    Args:
        rows: as the scenario has them.
        world: the time they go by.
        seed: decides every ``chance``.
    """

    def __init__(self, rows: Sequence[DeviceFault], world: World, seed: int) -> None:
        self._rows = [(row, seed + index) for index, row in enumerate(rows)]
        self._world = world

    def measured(self, quantity: str, signal: Signal) -> float | None:
        """What the device measures now: the signal, bent by whatever is wrong; None in a gap."""
        value = signal.value(self._world.now())
        if value is None:
            return None
        for row, seed in self._rows:
            if isinstance(row, ValueFault) and row.quantity in {None, quantity}:
                begun = self._active(row, seed)
                value = value if begun is None else row.bent(value, signal, self._world, begun)
            elif isinstance(row, Battery) and quantity == "battery_voltage":
                value *= 1.0 - (1.0 - row.empty) * row.used(self._world.elapsed())
        return value

    def silent(self) -> bool:
        """Whether it is unplugged, without power or empty at this moment."""
        return any(self._silences(row, seed) for row, seed in self._rows)

    def damaged(self) -> bool:
        """Whether the bytes of this moment arrive damaged."""
        return any(isinstance(row, Checksum) and self._active(row, seed) is not None for row, seed in self._rows)

    def hung(self) -> Hang | None:
        """The fault that holds the bus at this moment."""
        for row, seed in self._rows:
            if isinstance(row, Hang) and self._active(row, seed) is not None:
                return row
        return None

    def power_cycles(self) -> int:
        """How often the power has failed so far."""
        now = self._world.elapsed()
        return sum(row.times_begun(now) for row, _ in self._rows if isinstance(row, Reboot))

    def _silences(self, row: DeviceFault, seed: int) -> bool:
        if isinstance(row, Battery):
            # The last fifth is too little for every measurement.
            return self._drawn(seed) < (row.used(self._world.elapsed()) - 0.8) / 0.2
        return isinstance(row, (Dropout, Reboot)) and self._active(row, seed) is not None

    def _active(self, row: DeviceFault, seed: int) -> float | None:
        begun = row.begun_at(self._world.elapsed())
        if begun is None or (row.chance < 1.0 and self._drawn(seed) >= row.chance):
            return None
        return begun

    def _drawn(self, seed: int) -> float:
        return unit_hash(seed, self._world.now())


class StationClock:
    """A station's own view of time: the true clock with the scenario's clock faults applied to its wall time.

    Args:
        clock: the true measurement clock.
        faults: the station's faults.
        begun: ``clock.monotonic()`` at the scenario's begin.
    """

    def __init__(self, clock: Clock, faults: Sequence[StationFault], *, begun: float) -> None:
        self._clock = clock
        self._faults = faults
        self._begun = begun

    def now(self) -> int:
        """Wall time in ms as the station believes it."""
        elapsed = self._clock.monotonic() - self._begun
        wall = self._clock.now()
        for fault in self._faults:
            begun = fault.begun_at(elapsed)
            if begun is None:
                continue
            if isinstance(fault, Clock1970):
                return round((elapsed - begun) * 1000)
            if isinstance(fault, ClockStep):
                wall += round(fault.step_s * 1000)
        return wall

    def monotonic(self) -> float:
        """Seconds since boot, which no fault touches."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of the true clock."""
        await self._clock.sleep(seconds)
