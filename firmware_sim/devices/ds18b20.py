"""DS18B20: a thermometer on the 1-Wire line, 12 bits, after its data sheet."""

from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar, Literal

import msgspec

from firmware_sim.buses.onewire import crc8
from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection
from firmware_sim.part import Part

_POWER_ON = 0x0550
"""85 degrees: what it shows until its first conversion."""


class Ds18b20Section(DeviceSection, frozen=True, kw_only=True):
    """``type = "ds18b20"``.

    Attributes:
        id: the name of its folder: ``28-`` and twelve hexadecimal digits.
        quantity: what it is the temperature of; its only signal.
    """

    id: Annotated[str, msgspec.Meta(pattern="^28-[0-9a-f]{12}$")]
    quantity: Literal["temperature", "water_temperature", "soil_temperature", "globe_temperature"] = "temperature"

    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "checksum", "hang", "reboot", "battery"}
    )

    def measures(self) -> AbstractSet[str]:
        """The quantity."""
        return {self.quantity}

    def wire(self) -> str:
        """The one 1-Wire line."""
        return "1-Wire"

    def place(self) -> str:
        """The identity."""
        return f"id {self.id}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on the line."""
        rack.plug_onewire(self.id, Ds18b20(part, self.quantity), part)


def scratchpad(raw: int) -> bytes:
    """The nine bytes for a number of sixteenths of a degree.

    Alarm bytes 4B and 46, configuration 7F (12 bits) and the reserved bytes are those of a part from the factory.
    """
    raw = min(max(raw, -55 * 16), 125 * 16)
    data = raw.to_bytes(2, "little", signed=True) + bytes([0x4B, 0x46, 0x7F, 0xFF, 0x10 - (raw & 0x0F), 0x10])
    return data + bytes([crc8(data)])


def power_on_scratchpad() -> bytes:
    """What it shows before its first conversion; the seventh byte is 0C then."""
    data = _POWER_ON.to_bytes(2, "little") + bytes([0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10])
    return data + bytes([crc8(data)])


class Ds18b20:
    """The thermometer."""

    def __init__(self, part: Part, quantity: str) -> None:
        self._part = part
        self._quantity = quantity
        self._fresh = False

    def power_on(self) -> None:
        """The next reading is the power-on value."""
        self._fresh = True

    def scratchpad(self) -> bytes:
        """The present temperature."""
        if self._fresh:
            self._fresh = False
            return power_on_scratchpad()
        return scratchpad(round(self._part.value(self._quantity) * 16))
