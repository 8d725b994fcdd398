"""SCD40/SCD41 (Sensirion): CO2, temperature, humidity over I2C, after the SCD4x data sheet, chapter 3.

Words of 16 bits, each with a CRC; a command takes its time, and until then nothing is acknowledged; while it
measures periodically only a few commands are.
"""

import struct
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

import msgspec

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import BusNumber, DeviceSection
from firmware_sim.part import Part, Silent

ADDRESS = 0x62
_PERIOD_S, _LOW_POWER_PERIOD_S = 5.0, 30.0
_START_UP_S = 1.0
_READY, _NOT_READY = 0x8006, 0x8000
_SERIAL = (0xF896, 0x9F07, 0x3BBE)
_SCD41_VARIANT = 0x1440
_SELF_HEATING = 4.0
"""Kelvin by which the chip is warmer than the air; the default of its temperature offset."""


class Scd4xSection(DeviceSection, frozen=True):
    """``type = "scd4x"`` at its only address 0x62; signals: co2, temperature, humidity.

    Attributes:
        bus: number of the I2C bus.
    """

    bus: BusNumber = 1

    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "checksum", "hang", "reboot", "battery"}
    )

    def measures(self) -> AbstractSet[str]:
        """All three."""
        return {"co2", "temperature", "humidity"}

    def wire(self) -> str:
        """The bus."""
        return f"i2c-{self.bus}"

    def place(self) -> str:
        """The address."""
        return f"address {ADDRESS:#x}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on its bus."""
        rack.plug_i2c(self.bus, ADDRESS, Scd4x(part), part)


def crc8(data: bytes) -> int:
    """CRC of one word (3.11): x^8 + x^5 + x^4 + 1, from 0xFF, not reflected."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x31) & 0xFF if crc & 0x80 else crc << 1
    return crc


def words(values: Sequence[int]) -> bytes:
    """16-bit words as they go over the wire, each followed by its CRC."""
    raw = [struct.pack(">H", value) for value in values]
    return b"".join(word + bytes([crc8(word)]) for word in raw)


def argument(data: bytes) -> int:
    """The word of a command that carries one.

    Raises:
        Silent: no word, or its CRC is wrong; the chip does not acknowledge.
    """
    if len(data) != 3 or crc8(data[:2]) != data[2]:
        raise Silent("bad argument")
    return int.from_bytes(data[:2], "big")


def word_of(value: float, low: float, span: float) -> int:
    """A value on a scale that begins at ``low`` and fills 16 bits over ``span``; beyond it the scale's end."""
    return round(min(max((value - low) / span, 0.0), 1.0) * 0xFFFF)


class _Command(msgspec.Struct, frozen=True):
    """One row of the data sheet's table of commands.

    Attributes:
        seconds: how long it takes at most.
        run: does it; gets the argument's bytes, returns the words that can be read then, or None.
        measuring: also allowed during a periodic measurement.
    """

    seconds: float
    run: Callable[[bytes], Sequence[int] | None]
    measuring: bool = False


