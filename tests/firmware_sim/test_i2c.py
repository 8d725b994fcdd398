"""The I2C bus: addresses, malformed requests, faults of one device and of the whole bus."""

import asyncio
import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import part

from firmware_sim.buses.i2c import I2cBus, messages
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.bme280_math import DATASHEET
from firmware_sim.devices.scd4x import Scd4x
from firmware_sim.faults import Checksum, Hang, Reboot
from firmware_sim.world import World

CLIMATE = {"temperature": 20.0, "humidity": 50.0, "pressure": 1000.0}


def request(*parts: tuple[int, bytes | int]) -> bytes:
    body = bytes([len(parts)])
    for address, what in parts:
        read = isinstance(what, int)
        body += struct.pack("<BBH", address, read, what if read else len(what)) + (b"" if read else what)
    return body


def i2c(clock: ManualClock, *, bme_faults=(), scd_faults=()) -> I2cBus:
    bus = I2cBus(World(clock, clock))
    for address in (0x76, 0x77):
        one = part(clock, CLIMATE, bme_faults if address == 0x76 else ())
        bus.plug(address, Bme280(one, DATASHEET), one)
    other = part(clock, {"co2": 500.0, "temperature": 20.0, "humidity": 50.0}, scd_faults)
    bus.plug(0x62, Scd4x(other), other)
    return bus


async def test_several_devices_answer_on_one_bus(clock: ManualClock) -> None:
    bus = i2c(clock)
    for address in (0x76, 0x77):
        assert await bus.transfer(request((address, b"\xd0"), (address, 1))) == b"\x00\x01\x00\x60"
    assert (await bus.transfer(request((0x62, b"\x36\x82"))))[0] == 0
    assert await bus.transfer(request((0x76, b"\xd0"), (0x76, 1), (0x76, 1))) == b"\x00\x02\x00\x60\x00"


async def test_an_absent_address_is_not_acknowledged(clock: ManualClock) -> None:
    assert await i2c(clock).transfer(request((0x40, b"\x00"))) == bytes([errno.EREMOTEIO, 0, 0])


@pytest.mark.parametrize("body", ["", "01", "01 76 00 05 00 aa", "01 76 01 01 00 ff", "02 76 00 00 00"])
async def test_a_malformed_request_is_refused(clock: ManualClock, body: str) -> None:
    assert await i2c(clock).transfer(bytes.fromhex(body)) == bytes([errno.EINVAL, 0, 0])


@given(st.binary(max_size=40))
def test_any_request_is_understood_or_refused(body: bytes) -> None:
    try:
        found = messages(body)
    except ValueError:
        return
    assert len(found) == body[0]


async def test_a_hanging_device_holds_the_whole_bus(clock: ManualClock) -> None:
    bus = i2c(clock, scd_faults=[Hang(kind="hang", at_s=1.0, for_s=10.0, timeout_s=0.5)])
    ask = request((0x76, b"\xd0"), (0x76, 1))
    assert (await bus.transfer(ask))[0] == 0
    clock.tick(1)
    waiting = asyncio.create_task(bus.transfer(ask))
    await clock.advance(0.4)
    assert not waiting.done()
    await clock.advance(0.2)
    assert await waiting == bytes([errno.ETIMEDOUT, 0, 0])
    clock.tick(10)
    assert (await bus.transfer(ask))[0] == 0


async def test_damaged_bytes_fail_the_crc_of_the_chip(clock: ManualClock) -> None:
    good, bad = i2c(clock), i2c(clock, scd_faults=[Checksum(kind="checksum")])
    for bus in (good, bad):
        await bus.transfer(request((0x62, b"\x36\x82")))
    clock.tick(0.01)
    answers = [await bus.transfer(request((0x62, 9))) for bus in (good, bad)]
    assert answers[0] == b"\x00\x09\x00" + bytes.fromhex("f896319f07c23bbe89")
    assert answers[1] != answers[0]
    assert len(answers[1]) == len(answers[0])


async def test_a_power_cut_resets_the_registers(clock: ManualClock) -> None:
    bus = i2c(clock, bme_faults=[Reboot(kind="reboot", at_s=5.0, for_s=2.0)])
    await bus.transfer(request((0x76, b"\xf2\x01")))
    clock.tick(6)
    assert (await bus.transfer(request((0x76, b"\xf2"), (0x76, 1))))[0] == errno.EREMOTEIO
    clock.tick(2)
    assert await bus.transfer(request((0x76, b"\xf2"), (0x76, 1))) == b"\x00\x01\x00\x00"
