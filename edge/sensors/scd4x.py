"""Sensirion SCD40 and SCD41: carbon dioxide, air temperature and relative humidity, over I2C.

Commands, CRC and conversions: Sensirion, data sheet SCD4x, chapters 3.5 to 3.9.
"""

import struct
from pathlib import Path
from typing import Annotated

import msgspec

from edge.buses.i2c import I2C, open_i2c
from edge.sensors.base import Context, Measured, Sensor, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.errors import Transient

_ADDRESS = 0x62
_START, _STOP, _READY, _READ, _ALTITUDE = 0x21B1, 0x3F86, 0xE4B8, 0xEC05, 0x2427
_COMMAND_S = 0.001
_STOP_S = 0.5
_PERIOD_S = 5.0  # of its own measuring
_LOOK_EVERY_S = 0.1


class Config(SensorSection, frozen=True):
    """Settings, see the sample beside this file.

    Attributes:
        bus: I2C bus.
        altitude_m: height above the sea, for the sensor's pressure correction.
    """

    bus: Path = Path("/dev/i2c-1")
    altitude_m: Annotated[int, msgspec.Meta(ge=0, le=3000)] = 0

    def __post_init__(self) -> None:
        if self.interval_s < _PERIOD_S:
            raise ValueError(f"interval_s must be at least {_PERIOD_S:g}: the sensor measures every five seconds")

    def quantities(self) -> tuple[str, ...]:
        """CO2, temperature, humidity."""
        return ("co2", "temperature", "humidity")

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _Scd4x(context, self)


def crc8(data: bytes) -> int:
    """Sensirion's checksum of one word: polynomial 0x31, begins with 0xFF (data sheet, 3.11)."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def words(answer: bytes) -> list[int]:
    """The 16-bit words of an answer, each checked against the CRC behind it.

    Raises:
        Transient: a CRC is wrong, or the answer is cut short.
    """
    if not answer or len(answer) % 3:
        raise Transient(f"SCD4x: {len(answer)} bytes is no answer")
    found = []
    for start in range(0, len(answer), 3):
        word, crc = answer[start : start + 2], answer[start + 2]
        if crc8(word) != crc:
            raise Transient(f"SCD4x: checksum 0x{crc:02x} of {word.hex()} is wrong; check the cable and its length")
        found.append(int.from_bytes(word))
    return found


def decode(answer: bytes, _config: Config) -> list[Measured]:
    """Readings from the nine bytes of ``read_measurement``.

    Raises:
        Transient: a CRC is wrong, or CO2 is 0, which it says when it has not measured.
    """
    co2, temperature, humidity = words(answer)
    if co2 == 0:
        raise Transient("SCD4x: it gives 0 ppm, so it has not measured")
    return [
        Measured("co2", float(co2)),
        Measured("temperature", round(-45.0 + 175.0 * temperature / 65535.0, 2)),
        Measured("humidity", round(100.0 * humidity / 65535.0, 2)),
    ]


class _Scd4x(Blocking):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self._config = config
        self._bus: I2C | None = None

    def start(self) -> None:
        self._bus = open_i2c(self._config.bus)
        # It may still be measuring from before we were started, and then listens to nothing else.
        self._command(_STOP, wait_s=_STOP_S)
        altitude = struct.pack(">H", self._config.altitude_m)
        self._command(_ALTITUDE, altitude + bytes([crc8(altitude)]))
        self._command(_START)

    async def read(self) -> list[Measured]:
        for _ in range(round((_PERIOD_S + 1.0) / _LOOK_EVERY_S)):
            measured = await self.context.run(self._look)
            if measured:
                return measured
        raise Transient("SCD4x: it has no new measurement; it may have lost its supply and is started again")

    def stop(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _look(self) -> list[Measured]:
        """A new measurement, or nothing after a short wait."""
        ready = words(self._ask(_READY, 3))[0] & 0x07FF
        if ready:
            return decode(self._ask(_READ, 9), self._config)
        self._open().wait(_LOOK_EVERY_S)
        return []

    def _open(self) -> I2C:
        if self._bus is None:
            raise Transient("SCD4x: the bus was closed")
        return self._bus

    def _command(self, command: int, data: bytes = b"", *, wait_s: float = _COMMAND_S) -> None:
        bus = self._open()
        bus.transfer(_ADDRESS, struct.pack(">H", command) + data)
        bus.wait(wait_s)

    def _ask(self, command: int, length: int) -> bytes:
        self._command(command)
        return self._open().transfer(_ADDRESS, length)
