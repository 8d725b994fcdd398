"""Ultrasonic distance sensors over UART: A02YYUW / DYP-A02 (binary) and MaxBotix MB73xx (text).

A02YYUW: FF, distance in mm high byte first, low byte of the sum of these three. MaxBotix: ``R``, four digits of mm,
carriage return; nothing is checked there but the form.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import ClassVar, Literal

import msgspec

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection, Port
from firmware_sim.part import Part


class UltrasonicSection(DeviceSection, frozen=True, kw_only=True):
    """``type = "ultrasonic"``; signal: water_distance, or water_level with ``mounting_height``.

    Attributes:
        port: serial port.
        protocol: ``a02`` (A02YYUW, DYP-A02) or ``maxbotix`` (MB73xx).
        mounting_height: m from the gauge's zero up to the sensor; the water's level is then the signal.
    """

    port: Port
    protocol: Literal["a02", "maxbotix"] = "a02"
    mounting_height: float | None = None

    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "checksum", "hang", "reboot", "battery"}
    )

    def measures(self) -> AbstractSet[str]:
        """The level where it is mounted at a known height, else the distance."""
        return {"water_distance" if self.mounting_height is None else "water_level"}

    def wire(self) -> str:
        """The port."""
        return self.port

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on its port."""
        rack.plug_uart(self.port, Ultrasonic(part, MODELS[self.protocol], self.mounting_height), part)


class Model(msgspec.Struct, frozen=True):
    """A kind of sensor.

    Attributes:
        encode: the frame for a distance in mm.
        nearest: mm; what is nearer reads like that.
        farthest: mm; what is farther, or no echo at all, reads like that.
        period_s: between two frames.
    """

    encode: Callable[[int], bytes]
    nearest: int
    farthest: int
    period_s: float


def a02(millimetres: int) -> bytes:
    """A frame of the A02YYUW."""
    head = bytes([0xFF, *millimetres.to_bytes(2, "big")])
    return head + bytes([sum(head) & 0xFF])


def maxbotix(millimetres: int) -> bytes:
    """A frame of the MB73xx."""
    return b"R%04d\r" % millimetres


MODELS = {
    "a02": Model(a02, nearest=30, farthest=4500, period_s=0.3),
    "maxbotix": Model(maxbotix, nearest=300, farthest=5000, period_s=0.15),
}


class Ultrasonic:
    """The sensor; it only speaks."""

    def __init__(self, part: Part, model: Model, mounting_height: float | None) -> None:
        self._part = part
        self._model = model
        self._height = mounting_height

    def power_on(self) -> None:
        """It remembers nothing."""

    def period_s(self) -> float:
        """The model's."""
        return self._model.period_s

    def tick(self) -> bytes:
        """The present distance."""
        if self._height is None:
            metres = self._part.value("water_distance")
        else:
            metres = self._height - self._part.value("water_level")
        return self._model.encode(min(max(round(metres * 1000), self._model.nearest), self._model.farthest))

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - the protocol names it
        """It does not listen."""
        return b""
