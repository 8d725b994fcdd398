"""BME280 (Bosch): temperature, pressure, humidity over I2C, after the data sheet BST-BME280-DS002.

Registers, modes, the measuring bit, oversampling with its resolution, the filter, and raw numbers that only the
part's own calibration words turn into values.
"""

from collections.abc import Set as AbstractSet
from typing import ClassVar, Literal

from firmware_sim.buses.rack import Rack
from firmware_sim.devices.base import BusNumber, DeviceSection
from firmware_sim.devices.bme280_math import (
    Calibration,
    calibration,
    fine_temperature,
    raw_humidity,
    raw_pressure,
    raw_temperature,
)
from firmware_sim.part import Part

_CHIP_ID = 0x60
_RESET_WORD = 0xB6
_CALIBRATION_1, _ID, _RESET, _CALIBRATION_2 = 0x88, 0xD0, 0xE0, 0xE1
_CTRL_HUM, _CTRL_MEAS, _CONFIG, _DATA = 0xF2, 0xF4, 0xF5, 0xF7
_SKIPPED_20, _SKIPPED_16 = 0x80000, 0x8000
_SLEEP, _NORMAL = 0, 3
_START_UP_S = 0.002
_STANDBY_S = (0.0005, 0.0625, 0.125, 0.25, 0.5, 1.0, 0.01, 0.02)


class Bme280Section(DeviceSection, frozen=True):
    """``type = "bme280"``; signals: temperature, pressure, humidity.

    Attributes:
        bus: number of the I2C bus.
        address: 0x76 or 0x77.
        calibration: which part's calibration words; 0 has those of the data sheet's example.
    """

    bus: BusNumber = 1
    address: Literal[0x76, 0x77] = 0x76
    calibration: int = 0

    # Nothing on its wire is checked, so damaged bytes would only be other values: that is what "spike" is for.
    FAULTS: ClassVar[AbstractSet[str]] = frozenset(
        {"stuck", "spike", "drift", "dropout", "hang", "reboot", "battery"}
    )

    def measures(self) -> AbstractSet[str]:
        """All three."""
        return {"temperature", "pressure", "humidity"}

    def wire(self) -> str:
        """The bus."""
        return f"i2c-{self.bus}"

    def place(self) -> str:
        """The address."""
        return f"address {self.address:#x}"

    def plug(self, rack: Rack, part: Part) -> None:
        """Put it on its bus."""
        rack.plug_i2c(self.bus, self.address, Bme280(part, calibration(self.calibration)), part)


