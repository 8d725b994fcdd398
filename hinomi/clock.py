"""Time as something handed in: wall time, time since boot, waiting.

Two roles use one protocol. The *measurement clock* says when a reading was taken and may run scaled in a demo or
a replay. The *pace* (time-outs, back-off, group commit, coalescing) is always real time outside of tests.
"""

import asyncio
import ipaddress
import time
from typing import Protocol

from hinomi.config import Section
from hinomi.errors import ConfigError


class Clock(Protocol):
    """What a process may know of time."""

    def now(self) -> int:
        """Wall time in integer milliseconds since 1970 (UTC); may step when the system clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment, counted through suspend; never steps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of this clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> int:
        """Wall time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of CLOCK_BOOTTIME, so that a suspended machine does not lose time."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait in real seconds."""
        await asyncio.sleep(max(seconds, 0.0))


class ClockSection(Section, frozen=True):
    """A clock that several processes of one demo or replay share.

    Attributes:
        speed: seconds of this clock per real second, above 0.
        origin_ms: wall time (ms) that this clock shows at the anchor.
        anchor_s: the machine's CLOCK_BOOTTIME (s) at which it showed ``origin_ms``; the same for all processes.
    """

    speed: float
    origin_ms: int
    anchor_s: float

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError("speed must be above 0")


class ScaledClock:
    """Maps machine time since the anchor onto a recording's time, ``speed`` times as fast."""

    def __init__(self, section: ClockSection) -> None:
        self.speed = section.speed
        self._origin = section.origin_ms
        self._anchor = section.anchor_s

    def now(self) -> int:
        """Scaled wall time in milliseconds."""
        return self._origin + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        """Scaled seconds since the anchor."""
        return (time.clock_gettime(time.CLOCK_BOOTTIME) - self._anchor) * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of scaled time."""
        await asyncio.sleep(max(seconds, 0.0) / self.speed)


def measurement_clock(section: ClockSection | None, *, broker_host: str) -> Clock:
    """The clock of a process; a scaled one only where the broker cannot be anybody else's.

    Raises:
        ConfigError: a scaled clock was asked for and ``broker_host`` is not a loopback address.
    """
    if section is None:
        return SystemClock()
    if not is_loopback(broker_host):
        raise ConfigError.of(
            "clock", f"a scaled clock would falsify the times of others; broker {broker_host!r} is not loopback"
        )
    return ScaledClock(section)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can be behind ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
