"""The SCD4x: the data sheet's example bytes, its timing and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import Settable, part

from firmware_sim.devices.scd4x import Scd4x, argument, crc8, word_of, words
from firmware_sim.part import Silent

START, READ, STOP, READY = b"\x21\xb1", b"\xec\x05", b"\x3f\x86", b"\xe4\xb8"


def chip(clock: ManualClock, **signals: object) -> Scd4x:
    return Scd4x(part(clock, {"co2": 500.0, "temperature": 25.0, "humidity": 37.0, **signals}))


def ask(device: Scd4x, clock: ManualClock, command: bytes, length: int) -> bytes:
    device.write(command)
    clock.tick(0.0011)
    return device.read(length)


def test_the_crc_of_the_data_sheet() -> None:
    assert crc8(b"\xbe\xef") == 0x92
    assert words([0x01F4, 0x6667, 0x5EB9]) == bytes.fromhex("01f4 33 6667 a2 5eb9 3c")
    assert words([0x8000]) == bytes.fromhex("8000 a2")


def test_the_scales_of_the_data_sheet() -> None:
    assert word_of(25.0, -45.0, 175.0) == pytest.approx(0x6667, abs=1)
    assert word_of(37.0, 0.0, 100.0) == pytest.approx(0x5EB9, abs=1)


@given(st.floats(-45.0, 130.0))
def test_any_temperature_is_within_the_resolution(celsius: float) -> None:
    assert -45.0 + 175.0 * word_of(celsius, -45.0, 175.0) / 65535.0 == pytest.approx(celsius, abs=0.0014)


def test_the_first_measurement_is_ready_after_five_seconds_and_can_be_read_once(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(START)
    clock.tick(4.9)
    assert ask(device, clock, READY, 3) == bytes.fromhex("8000 a2"), "the lower eleven bits are 0: not ready"
    clock.tick(0.2)
    assert int.from_bytes(ask(device, clock, READY, 3)[:2], "big") & 0x07FF
    data = ask(device, clock, READ, 9)
    assert data[:3] == bytes.fromhex("01f4 33")
    assert data == words([500, word_of(25.0, -45.0, 175.0), word_of(37.0, 0.0, 100.0)])
    device.write(READ)
    clock.tick(0.0011)
    with pytest.raises(Silent):
        device.read(9)
    clock.tick(5)
    assert ask(device, clock, READ, 9) == data


def test_an_answer_needs_its_time(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(READY)
    with pytest.raises(Silent):
        device.read(3)
    clock.tick(0.0011)
    device.read(3)


def test_while_it_measures_it_refuses_other_commands(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(START)
    for command in (START, b"\x36\x82", b"\x23\x18", b"\x36\x46"):
        with pytest.raises(Silent):
            device.write(command)


def test_stopping_takes_half_a_second_in_which_nothing_is_acknowledged(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(START)
    device.write(STOP)
    clock.tick(0.49)
    with pytest.raises(Silent):
        device.write(b"\x36\x82")
    clock.tick(0.02)
    serial = ask(device, clock, b"\x36\x82", 9)
    assert serial == bytes.fromhex("f896 31 9f07 c2 3bbe 89"), "the data sheet's example"


def test_unknown_commands_and_bad_arguments_are_refused(clock: ManualClock) -> None:
    device = chip(clock)
    for command in (b"\x12\x34", b"\x24\x1d\x07\xe6\x00", b"\x24\x1d"):
        with pytest.raises(Silent):
            device.write(command)
    assert argument(bytes.fromhex("07e6 48")) == 0x07E6, "set_temperature_offset, the data sheet's example"


def test_the_temperature_offset_is_subtracted_and_its_default_cancels_its_own_heat(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(b"\x24\x1d" + words([0]))
    clock.tick(0.1)
    device.write(START)
    clock.tick(5)
    word = int.from_bytes(ask(device, clock, READ, 9)[3:5], "big")
    assert -45.0 + 175.0 * word / 65535.0 == pytest.approx(29.0, abs=0.01)


def test_a_single_shot_takes_five_seconds(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(b"\x21\x9d")
    clock.tick(4.9)
    with pytest.raises(Silent):
        device.write(READY)
    clock.tick(0.2)
    assert ask(device, clock, READ, 9)[:2] == b"\x01\xf4"


def test_asleep_it_acknowledges_nothing_not_even_the_wake_up(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(b"\x36\xe0")
    clock.tick(1)
    for command in (READY, b"\x36\xf6"):
        with pytest.raises(Silent):
            device.write(command)
    clock.tick(0.031)
    ask(device, clock, READY, 3)


def test_after_a_power_cut_it_is_idle_and_forgets_what_was_not_persisted(clock: ManualClock) -> None:
    device = chip(clock)
    device.write(b"\x24\x27" + words([1950]))
    clock.tick(0.1)
    device.write(START)
    device.power_on()
    with pytest.raises(Silent):
        device.write(READY)
    clock.tick(6)
    assert ask(device, clock, READY, 3) == bytes.fromhex("8000 a2")
    assert ask(device, clock, b"\x23\x22", 3)[:2] == b"\x00\x00"


def test_in_a_gap_of_the_recording_it_does_not_answer(clock: ManualClock) -> None:
    device = chip(clock, co2=Settable(None))
    device.write(START)
    clock.tick(6)
    with pytest.raises(Silent):
        device.write(READ)
