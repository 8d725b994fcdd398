"""Water level gauges and other instruments on Modbus RTU, described by a register map.

Modbus.org, Application Protocol Specification V1.1b3 (registers, big endian), Modbus over Serial Line V1.02 (RTU).
The order of the two words of a 32-bit value is not part of the standard: each maker chooses.
"""

import math
import struct
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge.buses.modbus import Kind, Modbus, Parity
from edge.buses.uart import Baud
from edge.sensors.base import Context, Measured, Sensor, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.config import Section
from hinomi.errors import Rejected, Transient
from sensing.quantity import QUANTITIES
from sensing.units import linear

_FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}


class Register(Section, frozen=True, kw_only=True):
    """One quantity in the instrument's registers: ``value = raw * scale + offset`` in ``unit``.

    Attributes:
        quantity: what it is.
        address: of its first register as it goes over the wire, counted from 0.
        kind: holding (function 3) or input (function 4) registers.
        format: how the registers are read.
        words: which word of a 32-bit value comes first.
        unit: of the scaled value; UCUM or as the maker writes it. Without it the quantity's own.
        scale: factor.
        offset: added after scaling, in ``unit``.
        absent: a raw value that means "no measurement".
    """

    quantity: str
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    kind: Kind = "holding"
    format: Literal["int16", "uint16", "int32", "uint32", "float32"] = "int16"
    words: Literal["high_first", "low_first"] = "high_first"
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    absent: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity {self.quantity!r} is not known; see sensing/quantity.py")
        try:
            linear(self._unit, QUANTITIES[self.quantity].unit)
        except Rejected as error:
            raise ValueError(f"unit: {error.detail}") from error

    @property
    def count(self) -> int:
        """How many 16-bit registers it takes."""
        return struct.calcsize(_FORMATS[self.format]) // 2

    @property
    def _unit(self) -> str:
        return self.unit or QUANTITIES[self.quantity].unit

    def value(self, registers: list[int]) -> float | None:
        """The value in the quantity's unit; None where the instrument has none.

        Raises:
            Transient: not a finite number.
        """
        ordered = registers if self.words == "high_first" else registers[::-1]
        (raw,) = struct.unpack(_FORMATS[self.format], struct.pack(f">{len(ordered)}H", *ordered))
        if raw in self.absent:
            return None
        scale, offset = linear(self._unit, QUANTITIES[self.quantity].unit)
        value = (raw * self.scale + self.offset) * scale + offset
        if not math.isfinite(value):
            raise Transient(f"Modbus register {self.address}: {raw} is no number; check format and words")
        return float(f"{value:.7g}") if self.format == "float32" else round(value, 9)


class Config(SensorSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        port: serial port of the RS-485 adapter.
        register: the register map.
        device: the instrument's number on the line.
        baud: speed of the line.
        parity: parity of the line.
        stop_bits: stop bits of the line.
        answer_s: seconds the instrument has for an answer.
    """

    port: Path
    register: tuple[Register, ...]
    device: Annotated[int, msgspec.Meta(ge=1, le=247)] = 1
    baud: Baud = 9600
    parity: Parity = "none"
    stop_bits: Literal[1, 2] = 1
    answer_s: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)] = 1.0

    def __post_init__(self) -> None:
        names = self.quantities()
        if not names:
            raise ValueError("register: at least one is needed")
        if len(set(names)) != len(names):
            raise ValueError("register: each quantity only once; a second one of a kind is a sensor of its own")

    def quantities(self) -> tuple[str, ...]:
        """Those of the register map."""
        return tuple(register.quantity for register in self.register)

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _ModbusLevel(context, self)


def decode(data: bytes, config: Config) -> list[Measured]:
    """Readings from the bytes of all registers, in the order of the map."""
    values = list(struct.unpack(f">{len(data) // 2}H", data))
    blocks = []
    for register in config.register:
        blocks.append(values[: register.count])
        del values[: register.count]
    return _readings(blocks, config)


def _readings(blocks: list[list[int]], config: Config) -> list[Measured]:
    measured = []
    for register, block in zip(config.register, blocks, strict=True):
        value = register.value(block)
        if value is not None:
            measured.append(Measured(register.quantity, value))
    if not measured:
        raise Transient("Modbus: the instrument says that it has no measurement")
    return measured


class _ModbusLevel(Blocking):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self._config = config
        self._modbus = Modbus(
            config.port,
            baud=config.baud,
            parity=config.parity,
            stop_bits=config.stop_bits,
            device=config.device,
            timeout_s=config.answer_s,
        )

    def start(self) -> None:
        self._read()

    def measure(self) -> list[Measured]:
        return _readings(self._read(), self._config)

    def stop(self) -> None:
        pass  # the port is open during an exchange only

    def _read(self) -> list[list[int]]:
        return self._modbus.read([(one.kind, one.address, one.count) for one in self._config.register])