class Bme280:
    """The chip."""

    def __init__(self, part: Part, words: Calibration) -> None:
        self._part = part
        self._words = words
        self._pointer = 0
        self.power_on()
        self._started_at = -1.0

    def power_on(self) -> None:
        """Sleep mode, nothing measured, nothing remembered."""
        self._started_at = self._part.world.real()
        self._hum_written = self._hum = self._meas = self._config = 0
        self._data = _packed(_SKIPPED_20, _SKIPPED_20, _SKIPPED_16)
        self._pending: bytes | None = None
        self._ends_at: float | None = None
        self._filtered: tuple[float, float] | None = None

    def write(self, data: bytes) -> None:
        """A register's number, then values and further registers in turn (6.2.1: no increment on writing)."""
        self._advance()
        if not data:
            return
        self._pointer = data[0]
        for place in range(1, len(data), 2):
            self._set(data[place - 1], data[place])

    def read(self, length: int) -> bytes:
        """Registers from the pointer on."""
        self._advance()
        start, self._pointer = self._pointer, (self._pointer + length) & 0xFF
        return bytes(self._get((start + index) & 0xFF) for index in range(length))

    def _set(self, register: int, value: int) -> None:
        if register == _RESET and value == _RESET_WORD:
            self.power_on()
        elif register == _CTRL_HUM:
            self._hum_written = value & 0x07
        elif register == _CONFIG and self._meas & 0x03 != _NORMAL:
            self._config = value
        elif register == _CTRL_MEAS:
            # 5.4.3: what was written to ctrl_hum becomes effective with a write to ctrl_meas.
            self._meas, self._hum = value, self._hum_written
            self._begin()

    def _get(self, register: int) -> int:
        blocks = {
            _CALIBRATION_1: self._words.first_block(),
            _CALIBRATION_2: self._words.second_block(),
            _ID: bytes([_CHIP_ID]),
            _CTRL_HUM: bytes([self._hum_written, self._status(), self._meas, self._config]),
            _DATA: self._data,
        }
        for start, block in blocks.items():
            if start <= register < start + len(block):
                return block[register - start]
        return 0

    def _status(self) -> int:
        now = self._part.world.real()
        copying = now < self._started_at + _START_UP_S
        measuring = self._ends_at is not None and now >= self._ends_at - self._duration_s()
        return (0x08 if measuring else 0) | (0x01 if copying else 0)

    def _begin(self) -> None:
        mode = self._meas & 0x03
        if mode == _SLEEP:
            self._ends_at = self._pending = None
            return
        self._ends_at = self._part.world.real() + self._duration_s()
        # Forced: the world is looked at now. Normal: whenever the last conversion before a read was.
        self._pending = None if mode == _NORMAL else self._sampled()

    def _advance(self) -> None:
        now = self._part.world.real()
        if self._ends_at is None or now < self._ends_at:
            return
        if self._meas & 0x03 == _NORMAL:
            self._data = self._sampled()
            self._ends_at = now + _STANDBY_S[self._config >> 5] + self._duration_s()
            return
        self._data = self._pending or self._data
        self._pending = self._ends_at = None
        self._meas &= ~0x03

    def _oversampling(self) -> tuple[int, int, int]:
        return self._meas >> 5, (self._meas >> 2) & 0x07, self._hum

    def _duration_s(self) -> float:
        """Greatest time of one measurement (9.1)."""
        t, p, h = (0 if code == 0 else 1 << (min(code, 5) - 1) for code in self._oversampling())
        ms = 1.25 + 2.3 * t + (2.3 * p + 0.575 if p else 0.0) + (2.3 * h + 0.575 if h else 0.0)
        return ms / 1000.0

    def _sampled(self) -> bytes:
        """The data registers for the world as it is now."""
        t_code, p_code, h_code = self._oversampling()
        part, words = self._part, self._words
        t = raw_temperature(part.value("temperature"), words, step=self._step(t_code))
        p = raw_pressure(100.0 * part.value("pressure"), fine_temperature(t, words), words, step=self._step(p_code))
        if self._filter() > 1:
            t, p = self._smoothed(t, p)
        h = raw_humidity(part.value("humidity"), fine_temperature(t, words), words)
        return _packed(
            t if t_code else _SKIPPED_20,
            p if p_code else _SKIPPED_20,
            h if h_code else _SKIPPED_16,
        )

    def _step(self, code: int) -> int:
        """16 bits at one sample, one bit more for each doubling; all 20 with the filter on (3.4.2)."""
        return 1 if self._filter() > 1 or not code else 1 << (5 - min(code, 5))

    def _filter(self) -> int:
        return 1 << min((self._config >> 2) & 0x07, 4)

    def _smoothed(self, t: int, p: int) -> tuple[int, int]:
        old_t, old_p = self._filtered or (t, p)
        weight = self._filter()
        self._filtered = ((old_t * (weight - 1) + t) / weight, (old_p * (weight - 1) + p) / weight)
        return round(self._filtered[0]), round(self._filtered[1])


def _packed(t: int, p: int, h: int) -> bytes:
    """Registers 0xF7 to 0xFE: pressure, temperature (20 bits, left-aligned in three bytes), humidity."""
    return (p << 4).to_bytes(3, "big") + (t << 4).to_bytes(3, "big") + h.to_bytes(2, "big")
