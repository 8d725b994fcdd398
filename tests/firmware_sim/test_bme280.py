"""The BME280: the data sheet's numbers, and an inverse that the data sheet's formulas confirm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import Settable, part

from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.bme280_math import (
    DATASHEET,
    Calibration,
    calibration,
    fine_temperature,
    humidity,
    invert,
    pressure,
    raw_humidity,
    raw_pressure,
    raw_temperature,
    temperature,
)
from firmware_sim.part import Silent

parts = st.integers(0, 40).map(calibration)
celsius = st.floats(-40.0, 85.0)


def test_the_worked_example_of_the_bmp280_data_sheet() -> None:
    assert temperature(519888, DATASHEET) == pytest.approx(25.08, abs=0.005)
    fine = fine_temperature(519888, DATASHEET)
    assert fine == pytest.approx(128422, abs=1)
    assert pressure(415148, fine, DATASHEET) == pytest.approx(100653.27, abs=0.02)


@given(parts, celsius)
def test_any_temperature_is_met_within_one_step_of_the_converter(words: Calibration, wanted: float) -> None:
    raw = raw_temperature(wanted, words)
    assert 0 < raw < (1 << 20) - 1, "the range of the part is inside the converter's"
    assert temperature(raw, words) == pytest.approx(wanted, abs=0.0003)


@given(parts, celsius, st.floats(30000.0, 110000.0))
def test_any_pressure_is_met_within_one_step_at_any_temperature(
    words: Calibration, warmth: float, wanted: float
) -> None:
    fine = fine_temperature(raw_temperature(warmth, words), words)
    raw = raw_pressure(wanted, fine, words)
    assert 0 < raw < (1 << 20) - 1
    assert pressure(raw, fine, words) == pytest.approx(wanted, abs=0.15)


@given(parts, celsius, st.floats(0.0, 100.0))
def test_any_humidity_is_met_within_one_step_at_any_temperature(
    words: Calibration, warmth: float, wanted: float
) -> None:
    fine = fine_temperature(raw_temperature(warmth, words), words)
    raw = raw_humidity(wanted, fine, words)
    assert 0 <= raw < (1 << 16) - 1
    assert humidity(raw, fine, words) == pytest.approx(wanted, abs=0.01)


@given(st.integers(0, 255), st.booleans())
def test_bisection_finds_what_a_search_through_all_finds(wanted: int, rising: bool) -> None:
    def compensate(raw: int) -> float:
        return raw * 0.7 if rising else 200.0 - raw * 0.7

    best = min(range(0, 256, 4), key=lambda raw: abs(compensate(raw) - wanted))
    assert abs(compensate(invert(compensate, wanted, bits=8, step=4)) - wanted) == abs(compensate(best) - wanted)


@given(st.integers(-2048, 2047), st.integers(-2048, 2047))
def test_the_two_words_of_twelve_bits_share_a_register(h4: int, h5: int) -> None:
    """Data sheet, table 16: 0xE4 / 0xE5[3:0] are dig_H4, 0xE5[7:4] / 0xE6 are dig_H5, both signed."""
    words = Calibration(t=DATASHEET.t, p=DATASHEET.p, h=(1, 2, 3, h4, h5, 4))
    block = words.second_block()
    signed = [byte - 256 if byte > 127 else byte for byte in block]
    assert (signed[3] << 4) | (block[4] & 0x0F) == h4
    assert (signed[5] << 4) | (block[4] >> 4) == h5


def chip(clock: ManualClock, **signals: object) -> Bme280:
    world = {"temperature": 25.08, "pressure": 1006.5327, "humidity": 50.0, **signals}
    return Bme280(part(clock, world), DATASHEET)


def registers(device: Bme280, start: int, length: int) -> bytes:
    device.write(bytes([start]))
    return device.read(length)


def measure(device: Bme280, clock: ManualClock, *, osrs: int = 0b10110101, hum: int = 5) -> bytes:
    device.write(bytes([0xF2, hum, 0xF4, osrs]))
    clock.tick(0.2)
    return registers(device, 0xF7, 8)


def test_identity_and_calibration_stand_where_the_data_sheet_says(clock: ManualClock) -> None:
    device = chip(clock)
    assert registers(device, 0xD0, 1) == b"\x60"
    first = registers(device, 0x88, 26)
    assert first[:6] == bytes.fromhex("706b 4367 18fc"), "dig_T1 to dig_T3 of the example, little endian"
    assert first[6:24] == bytes.fromhex("7d8e 43d6 d00b 270b 8c00 f9ff 8c3c f8c6 7017")
    assert first[25] == 75
    assert registers(device, 0xE1, 7) == DATASHEET.second_block()


def test_a_forced_measurement_gives_the_examples_raw_numbers(clock: ManualClock) -> None:
    data = measure(chip(clock), clock)
    assert int.from_bytes(data[0:3], "big") >> 4 == pytest.approx(415148, abs=3)
    assert int.from_bytes(data[3:6], "big") >> 4 == pytest.approx(519888, abs=20)


def test_before_the_first_measurement_the_reset_values_stand_there(clock: ManualClock) -> None:
    assert registers(chip(clock), 0xF7, 8) == bytes.fromhex("800000 800000 8000")


def test_it_measures_for_its_time_and_sleeps_again(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(bytes([0xF2, 1, 0xF4, 0b00100101]))
    assert registers(device, 0xF3, 1)[0] & 0x08
    clock.tick(0.008)
    assert registers(device, 0xF3, 1)[0] & 0x08, "9.3 ms at one sample each (data sheet 9.1)"
    assert registers(device, 0xF7, 8) == bytes.fromhex("800000 800000 8000"), "shadowed until it is done"
    clock.tick(0.0015)
    assert registers(device, 0xF3, 1)[0] & 0x08 == 0
    assert registers(device, 0xF4, 1)[0] & 0x03 == 0, "sleep mode"
    assert registers(device, 0xF7, 3) != bytes.fromhex("800000")


def test_humidity_needs_a_write_to_ctrl_meas_after_ctrl_hum(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(bytes([0xF4, 0b00100101, 0xF2, 1]))
    clock.tick(0.1)
    assert registers(device, 0xFD, 2) == b"\x80\x00", "skipped: the order was wrong"
    assert measure(device, clock)[6:] != b"\x80\x00"


def test_skipped_quantities_show_the_skipped_value(clock: ManualClock) -> None:
    data = measure(chip(clock), clock, osrs=0b00000101, hum=0)
    assert data[3:6] == bytes.fromhex("800000")
    assert data[6:] == bytes.fromhex("8000")


def test_one_sample_has_sixteen_bits(clock: ManualClock) -> None:
    data = measure(chip(clock), clock, osrs=0b00100101, hum=1)
    assert data[2] == 0
    assert data[5] == 0
    assert temperature(int.from_bytes(data[3:6], "big") >> 4, DATASHEET) == pytest.approx(25.08, abs=0.0026)


def test_the_filter_follows_a_step_slowly_and_keeps_twenty_bits(clock: ManualClock) -> None:
    warmth = Settable(20.0)
    device = chip(clock, temperature=warmth)
    device.write(bytes([0xF5, 0b00001000]))  # coefficient 4
    seen = []
    for warmth.level in (20.0, 30.0, 30.0):
        data = measure(device, clock, osrs=0b00100101, hum=1)
        seen.append(temperature(int.from_bytes(data[3:6], "big") >> 4, DATASHEET))
    assert seen == pytest.approx([20.0, 22.5, 24.375], abs=0.01)


def test_normal_mode_measures_by_itself(clock: ManualClock) -> None:
    warmth = Settable(20.0)
    device = chip(clock, temperature=warmth)
    device.write(bytes([0xF5, 0b10100000, 0xF2, 1, 0xF4, 0b00100111]))  # standby 1 s
    for warmth.level in (20.0, 30.0):
        clock.tick(1.1)
        data = registers(device, 0xF7, 8)
        raw = int.from_bytes(data[3:6], "big") >> 4
        assert temperature(raw, DATASHEET) == pytest.approx(warmth.level, abs=0.01)
    device.write(bytes([0xF5, 0x00]))
    assert registers(device, 0xF5, 1) == bytes([0b10100000]), "writes to config are ignored in normal mode"


def test_a_reset_forgets_everything_and_copies_the_calibration(clock: ManualClock) -> None:
    device = chip(clock)
    measure(device, clock)
    device.write(bytes([0xE0, 0xB6]))
    assert registers(device, 0xF3, 1)[0] & 0x01
    clock.tick(0.003)
    assert registers(device, 0xF3, 1)[0] == 0
    assert registers(device, 0xF7, 8) == bytes.fromhex("800000 800000 8000")


def test_in_a_gap_of_the_recording_it_does_not_answer(clock: ManualClock) -> None:
    with pytest.raises(Silent):
        measure(chip(clock, humidity=Settable(None)), clock)
