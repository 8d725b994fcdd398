"""Bosch BME280: air temperature, relative humidity and air pressure, over I2C.

Registers and compensation: Bosch Sensortec, BME280 data sheet BST-BME280-DS002, chapters 4.2.2 (calibration data),
5.3 and 5.4 (memory map), 8.1 (compensation in double precision), 9.1 (measuring time).
"""

import struct
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge.buses.i2c import I2C, open_i2c
from edge.sensors.base import Context, Measured, Sensor, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.errors import ConfigError, Transient

_ID, _RESET, _STATUS, _CTRL_HUM, _CTRL_MEAS = 0xD0, 0xE0, 0xF3, 0xF2, 0xF4
_DATA, _DATA_LENGTH = 0xF7, 8
_LOW, _LOW_LENGTH = 0x88, 26
_HIGH, _HIGH_LENGTH = 0xE1, 7
_MEASURING, _COPYING = 0x08, 0x01
_FORCED = 0b01
_CHIPS = {0x60: "BME280", 0x58: "BMP280 (it has no humidity)", 0x56: "BMP280 sample", 0x61: "BME680"}
_SKIPPED_20, _SKIPPED_16 = 0x80000, 0x8000


class Config(SensorSection, frozen=True):
    """Settings, see the sample beside this file.

    Attributes:
        bus: I2C bus.
        address: 0x76 (SDO to ground) or 0x77 (SDO to supply).
        oversampling: how many samples the chip averages.
    """

    bus: Path = Path("/dev/i2c-1")
    address: Annotated[int, msgspec.Meta(ge=0x76, le=0x77)] = 0x76
    oversampling: Literal[1, 2, 4, 8, 16] = 1

    def quantities(self) -> tuple[str, ...]:
        """Temperature, humidity, pressure."""
        return ("temperature", "humidity", "pressure")

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _Bme280(context, self)


class Calibration(msgspec.Struct, frozen=True):
    """The chip's own coefficients, ``dig_T1`` to ``dig_H6`` of the data sheet."""

    t: tuple[int, int, int]
    p: tuple[int, int, int, int, int, int, int, int, int]
    h: tuple[int, int, int, int, int, int]


class Air(msgspec.Struct, frozen=True):
    """Compensated values: Cel, Pa, %."""

    temperature: float
    pressure: float
    humidity: float


def calibration(low: bytes, high: bytes) -> Calibration:
    """The coefficients from registers 0x88..0xA1 (``low``) and 0xE1..0xE7 (``high``).

    Raises:
        Transient: the registers are blank: the chip was not ready or the bus is disturbed.
    """
    if len(set(low[:24])) == 1:
        raise Transient("BME280: its calibration registers are blank; check wiring and supply")
    words = struct.unpack("<HhhHhhhhhhhh", low[:24])
    h2, h3, e4, e5, e6, h6 = struct.unpack("<hBbBbb", high)
    # H4 and H5 have 12 bits each and share the register 0xE5.
    h4 = e4 * 16 + (e5 & 0x0F)
    h5 = e6 * 16 + (e5 >> 4)
    return Calibration(t=words[:3], p=words[3:], h=(low[25], h2, h3, h4, h5, h6))


def compensate(data: bytes, by: Calibration) -> Air:
    """Physical values from registers 0xF7..0xFE.

    Raises:
        Transient: a channel was not measured, or the result is outside of what the chip can measure.
    """
    pressure_raw = int.from_bytes(data[0:3]) >> 4
    temperature_raw = int.from_bytes(data[3:6]) >> 4
    humidity_raw = int.from_bytes(data[6:8])
    # Each of these values may also be measured; all three together are the registers' state after a reset.
    if (pressure_raw, temperature_raw, humidity_raw) == (_SKIPPED_20, _SKIPPED_20, _SKIPPED_16):
        raise Transient("BME280: it has not measured yet; was its supply interrupted?")
    fine = _fine_temperature(temperature_raw, by)
    air = Air(
        temperature=fine / 5120.0,
        pressure=_pressure(pressure_raw, fine, by),
        humidity=_humidity(humidity_raw, fine, by),
    )
    if not (-40 <= air.temperature <= 85 and 30_000 <= air.pressure <= 110_000):
        raise Transient(
            f"BME280: {air.temperature:.1f} Cel, {air.pressure:.0f} Pa is more than it can measure;"
            " check wiring, supply and the length of the cable"
        )
    return air


