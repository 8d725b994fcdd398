"""Bosch's compensation of the BME280, and its inverse.

The formulas are the double precision ones of the BME280 data sheet (BST-BME280-DS002, 8.1). The chip does not know
them: it only holds raw numbers and calibration words, and the driver computes. To play the chip one has to find the
raw number whose compensation gives the wanted value; each formula is monotonic in its raw number, so by bisection.
"""

import random
import struct
from collections.abc import Callable

import msgspec


class Calibration(msgspec.Struct, frozen=True):
    """The words a part gets at the factory, named as in the data sheet.

    Attributes:
        t: dig_T1 (unsigned) to dig_T3.
        p: dig_P1 (unsigned) to dig_P9.
        h: dig_H1 (8 bits), dig_H2, dig_H3 (8 bits), dig_H4 and dig_H5 (12 bits, signed), dig_H6 (8 bits, signed).
    """

    t: tuple[int, ...]
    p: tuple[int, ...]
    h: tuple[int, ...]

    def first_block(self) -> bytes:
        """Registers 0x88 to 0xA1."""
        return struct.pack("<HhhHhhhhhhhhxB", *self.t, *self.p, self.h[0])

    def second_block(self) -> bytes:
        """Registers 0xE1 to 0xE7; two words of 12 bits share 0xE5."""
        _, h2, h3, h4, h5, h6 = self.h
        shared = (h4 & 0x0F) | ((h5 & 0x0F) << 4)
        return struct.pack("<hBbBbb", h2, h3, h4 >> 4, shared, h5 >> 4, h6)


DATASHEET = Calibration(
    t=(27504, 26435, -1000),
    p=(36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000),
    h=(75, 362, 0, 313, 50, 30),
)
"""Temperature and pressure: the worked example of the BMP280 data sheet (3.12); humidity: a common part."""


def calibration(seed: int) -> Calibration:
    """The words of the ``seed``-th part: the example's, scattered as parts are."""
    if seed == 0:
        return DATASHEET
    rng = random.Random(seed)  # noqa: S311 - no secret, and it has to repeat

    def near(value: int, spread: int) -> int:
        return value + rng.randint(-spread, spread)

    t1, t2, t3 = DATASHEET.t
    p1, p2, p3, p4, *rest = DATASHEET.p
    h1, h2, h3, h4, h5, h6 = DATASHEET.h
    return Calibration(
        t=(near(t1, 500), near(t2, 300), near(t3, 1000)),
        p=(near(p1, 800), near(p2, 150), p3, near(p4, 1500), *rest),
        h=(h1, near(h2, 12), h3, near(h4, 20), near(h5, 50), h6),
    )


def fine_temperature(raw: int, words: Calibration) -> float:
    """``t_fine``, which carries the temperature into the other two formulas; Celsius times 5120."""
    t1, t2, t3 = words.t
    linear = (raw / 16384.0 - t1 / 1024.0) * t2
    square = (raw / 131072.0 - t1 / 8192.0) ** 2 * t3
    return linear + square


def temperature(raw: int, words: Calibration) -> float:
    """Celsius."""
    return fine_temperature(raw, words) / 5120.0


def pressure(raw: int, fine: float, words: Calibration) -> float:
    """Pascal."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = words.p
    half = fine / 2.0 - 64000.0
    offset = (half * half * p6 / 32768.0 + half * p5 * 2.0) / 4.0 + p4 * 65536.0
    gain = (p3 * half * half / 524288.0 + p2 * half) / 524288.0
    gain = (1.0 + gain / 32768.0) * p1
    first = (1048576.0 - raw - offset / 4096.0) * 6250.0 / gain
    return first + (p9 * first * first / 2147483648.0 + first * p8 / 32768.0 + p7) / 16.0


def humidity(raw: int, fine: float, words: Calibration) -> float:
    """Percent, 0 to 100."""
    h1, h2, h3, h4, h5, h6 = words.h
    warm = fine - 76800.0
    counts = raw - (h4 * 64.0 + h5 / 16384.0 * warm)
    linear = counts * (h2 / 65536.0 * (1.0 + h6 / 67108864.0 * warm * (1.0 + h3 / 67108864.0 * warm)))
    return min(max(linear * (1.0 - h1 * linear / 524288.0), 0.0), 100.0)


def invert(compensate: Callable[[int], float], wanted: float, *, bits: int, step: int = 1) -> int:
    """The multiple of ``step`` below 2^``bits`` whose compensation comes nearest to ``wanted``.

    Args:
        compensate: monotonic, in either direction.
        wanted: in its unit; beyond its range the end of the range results, as with a real converter.
        bits: width of the converter.
        step: distance between two numbers that it can give at its oversampling.
    """
    low, high = 0, (1 << bits) // step - 1
    rising = compensate(high * step) > compensate(0)
    while high - low > 1:
        middle = (low + high) // 2
        if (compensate(middle * step) < wanted) == rising:
            low = middle
        else:
            high = middle
    return min(low * step, high * step, key=lambda raw: abs(compensate(raw) - wanted))


def raw_temperature(celsius: float, words: Calibration, *, step: int = 1) -> int:
    """The 20-bit number for a temperature."""
    return invert(lambda raw: temperature(raw, words), celsius, bits=20, step=step)


def raw_pressure(pascal: float, fine: float, words: Calibration, *, step: int = 1) -> int:
    """The 20-bit number for a pressure at the temperature ``fine``."""
    return invert(lambda raw: pressure(raw, fine, words), pascal, bits=20, step=step)


def raw_humidity(percent: float, fine: float, words: Calibration) -> int:
    """The 16-bit number for a humidity at the temperature ``fine``."""
    return invert(lambda raw: humidity(raw, fine, words), percent, bits=16)
