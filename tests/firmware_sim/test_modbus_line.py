"""The Modbus RTU slave: golden CRCs, exceptions, number formats, pieces and noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import part

from firmware_sim.buses import modbus
from firmware_sim.buses.modbus import ModbusLine, crc16, framed
from firmware_sim.devices.modbus_gauge import ModbusGauge, Register
from firmware_sim.faults import Checksum, Dropout
from firmware_sim.world import World


def test_the_crc_of_modbus() -> None:
    """Modbus over serial line V1.02, 6.2.2: 02 07 has the CRC 41 12, low byte first; then common examples."""
    assert crc16(bytes.fromhex("0207")) == bytes.fromhex("4112")
    assert crc16(bytes.fromhex("11 03 00 6B 00 03")) == bytes.fromhex("76 87")
    assert crc16(b"123456789") == bytes.fromhex("374b"), "CRC-16/MODBUS has the check value 0x4B37"


def line(clock: ManualClock, *registers: Register, faults=(), **signals: float) -> ModbusLine:
    made = ModbusLine(World(clock, clock))
    one = part(clock, signals or {"water_level": 1.234}, faults)
    made.plug(
        1, ModbusGauge(one, list(registers) or [Register(quantity="water_level", address=2, scale=0.001)]), one
    )
    return made


def exchange(slave: ModbusLine, body: str) -> bytes:
    reply = slave.receive(framed(bytes.fromhex(body)))
    assert reply == b"" or crc16(reply[:-2]) == reply[-2:]
    return reply[:-2]


def test_it_reads_a_holding_register(clock: ManualClock) -> None:
    slave = line(clock)
    assert exchange(slave, "01 03 0002 0001") == bytes.fromhex("01 03 02 04d2")


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ("01 03 0003 0001", "01 83 02"),
        ("01 04 0002 0001", "01 84 02"),
        ("01 03 0002 0000", "01 83 03"),
        ("01 03 0002 007e", "01 83 03"),
        ("01 06 0002 0001", "01 86 01"),
        ("01 10 0002 0001 02 0001", "01 90 01"),
        ("01 2b 0e01", "01 ab 01"),
        ("02 03 0002 0001", ""),
        ("00 03 0002 0001", ""),
    ],
)
def test_exceptions_and_silence(clock: ManualClock, body: str, reply: str) -> None:
    assert exchange(line(clock), body) == bytes.fromhex(reply)


def test_a_request_may_come_in_pieces_and_a_broken_one_is_forgotten_after_a_pause(clock: ManualClock) -> None:
    slave = line(clock)
    whole = framed(bytes.fromhex("01 03 0002 0001"))
    assert slave.receive(whole[:3]) == b""
    assert slave.receive(whole[3:])[:3] == b"\x01\x03\x02"
    assert slave.receive(whole[:5]) == b""
    clock.tick(0.1)
    assert slave.receive(whole)[:3] == b"\x01\x03\x02"
    assert slave.receive(whole[:-1] + b"\x00") == b"", "a bad CRC is not answered"


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        (Register(quantity="water_level", address=0, format="int16", scale=0.01), -1.5, "ff6a"),
        (Register(quantity="water_level", address=0, format="uint16", scale=0.001), 99.0, "ffff"),
        (Register(quantity="water_level", address=0, format="int32", scale=0.001), -0.001, "ffff ffff"),
        (Register(quantity="water_level", address=0, format="uint32", words="low_first"), 65537.0 * 2, "0002 0002"),
        (Register(quantity="water_level", address=0, format="float32"), 123.5, "42f7 0000"),
        (Register(quantity="water_level", address=0, format="float32", words="low_first"), 123.5, "0000 42f7"),
        (Register(quantity="water_level", address=0, scale=0.1, offset=-5.0), 0.0, "0032"),
    ],
)
def test_number_formats(clock: ManualClock, register: Register, value: float, words: str) -> None:
    slave = line(clock, register, water_level=value)
    wanted = bytes.fromhex(words)
    assert exchange(slave, f"01 03 0000 {len(wanted) // 2:04x}")[3:] == wanted


def test_faults_on_the_modbus_line(clock: ManualClock) -> None:
    damaged = line(clock, faults=[Checksum(kind="checksum")]).receive(framed(bytes.fromhex("01 03 0002 0001")))
    assert crc16(damaged[:-2]) != damaged[-2:]
    assert exchange(line(clock, faults=[Dropout(kind="dropout")]), "01 03 0002 0001") == b""


@given(st.binary(max_size=40))
def test_no_bytes_upset_the_slave(data: bytes) -> None:
    clock = ManualClock()
    slave = line(clock)
    slave.receive(data)
    clock.tick(1)
    assert exchange(slave, "01 03 0002 0001") == bytes.fromhex("01 03 02 04d2")


def test_the_length_of_a_request() -> None:
    assert modbus.length(b"\x01") is None
    assert modbus.length(bytes.fromhex("01 03")) == 8
    assert modbus.length(bytes.fromhex("01 10 0002 0001")) is None
    assert modbus.length(bytes.fromhex("01 10 0002 0001 02")) == 11
