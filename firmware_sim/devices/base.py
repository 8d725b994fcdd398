"""What a ``[[device]]`` table of a scenario is."""

from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar

import msgspec

from firmware_sim.buses.rack import Rack
from firmware_sim.part import Part
from hinomi.config import Section

Address = Annotated[int, msgspec.Meta(ge=0x08, le=0x77)]
BusNumber = Annotated[int, msgspec.Meta(ge=0, le=99)]
Port = Annotated[str, msgspec.Meta(pattern="^tty[A-Z]{1,8}[0-9]{1,3}$")]
GpioLine = Annotated[int, msgspec.Meta(ge=0, le=53)]


class DeviceSection(Section, frozen=True):
    """Settings of one device; a subclass adds its own.

    ``[device.signals]`` and ``[[device.fault]]`` stand beside them in the file and are read by the scenario.

    Attributes:
        type: the row in ``DEVICES``.
        name: what it is called in this scenario; default its type.
        FAULTS: the kinds of faults that mean something for it.
    """

    type: str
    name: str = ""

    FAULTS: ClassVar[AbstractSet[str]] = frozenset()

    def measures(self) -> AbstractSet[str]:
        """The quantities it measures; each needs a signal."""
        raise NotImplementedError

    def wire(self) -> str:
        """What it is connected to, e.g. ``ttySIM0``."""
        raise NotImplementedError

    def place(self) -> str:
        """Its place on a wire that can be shared, e.g. ``address 0x76``; empty: it needs the wire for itself."""
        return ""

    def plug(self, rack: Rack, part: Part) -> None:
        """Build it and put it on its bus."""
        raise NotImplementedError
