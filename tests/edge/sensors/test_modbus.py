"""The Modbus gauge with pymodbus' real client on a terminal; the instrument is written here from the standard."""

import asyncio
import struct
from pathlib import Path

import pytest
from support.sensors import Surroundings, config, serial

from edge.buses.uart import Uart
from hinomi.errors import ConfigError, Transient

LEVEL = {"quantity": "water_level", "address": 107, "unit": "mm"}
BATTERY = {"quantity": "battery_level", "address": 3, "kind": "input"}


def crc16(data: bytes) -> bytes:
    """Modbus over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


class Instrument:
    """Device 17 with holding and input registers."""

    def __init__(self) -> None:
        self.registers = {3: {107: 0x022B, 108: 0, 109: 100}, 4: {3: 87}}
        self.requests: list[str] = []
        self.damage = False
        self.mute = False

    def __call__(self, heard: bytes) -> bytes:
        if len(heard) < 8:
            return b""
        self.requests.append(heard[:6].hex())
        device, function, address, count = struct.unpack(">BBHH", heard[:6])
        if heard[6:8] != crc16(heard[:6]) or device != 17 or self.mute:
            return b"\0"
        table = self.registers.get(function, {})
        if any(address + index not in table for index in range(count)):
            body = bytes([device, function | 0x80, 2])
        else:
            data = b"".join(struct.pack(">H", table[address + index]) for index in range(count))
            body = bytes([device, function, len(data)]) + data
        return body + (b"\0\0" if self.damage else crc16(body))


def gauge(path: Path, *register: dict[str, object], **settings: object):
    settings = {"device": 17, "answer_s": 0.2, "register": list(register)} | settings
    return config("modbus_level", port=str(path), **settings).open(Surroundings())


def test_the_checksum_here_is_the_standards() -> None:
    """Modbus over Serial Line V1.02, appendix B: 02 07 gives 41 12."""
    assert crc16(bytes.fromhex("0207")).hex() == "4112"


async def test_registers_of_both_kinds_are_read_by_the_map() -> None:
    instrument = Instrument()
    with serial(instrument) as line:
        async with gauge(line.path, LEVEL, BATTERY) as sensor:
            for _ in range(2):
                readings = [(one.quantity, one.value) for one in await sensor.read()]
                assert readings == [("water_level", 0.555), ("battery_level", 87.0)]
    # The standard's own example request (6.3), but for one register; then input registers.
    assert instrument.requests[:2] == ["1103006b0001", "110400030001"]


async def test_two_gauges_share_a_line() -> None:
    instrument = Instrument()
    with serial(instrument) as line:
        async with gauge(line.path, LEVEL) as one, gauge(line.path, BATTERY) as other:
            for _ in range(3):
                (level,), (battery,) = await asyncio.gather(one.read(), other.read())
                assert (level.value, battery.value) == (0.555, 87.0)


@pytest.mark.parametrize(
    ("register", "says"),
    [
        (LEVEL | {"address": 40001}, "no register at this address.*40001"),
        (LEVEL | {"kind": "input"}, "no register at this address"),
    ],
)
async def test_a_wrong_map_is_answered_by_the_instrument_and_put_in_words(register, says: str) -> None:
    with serial(Instrument()) as line, pytest.raises(Transient, match=says):
        await gauge(line.path, register).__aenter__()


async def test_a_damaged_answer_is_no_reading_and_the_next_one_is() -> None:
    instrument = Instrument()
    with serial(instrument) as line:
        async with gauge(line.path, LEVEL) as sensor:
            instrument.damage = True
            with pytest.raises(Transient, match="no valid answer; check power, the A and B wires"):
                await sensor.read()
            instrument.damage = False
            assert [one.value for one in await sensor.read()] == [0.555]


async def test_silence_and_another_devices_number_say_what_to_check(caplog) -> None:
    with serial() as line, pytest.raises(Transient, match=r"device 17 .*no valid answer"):
        await gauge(line.path, LEVEL).__aenter__()
    assert not [record for record in caplog.records if record.name.startswith("pymodbus")]


async def test_a_port_that_is_missing_or_in_use_says_so() -> None:
    with pytest.raises(ConfigError, match="by-id"):
        await gauge(Path("/dev/ttyNONE"), LEVEL).__aenter__()
    with serial() as line:
        other = Uart(line.path, 9600)
        with pytest.raises(Transient, match="in use by another program"):
            await gauge(line.path, LEVEL).__aenter__()
        other.close()


@pytest.mark.parametrize(
    ("register", "says"),
    [
        ([], "at least one"),
        ([LEVEL, LEVEL], "only once"),
        ([LEVEL | {"quantity": "water"}], "not known"),
        ([LEVEL | {"unit": "hPa"}], "measures pressure"),
        ([LEVEL | {"format": "float16"}], "did you mean"),
        ([LEVEL | {"address": -1}], "at least 0"),
        ([LEVEL | {"adress": 1}], "did you mean 'address'"),
    ],
)
def test_a_map_that_cannot_work_is_refused_with_the_place(register, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config("modbus_level", register=register)
