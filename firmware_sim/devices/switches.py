"""A door's reed contact and a motion sensor, each on one GPIO line."""

from collections.abc import Set as AbstractSet
from typing import ClassVar, Literal

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection, GpioLine
from firmware_sim.devices.edges import Edges, bounced
from firmware_sim.part import Part, Silent


class ContactSection(DeviceSection, frozen=True, kw_only=True):
    """``type = "contact"``; signal: door_open (1 open, 0 closed).

    Attributes:
        line: of the GPIO chip.
        open: level of the line while the door is open (1: a reed against ground with a pull-up).
    """

    line: GpioLine
    open: Literal[0, 1] = 1

    FAULTS: ClassVar[AbstractSet[str]] = frozenset({"stuck", "spike", "dropout"})

    def measures(self) -> AbstractSet[str]:
        """The door."""
        return {"door_open"}

    def wire(self) -> str:
        """The line."""
        return f"GPIO line {self.line}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Wire it to its line."""
        rack.plug_gpio(self.line, Switch(part, "door_open", self.open, bounces=True), part)


class MotionSection(DeviceSection, frozen=True, kw_only=True):
    """``type = "motion"``; signal: motion (1 while somebody moves).

    Attributes:
        line: of the GPIO chip; high while there is motion.
    """

    line: GpioLine

    FAULTS: ClassVar[AbstractSet[str]] = frozenset({"stuck", "spike", "dropout"})

    def measures(self) -> AbstractSet[str]:
        """The motion."""
        return {"motion"}

    def wire(self) -> str:
        """The line."""
        return f"GPIO line {self.line}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Wire it to its line."""
        rack.plug_gpio(self.line, Switch(part, "motion", 1, bounces=False), part)


class Switch:
    """A line that follows a signal of 0 and 1; unplugged (``dropout``, a gap) it stays as it was."""

    def __init__(self, part: Part, quantity: str, active: int, *, bounces: bool) -> None:
        self._part = part
        self._quantity = quantity
        self._active = active
        self._bounces = bounces
        self._wanted = self._looked(1 - active)
        self._edges = Edges(self._wanted)

    @property
    def level(self) -> int:
        """Of the line now."""
        return self._edges.level

    def power_on(self) -> None:
        """It remembers nothing."""

    def advance(self, until_ns: int) -> list[tuple[int, int]]:
        """Follow the signal as it is now."""
        wanted = self._looked(self._wanted)
        if wanted != self._wanted:
            self._wanted = wanted
            at = max(until_ns, self._edges.last_ns() + 1)
            self._edges.add(bounced(self._part.rng, at, wanted) if self._bounces else [(at, wanted)])
        return self._edges.due(until_ns)

    def _looked(self, otherwise: int) -> int:
        if self._part.silent():
            return otherwise
        try:
            on = self._part.value(self._quantity) >= 0.5
        except Silent:
            return otherwise
        return self._active if on else 1 - self._active