def _fine_temperature(raw: int, by: Calibration) -> float:
    """``t_fine``: temperature in 1/5120 Cel."""
    t1, t2, t3 = by.t
    coarse = (raw / 16384.0 - t1 / 1024.0) * t2
    square = (raw / 131072.0 - t1 / 8192.0) ** 2 * t3
    return coarse + square


def _pressure(raw: int, fine: float, by: Calibration) -> float:
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = by.p
    x = fine / 2.0 - 64000.0
    y = x * x * p6 / 32768.0 + x * p5 * 2.0
    y = y / 4.0 + p4 * 65536.0
    x = (p3 * x * x / 524288.0 + p2 * x) / 524288.0
    x = (1.0 + x / 32768.0) * p1
    if x == 0:
        raise Transient("BME280: its calibration registers are blank; check wiring and supply")
    pressure = (1048576.0 - raw - y / 4096.0) * 6250.0 / x
    x = p9 * pressure * pressure / 2147483648.0
    y = pressure * p8 / 32768.0
    return pressure + (x + y + p7) / 16.0


def _humidity(raw: int, fine: float, by: Calibration) -> float:
    h1, h2, h3, h4, h5, h6 = by.h
    x = fine - 76800.0
    offset = h4 * 64.0 + h5 / 16384.0 * x
    slope = h2 / 65536.0 * (1.0 + h6 / 67108864.0 * x * (1.0 + h3 / 67108864.0 * x))
    humidity = (raw - offset) * slope
    humidity *= 1.0 - h1 * humidity / 524288.0
    return min(max(humidity, 0.0), 100.0)


def decode(dump: bytes, _config: Config) -> list[Measured]:
    """Readings from a register dump: 0x88..0xA1, 0xE1..0xE7, 0xF7..0xFE, one after the other."""
    low, high, data = dump[:_LOW_LENGTH], dump[_LOW_LENGTH:-_DATA_LENGTH], dump[-_DATA_LENGTH:]
    return _readings(compensate(data, calibration(low, high)))


def _readings(air: Air) -> list[Measured]:
    return [
        Measured("temperature", round(air.temperature, 2)),
        Measured("humidity", round(air.humidity, 2)),
        Measured("pressure", round(air.pressure / 100.0, 2)),
    ]


class _Bme280(Blocking):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self._config = config
        self._bus: I2C | None = None
        self._by: Calibration | None = None

    def start(self) -> None:
        self._bus = open_i2c(self._config.bus)
        self._check_chip(self._get(_ID, 1)[0])
        self._set(_RESET, 0xB6)
        self._bus.wait(0.003)  # start-up time: 2 ms
        self._until(_COPYING, 0.1, "copies its calibration")
        self._by = calibration(self._get(_LOW, _LOW_LENGTH), self._get(_HIGH, _HIGH_LENGTH))

    def measure(self) -> list[Measured]:
        # All settings each time: a chip that lost its supply for a moment has forgotten them.
        times = self._config.oversampling
        code = times.bit_length()
        self._set(_CTRL_HUM, code)
        self._set(_CTRL_MEAS, code << 5 | code << 2 | _FORCED)
        longest_ms = 1.25 + 2.3 * times + 2 * (2.3 * times + 0.575)
        self._open().wait(longest_ms / 1000)
        self._until(_MEASURING, 0.1, "measures")
        if self._by is None:
            raise Transient("BME280: not started")
        return _readings(compensate(self._get(_DATA, _DATA_LENGTH), self._by))

    def stop(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _check_chip(self, chip: int) -> None:
        if chip != 0x60:
            found = _CHIPS.get(chip, "something else")
            raise ConfigError.of(
                f"I2C address 0x{self._config.address:02x}",
                f"answers with chip id 0x{chip:02x}: {found}; a BME280 answers 0x60",
            )

    def _until(self, bit: int, seconds: float, what: str) -> None:
        for _ in range(round(seconds / 0.005)):
            if not self._get(_STATUS, 1)[0] & bit:
                return
            self._open().wait(0.005)
        raise Transient(f"BME280: it {what} without end; power it off and on")

    def _open(self) -> I2C:
        if self._bus is None:
            raise Transient("BME280: the bus was closed")
        return self._bus

    def _get(self, register: int, length: int) -> bytes:
        return self._open().transfer(self._config.address, bytes([register]), length)

    def _set(self, register: int, value: int) -> None:
        self._open().transfer(self._config.address, bytes([register, value]))
