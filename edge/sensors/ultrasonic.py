"""Ultrasonic distance gauges on UART, looking down at the water: water level from a mounting height.

Protocol ``a02``: DYP-A02YYUW and others of its kind send 0xFF, two bytes of millimetres and one byte of checksum
(DFRobot, SEN0311 data sheet). Protocol ``maxbotix``: a MaxSonar sends ``R1234`` and a carriage return, four digits
of millimetres (HRXL-MaxSonar-WR data sheet) or three of centimetres (XL-MaxSonar-WR data sheet).
"""

import re
import statistics
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge.buses.uart import Baud, Take, Uart
from edge.sensors.base import Context, Measured, Sensor, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.errors import Transient

Metres = Annotated[float, msgspec.Meta(ge=-50.0, le=50.0)]
Distance = Annotated[float, msgspec.Meta(ge=0.0, le=50.0)]

_HEAD = 0xFF
_MAXBOTIX = re.compile(rb"R(\d{3,4})\r")
_SILENCE_S = 2.0


class Config(SensorSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        port: serial port.
        protocol: what the gauge speaks.
        baud: speed of the line.
        mounting_height_m: height of the gauge's face above the zero of the water level.
        nearest_m: a shorter distance is an echo from its own mount, and is ignored.
        farthest_m: a longer distance is no echo at all, and is ignored.
        samples: how many distances make one reading, by their median.
    """

    port: Path
    mounting_height_m: Metres
    protocol: Literal["a02", "maxbotix"] = "a02"
    baud: Baud = 9600
    nearest_m: Distance = 0.03
    farthest_m: Distance = 4.5
    samples: Annotated[int, msgspec.Meta(ge=1, le=25)] = 5

    def __post_init__(self) -> None:
        if self.nearest_m >= self.farthest_m:
            raise ValueError("nearest_m must be less than farthest_m")

    def quantities(self) -> tuple[str, ...]:
        """Water level and the distance it was made from."""
        return ("water_level", "water_distance")

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _Ultrasonic(context, self)


def take_a02(buffer: bytearray) -> bytes | None:
    """The first frame of four bytes with a good checksum; what precedes it is thrown away.

    No gauge reaches 65.28 m, so a head is never followed by another one. Without this rule a constant distance
    whose checksum is 0xFF could be read one byte too early for ever.
    """
    while True:
        start = buffer.find(_HEAD)
        if start < 0:
            buffer.clear()
            return None
        del buffer[:start]
        if len(buffer) < 4:
            return None
        frame = bytes(buffer[:4])
        if frame[1] != _HEAD and sum(frame[:3]) & 0xFF == frame[3]:
            del buffer[:4]
            return frame
        del buffer[0]


def take_maxbotix(buffer: bytearray) -> bytes | None:
    """The first ``R…`` with its carriage return; what precedes it is thrown away."""
    found = _MAXBOTIX.search(buffer)
    if found is not None:
        frame = bytes(found[0])
        del buffer[: found.end()]
        return frame
    del buffer[:-5]  # the longest beginning of a frame
    return None


def distance_m(frame: bytes) -> float:
    """The distance in a frame of either protocol, in metres."""
    if frame[0] == _HEAD:
        return int.from_bytes(frame[1:3]) / 1000.0
    digits = frame[1:-1]
    return int(digits) / (1000.0 if len(digits) == 4 else 100.0)


def level(distances: list[float], config: Config) -> list[Measured]:
    """Readings from distances in metres.

    Raises:
        Transient: fewer than half of them are inside the gauge's range.
    """
    echoes = [distance for distance in distances if config.nearest_m <= distance <= config.farthest_m]
    if 2 * len(echoes) <= len(distances):
        shown = ", ".join(f"{distance:.3f}" for distance in distances[:5])
        raise Transient(
            f"ultrasonic gauge: no usable echo ({shown} m; from {config.nearest_m:g} to {config.farthest_m:g} m is"
            " expected); look for spiders, ice and branches below it"
        )
    distance = statistics.median(echoes)
    return [
        Measured("water_level", round(config.mounting_height_m - distance, 4)),
        Measured("water_distance", round(distance, 4)),
    ]


def decode(stream: bytes, config: Config) -> list[Measured]:
    """Readings from all frames in ``stream``.

    Raises:
        Transient: there is none, or no usable echo.
    """
    take, buffer = _TAKES[config.protocol], bytearray(stream)
    distances = []
    while (frame := take(buffer)) is not None:
        distances.append(distance_m(frame))
    if not distances:
        raise Transient("ultrasonic gauge: no frame with a good checksum")
    return level(distances, config)


_TAKES: dict[str, Take] = {"a02": take_a02, "maxbotix": take_maxbotix}


class _Ultrasonic(Blocking):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self._config = config
        self._uart: Uart | None = None

    def start(self) -> None:
        self._uart = Uart(self._config.port, self._config.baud)
        self._uart.frame(_TAKES[self._config.protocol], _SILENCE_S)

    def measure(self) -> list[Measured]:
        if self._uart is None:
            raise Transient(f"{self._config.port}: the port was closed")
        take = _TAKES[self._config.protocol]
        self._uart.clear()
        distances = [distance_m(self._uart.frame(take, _SILENCE_S)) for _ in range(self._config.samples)]
        return level(distances, self._config)

    def stop(self) -> None:
        if self._uart is not None:
            self._uart.close()
            self._uart = None
