"""The compensation in double precision against Bosch's integer formulas, on arbitrary chips.

The integer formulas are those of the data sheet (BME280 4.2.3, pressure in 64 bits), written a second time here.
"""

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.sensors import bme280
from hinomi.errors import Transient

T = (27504, 26435, -1000)
P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)


def by_integers(by: bme280.Calibration, raw_t: int, raw_p: int, raw_h: int) -> tuple[float, float, float]:
    t1, t2, t3 = by.t
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = by.p
    h1, h2, h3, h4, h5, h6 = by.h
    a = (((raw_t >> 3) - (t1 << 1)) * t2) >> 11
    b = (((((raw_t >> 4) - t1) * ((raw_t >> 4) - t1)) >> 12) * t3) >> 14
    fine = a + b
    temperature = ((fine * 5 + 128) >> 8) / 100
    a = fine - 128000
    b = a * a * p6 + ((a * p5) << 17) + (p4 << 35)
    a = ((a * a * p3) >> 8) + ((a * p2) << 12)
    a = (((1 << 47) + a) * p1) >> 33
    p = int((((1048576 - raw_p) << 31) - b) * 3125 / a)
    a = (p9 * (p >> 13) * (p >> 13)) >> 25
    b = (p8 * p) >> 19
    pressure = (((p + a + b) >> 8) + (p7 << 4)) / 256
    x = fine - 76800
    y = ((raw_h << 14) - (h4 << 20) - (h5 * x) + 16384) >> 15
    z = ((((x * h6) >> 10) * (((x * h3) >> 11) + 32768)) >> 10) + 2097152
    x = y * ((z * h2 + 8192) >> 14)
    x -= ((((x >> 15) * (x >> 15)) >> 7) * h1) >> 4
    return temperature, pressure, (max(0, min(x, 419430400)) >> 12) / 1024


@given(
    t1=st.integers(26000, 29000),
    t2=st.integers(25000, 27500),
    p1=st.integers(34000, 39000),
    h1=st.integers(60, 90),
    h2=st.integers(330, 400),
    h4=st.integers(250, 370),
    h5=st.integers(-60, 60),
    h6=st.integers(0, 40),
    raw_t=st.integers(400_000, 650_000),
    raw_p=st.integers(200_000, 600_000),
    raw_h=st.integers(20_000, 45_000),
)
def test_double_precision_and_integers_agree(raw_t, raw_p, raw_h, **c) -> None:
    by = bme280.Calibration(
        t=(c["t1"], c["t2"], T[2]), p=(c["p1"], *P[1:]), h=(c["h1"], c["h2"], 0, c["h4"], c["h5"], c["h6"])
    )
    data = (raw_p << 4).to_bytes(3) + (raw_t << 4).to_bytes(3) + raw_h.to_bytes(2)
    temperature, pressure, humidity = by_integers(by, raw_t, raw_p, raw_h)
    assume(-40 < temperature < 85 and 30_500 < pressure < 109_500)
    air = bme280.compensate(data, by)
    assert air.temperature == pytest.approx(temperature, abs=0.011)
    assert air.pressure == pytest.approx(pressure, abs=2.0)
    assert air.humidity == pytest.approx(humidity, abs=0.05)


def test_the_published_example_to_its_last_digit() -> None:
    """BMP280 data sheet, 3.12: 25.08 Cel and 100653.27 Pa."""
    by = bme280.Calibration(t=T, p=P, h=(75, 361, 0, 324, 50, 30))
    air = bme280.compensate((415148 << 4).to_bytes(3) + (519888 << 4).to_bytes(3) + bytes.fromhex("6e00"), by)
    assert round(air.temperature, 2) == 25.08
    assert round(air.pressure, 2) == 100653.27


@given(st.binary(min_size=41, max_size=41))
def test_any_register_dump_gives_a_credible_value_or_a_reason(dump: bytes) -> None:
    try:
        readings = {one.quantity: one.value for one in bme280.decode(dump, None)}
    except Transient:
        return
    assert -40 <= readings["temperature"] <= 85
    assert 300 <= readings["pressure"] <= 1100
    assert 0 <= readings["humidity"] <= 100


def test_the_shared_nibbles_are_signed() -> None:
    low = struct.pack("<Hhh", *T) + struct.pack("<Hhhhhhhhh", *P) + bytes([0, 75])
    assert bme280.calibration(low, bytes.fromhex("6901 00 ff ef ff 1e")).h == (75, 361, 0, -1, -2, 30)