class Scd4x:
    """The chip."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._commands = self._table()
        self._settings = _factory_settings()
        self._persisted = dict(self._settings)
        self.power_on()
        self._busy_until = part.world.real()

    def power_on(self) -> None:
        """Idle after its start-up time; what was not persisted is forgotten."""
        self._busy_until = self._part.world.real() + _START_UP_S
        self._settings = dict(self._persisted)
        self._reply: bytes | None = None
        self._period: float | None = None
        self._begun = 0.0
        self._seen = 0
        self._single: Sequence[int] | None = None
        self._asleep = False

    def write(self, data: bytes) -> None:
        """A command, or only the address."""
        if self._asleep:
            self._wake(data)
        if self._part.world.real() < self._busy_until:
            raise Silent("busy")
        if len(data) < 2:
            return
        command = self._commands.get(int.from_bytes(data[:2], "big"))
        if command is None or (self._period is not None and not command.measuring):
            raise Silent("not now")
        reply = command.run(data[2:])
        self._reply = None if reply is None else words(reply)
        self._busy_until = self._part.world.real() + command.seconds

    def read(self, length: int) -> bytes:
        """The words of the command before; once."""
        if self._asleep or self._reply is None or self._part.world.real() < self._busy_until:
            raise Silent("nothing to read")
        reply, self._reply = self._reply, None
        return reply[:length].ljust(length, b"\xff")

    def _wake(self, data: bytes) -> None:
        # 3.10.2: asleep it acknowledges nothing, not even the command that wakes it.
        if data[:2] == b"\x36\xf6":
            self._asleep = False
            self._busy_until = self._part.world.real() + 0.03
        raise Silent("asleep")

    def _table(self) -> dict[int, _Command]:
        return {
            0x21B1: _Command(0.0, lambda _: self._start(_PERIOD_S)),
            0x21AC: _Command(0.0, lambda _: self._start(_LOW_POWER_PERIOD_S)),
            0xEC05: _Command(0.001, self._measurement, measuring=True),
            0x3F86: _Command(0.5, self._stop, measuring=True),
            0xE4B8: _Command(0.001, self._data_ready, measuring=True),
            0xE000: _Command(0.001, lambda data: self._setting("ambient_pressure", data), measuring=True),
            0x241D: _Command(0.001, lambda data: self._set("temperature_offset", data)),
            0x2318: _Command(0.001, lambda _: self._show("temperature_offset")),
            0x2427: _Command(0.001, lambda data: self._set("altitude", data)),
            0x2322: _Command(0.001, lambda _: self._show("altitude")),
            0x2416: _Command(0.001, lambda data: self._set("self_calibration", data)),
            0x2313: _Command(0.001, lambda _: self._show("self_calibration")),
            0x3615: _Command(0.8, self._persist),
            0x3682: _Command(0.001, lambda _: _SERIAL),
            0x202F: _Command(0.001, lambda _: (_SCD41_VARIANT,)),
            0x3639: _Command(10.0, lambda _: (0,)),
            0x3632: _Command(1.2, self._factory_reset),
            0x3646: _Command(0.03, self._reinit),
            0x219D: _Command(5.0, lambda _: self._shoot(co2=True)),
            0x2196: _Command(0.05, lambda _: self._shoot(co2=False)),
            0x36E0: _Command(0.001, self._power_down),
            # Awake already, it acknowledges the wake-up.
            0x36F6: _Command(0.03, lambda _: None),
        }

    def _start(self, period: float) -> None:
        self._period, self._begun, self._seen = period, self._part.world.elapsed(), 0

    def _stop(self, _: bytes) -> None:
        self._period = self._single = None

    def _count(self) -> int:
        """How many periodic measurements have been finished."""
        if self._period is None:
            return 0
        return int((self._part.world.elapsed() - self._begun) / self._period)

    def _data_ready(self, _: bytes) -> Sequence[int]:
        return (_READY if self._single is not None or self._count() > self._seen else _NOT_READY,)

    def _measurement(self, _: bytes) -> Sequence[int] | None:
        """What was measured last; None, and so no acknowledgement, when it has been read already."""
        if self._single is not None:
            single, self._single = self._single, None
            return single
        count = self._count()
        if count <= self._seen:
            return None
        self._seen = count
        return self._sampled()

    def _shoot(self, *, co2: bool) -> None:
        sampled = self._sampled()
        self._single = sampled if co2 else (0, *sampled[1:])

    def _sampled(self) -> Sequence[int]:
        part = self._part
        offset = self._settings["temperature_offset"] * 175.0 / 0xFFFF
        celsius = part.value("temperature") + _SELF_HEATING - offset
        return (
            round(min(max(part.value("co2"), 0.0), 40000.0)),
            word_of(celsius, -45.0, 175.0),
            word_of(part.value("humidity"), 0.0, 100.0),
        )

    def _setting(self, name: str, data: bytes) -> Sequence[int] | None:
        if data:
            self._set(name, data)
            return None
        return self._show(name)

    def _set(self, name: str, data: bytes) -> None:
        self._settings[name] = argument(data)

    def _show(self, name: str) -> Sequence[int]:
        return (self._settings[name],)

    def _persist(self, _: bytes) -> None:
        self._persisted = dict(self._settings)

    def _factory_reset(self, _: bytes) -> None:
        self._settings = _factory_settings()
        self._persisted = dict(self._settings)

    def _reinit(self, _: bytes) -> None:
        self._settings = dict(self._persisted)

    def _power_down(self, _: bytes) -> None:
        self._asleep = True


def _factory_settings() -> dict[str, int]:
    return {
        "temperature_offset": round(_SELF_HEATING * 0xFFFF / 175.0),
        "altitude": 0,
        "ambient_pressure": 1013,
        "self_calibration": 1,
    }
