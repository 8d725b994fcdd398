"""Plantower PMS5003 (also PMS7003, PMSA003): particulate matter PM1, PM2.5 and PM10, over UART.

Frames: Plantower, PMS5003 series data manual V2.3, appendix I (data) and II (commands).
"""

from edge.sensors.base import Context, Measured, Sensor
from edge.sensors.resting import Protocol, Resting, RestingSection
from hinomi.errors import Transient

_HEAD = b"BM"
_LENGTH, _COUNTED = 32, 28  # a data frame, and what it says of its own length


class Config(RestingSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file."""

    def quantities(self) -> tuple[str, ...]:
        """PM1, PM2.5, PM10."""
        return ("pm1", "pm2_5", "pm10")

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return Resting(context, self, PROTOCOL)


def command(code: int, data: int = 0) -> bytes:
    """A command: head, code, 16 bits of data, 16 bits of checksum."""
    body = _HEAD + bytes([code]) + data.to_bytes(2)
    return body + sum(body).to_bytes(2)


ONLY_WHEN_ASKED = command(0xE1, 0)
ASK = command(0xE2)
SLEEP = command(0xE4, 0)
WORK = command(0xE4, 1)


def take(buffer: bytearray) -> bytes | None:
    """The first data frame with a good checksum; what precedes it, answers to commands too, is thrown away."""
    while True:
        start = buffer.find(_HEAD)
        if start < 0:
            # The last byte may be the first half of a head.
            del buffer[: -1 if buffer.endswith(_HEAD[:1]) else len(buffer)]
            return None
        del buffer[:start]
        if len(buffer) < 4:
            return None
        if int.from_bytes(buffer[2:4]) == _COUNTED:
            if len(buffer) < _LENGTH:
                return None
            frame = bytes(buffer[:_LENGTH])
            if sum(frame[:-2]) == int.from_bytes(frame[-2:]):
                del buffer[:_LENGTH]
                return frame
        del buffer[:2]


def decode(stream: bytes, _config: object = None) -> list[Measured]:
    """Readings ("under atmospheric environment") from the first good data frame in ``stream``.

    Raises:
        Transient: there is none.
    """
    frame = take(bytearray(stream))
    if frame is None:
        raise Transient("PMS5003: no data frame with a good checksum")
    places = {"pm1": 10, "pm2_5": 12, "pm10": 14}
    return [Measured(name, float(int.from_bytes(frame[at : at + 2]))) for name, at in places.items()]


PROTOCOL = Protocol(take, decode, setup=(WORK, ONLY_WHEN_ASKED), wake=(WORK, ONLY_WHEN_ASKED), ask=ASK, sleep=SLEEP)
