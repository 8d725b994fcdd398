"""The time that the simulated hardware lives in: virtual for the world, real for the electronics."""

from hinomi.clock import Clock, ClockSection, ScaledClock, SystemClock

SHORTEST_STEP_S = 0.05
"""Real seconds: however fast virtual time runs, nothing happens by itself more often than this."""


class World:
    """What a device may know of time.

    Signals, faults and the rhythm in which a device measures by itself follow the virtual clock. What the driver
    waits for in real time (a conversion, the execution of a command) follows the pace.

    Args:
        clock: the virtual clock, shared with the agent.
        pace: real time outside of tests.
        speed: virtual seconds per real second.
        begun: what ``clock.monotonic()`` showed when the scenario began; None: now.
    """

    def __init__(self, clock: Clock, pace: Clock, *, speed: float = 1.0, begun: float | None = None) -> None:
        self._clock = clock
        self._pace = pace
        self._speed = speed
        self._begun = clock.monotonic() if begun is None else begun
        self._real_begun = pace.monotonic() - self.elapsed() / speed
        self._begun_ms = clock.now() - round(self.elapsed() * 1000)

    def now(self) -> int:
        """Wall time of the virtual clock, ms since 1970."""
        return self._clock.now()

    def elapsed(self) -> float:
        """Virtual seconds since the scenario began; what ``at_s`` of a fault counts."""
        return self._clock.monotonic() - self._begun

    def moment(self, elapsed_s: float) -> int:
        """Wall time (ms) at which the scenario was ``elapsed_s`` old."""
        return self._begun_ms + round(elapsed_s * 1000)

    def real(self) -> float:
        """Real seconds, for what the electronics need."""
        return self._pace.monotonic()

    def machine_ns(self) -> int:
        """The monotonic clock (ns) of the simulated machine: the real one, but as fast as the virtual clock.

        A pulse's time stamp must run with the virtual clock, or a debouncing driver would swallow rain at 600x.
        """
        return round((self._real_begun + self.elapsed()) * 1e9)

    async def step(self, seconds: float) -> None:
        """Wait ``seconds`` of virtual time, but never less than ``SHORTEST_STEP_S`` of real time."""
        await self._clock.sleep(max(seconds, SHORTEST_STEP_S * self._speed))

    async def wait_real(self, seconds: float) -> None:
        """Wait real seconds."""
        await self._pace.sleep(seconds)


def real_world(section: ClockSection | None) -> World:
    """The world on this machine's clocks; with a ``[clock]`` the scenario began at its anchor."""
    pace = SystemClock()
    if section is None:
        return World(pace, pace)
    return World(ScaledClock(section), pace, speed=section.speed, begun=0.0)
