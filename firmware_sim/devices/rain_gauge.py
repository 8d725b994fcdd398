"""A tipping bucket: each ``mm_per_tip`` of rain closes a reed contact for a moment, and the contact bounces."""

from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar, Literal

import msgspec

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection, GpioLine
from firmware_sim.devices.edges import Edges, bounced
from firmware_sim.part import Part, Silent

_CLOSED_NS = 80_000_000
_PAUSE_NS = 120_000_000
"""A bucket needs that long to come to rest; a cloudburst beyond it is lost, as it is in a real one."""


class RainGaugeSection(DeviceSection, frozen=True, kw_only=True):
    """``type = "rain_gauge"``; signal: rain_rate.

    Attributes:
        line: of the GPIO chip.
        mm_per_tip: rain that tips the bucket.
        closed: level of the line while the contact is closed (0: against ground with a pull-up).
    """

    line: GpioLine
    mm_per_tip: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)] = 0.2
    closed: Literal[0, 1] = 0

    FAULTS: ClassVar[AbstractSet[str]] = frozenset({"stuck", "spike", "drift", "dropout"})

    def measures(self) -> AbstractSet[str]:
        """The rain."""
        return {"rain_rate"}

    def wire(self) -> str:
        """The line."""
        return f"GPIO line {self.line}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Wire it to its line."""
        rack.plug_gpio(self.line, RainGauge(part, self.mm_per_tip, self.closed), part)


class RainGauge:
    """The bucket."""

    def __init__(self, part: Part, mm_per_tip: float, closed: int) -> None:
        self._part = part
        self._mm_per_tip = mm_per_tip
        self._closed = closed
        self._edges = Edges(1 - closed)
        self._water = 0.0
        self._seen_ns = part.world.machine_ns()

    @property
    def level(self) -> int:
        """Of the line now."""
        return self._edges.level

    def power_on(self) -> None:
        """It has no power."""

    def advance(self, until_ns: int) -> list[tuple[int, int]]:
        """Collect the rain since the last call; a blocked funnel (``dropout``) lets none through."""
        hours = (until_ns - self._seen_ns) / 3.6e12
        fallen = max(self._rate(), 0.0) * hours
        before, self._water = self._water, self._water + fallen
        tips = int(self._water / self._mm_per_tip)
        for tip in range(1, tips + 1):
            part = (tip * self._mm_per_tip - before) / fallen
            self._tip(self._seen_ns + round(part * (until_ns - self._seen_ns)))
        self._water -= tips * self._mm_per_tip
        self._seen_ns = until_ns
        return self._edges.due(until_ns)

    def _rate(self) -> float:
        if self._part.silent():
            return 0.0
        try:
            return self._part.value("rain_rate")
        except Silent:
            return 0.0

    def _tip(self, at_ns: int) -> None:
        rng = self._part.rng
        start = max(at_ns, self._edges.last_ns() + _PAUSE_NS)
        self._edges.add(bounced(rng, start, self._closed))
        self._edges.add(bounced(rng, start + _CLOSED_NS, 1 - self._closed))
