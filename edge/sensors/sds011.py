"""Nova Fitness SDS011: particulate matter PM2.5 and PM10, over UART.

Frames: Nova Fitness, SDS011 data sheet V1.3 (data frame) and Laser Dust Sensor Control Protocol V1.3 (commands).
"""

from edge.sensors.base import Context, Measured, Sensor
from edge.sensors.resting import Protocol, Resting, RestingSection
from hinomi.errors import Transient

_HEAD, _TAIL, _LENGTH = 0xAA, 0xAB, 10
_DATA = 0xC0
_COMMAND_LENGTH = 19


class Config(RestingSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file."""

    def quantities(self) -> tuple[str, ...]:
        """PM2.5 and PM10."""
        return ("pm2_5", "pm10")

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return Resting(context, self, PROTOCOL)


def command(*data: int) -> bytes:
    """A command to every sensor on the line: head, 0xB4, 13 bytes of data, id FFFF, checksum, tail."""
    body = bytes(data).ljust(_COMMAND_LENGTH - 6, b"\0") + b"\xff\xff"
    return bytes([_HEAD, 0xB4]) + body + bytes([sum(body) & 0xFF, _TAIL])


WORK = command(0x06, 0x01, 0x01)
SLEEP = command(0x06, 0x01, 0x00)
ONLY_WHEN_ASKED = command(0x02, 0x01, 0x01)
WITHOUT_PAUSES = command(0x08, 0x01, 0x00)
ASK = command(0x04)


def take(buffer: bytearray) -> bytes | None:
    """The first data frame with a good checksum; what precedes it is thrown away."""
    while True:
        start = buffer.find(_HEAD)
        if start < 0:
            buffer.clear()
            return None
        del buffer[:start]
        if len(buffer) < _LENGTH:
            return None
        frame = bytes(buffer[:_LENGTH])
        if frame[-1] == _TAIL and sum(frame[2:8]) & 0xFF == frame[8]:
            del buffer[:_LENGTH]
            if frame[1] == _DATA:
                return frame
        else:
            del buffer[0]  # a head inside of garbage: the true one may be among the next nine bytes


def decode(stream: bytes, _config: object = None) -> list[Measured]:
    """Readings from the first good data frame in ``stream``.

    Raises:
        Transient: there is none.
    """
    frame = take(bytearray(stream))
    if frame is None:
        raise Transient("SDS011: no data frame with a good checksum")
    return [
        Measured("pm2_5", int.from_bytes(frame[2:4], "little") / 10.0),
        Measured("pm10", int.from_bytes(frame[4:6], "little") / 10.0),
    ]


PROTOCOL = Protocol(take, decode, setup=(WORK, WITHOUT_PAUSES, ONLY_WHEN_ASKED), wake=(WORK,), ask=ASK, sleep=SLEEP)
