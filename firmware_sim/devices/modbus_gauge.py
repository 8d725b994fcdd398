"""A gauge with Modbus RTU registers: level, or whatever its map says."""

import struct
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, ClassVar, Literal

import msgspec

from firmware_sim.buses.modbus import Table
from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import DeviceSection, Port
from firmware_sim.part import Part
from hinomi.config import Section

Format = Literal["uint16", "int16", "uint32", "int32", "float32"]

_CODES = {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "float32": ">f"}
_LIMITS = {
    "uint16": (0, 0xFFFF),
    "int16": (-0x8000, 0x7FFF),
    "uint32": (0, 0xFFFFFFFF),
    "int32": (-0x80000000, 0x7FFFFFFF),
}


class Register(Section, frozen=True):
    """A row of the gauge's map: value = number · scale + offset, in the quantity's unit.

    Attributes:
        quantity: whose signal it holds.
        address: of its (first) register, from 0.
        table: function 3 reads ``holding``, function 4 ``input``.
        format: of the number.
        words: which word of a 32-bit number comes first.
        scale: unit of the quantity in one step of the number.
        offset: value of the number 0.
    """

    quantity: str
    address: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
    table: Table = "holding"
    format: Format = "uint16"
    words: Literal["high_first", "low_first"] = "high_first"
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise ValueError("scale must not be 0")

    def encode(self, value: float) -> dict[int, int]:
        """The register(s) that hold ``value``; beyond what the number can show, its limit."""
        number: float = (value - self.offset) / self.scale
        if self.format != "float32":
            low, high = _LIMITS[self.format]
            number = min(max(round(number), low), high)
        raw = struct.pack(_CODES[self.format], number)
        parts = [int.from_bytes(raw[place : place + 2], "big") for place in range(0, len(raw), 2)]
        if self.words == "low_first":
            parts.reverse()
        return {self.address + index: word for index, word in enumerate(parts)}


class ModbusGaugeSection(DeviceSection, frozen=True, kw_only=True):
    """``type = "modbus_gauge"``; signals: the quantities of its registers.

    Attributes:
        port: serial port; several units may share it.
        unit: its address on the line.
        register: the map.
    """

    port: Port
    unit: Annotated[int, msgspec.Meta(ge=1, le=247)] = 1
    register: Annotated[list[Register], msgspec.Meta(min_length=1)]

    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "checksum", "hang", "reboot", "battery"}
    )

    def __post_init__(self) -> None:
        taken: set[tuple[Table, int]] = set()
        for row in self.register:
            places = {(row.table, address) for address in row.encode(0.0)}
            if places & taken:
                raise ValueError(f"register: {row.table} {row.address} overlaps another one")
            taken |= places

    def measures(self) -> AbstractSet[str]:
        """What stands in the map."""
        return {row.quantity for row in self.register}

    def wire(self) -> str:
        """The port."""
        return self.port

    def place(self) -> str:
        """The unit."""
        return f"unit {self.unit}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on its line."""
        rack.plug_modbus(self.port, self.unit, ModbusGauge(part, self.register), part)


class ModbusGauge:
    """The gauge."""

    def __init__(self, part: Part, rows: list[Register]) -> None:
        self._part = part
        self._rows = rows

    def power_on(self) -> None:
        """It remembers nothing."""

    def words(self, table: Table) -> Mapping[int, int]:
        """All registers at this moment, so that the two words of one number belong together."""
        found: dict[int, int] = {}
        for row in self._rows:
            if row.table == table:
                found |= row.encode(self._part.value(row.quantity))
        return found
