"""One simulated device seen from its bus: its signals, its faults, its power."""

import random
from collections.abc import Mapping
from typing import Protocol

from firmware_sim.faults import Faults
from firmware_sim.signals.base import Signal
from firmware_sim.world import World


class Silent(Exception):
    """The device does not answer: on I2C a byte is not acknowledged, elsewhere nothing comes."""


class Powered(Protocol):
    """What every device can do."""

    def power_on(self) -> None:
        """Forget what is only in RAM."""
        ...


class Part:
    """What a device and the bus it sits on share.

    Args:
        world: the time it lives in.
        signals: what it measures, by quantity.
        faults: what goes wrong with it.
        rng: its own source of randomness (bounces, jitter).

    Attributes:
        world, faults, rng: as given.
    """

    def __init__(self, world: World, signals: Mapping[str, Signal], faults: Faults, rng: random.Random) -> None:
        self.world = world
        self.faults = faults
        self.rng = rng
        self._signals = signals
        self._cycles = 0
        self._broken_off = False

    def value(self, quantity: str) -> float:
        """What it measures now.

        Raises:
            Silent: the recording has a gap; a device that invented a value would falsify it.
        """
        value = self.faults.measured(quantity, self._signals[quantity])
        if value is None:
            raise Silent(quantity)
        return value

    def silent(self) -> bool:
        """Whether it gives no sign of life now, by a fault or by a gap in one of its recordings."""
        if self.faults.silent():
            return True
        now = self.world.now()
        return any(signal.value(now) is None for signal in self._signals.values())

    def revive(self, device: Powered) -> None:
        """Power-cycle ``device`` if its power has failed since the last call."""
        cycles = self.faults.power_cycles()
        if cycles != self._cycles:
            self._cycles = cycles
            device.power_on()

    def hears(self) -> bool:
        """Whether bytes sent to it reach it."""
        return not self.silent() and self.faults.hung() is None

    def spoken(self, frame: bytes) -> bytes:
        """What arrives of a frame that it sends over a serial line."""
        if not frame or self.silent():
            return b""
        if self.faults.hung() is not None:
            rest = b"" if self._broken_off else frame[: len(frame) // 2]
            self._broken_off = True
            return rest
        self._broken_off = False
        return spoilt(frame) if self.faults.damaged() else frame


def spoilt(data: bytes) -> bytes:
    """``data`` with one bit turned over in its middle: any sum or CRC fails, a decimal digit is none any more."""
    if not data:
        return data
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x40]) + data[middle + 1 :]
