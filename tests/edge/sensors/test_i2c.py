"""BME280 and SCD4x with their real transfers, against register maps behind the socket seam."""

import errno
import time
from pathlib import Path

import pytest
from support.sensors import I2cDevices, Surroundings, config, hexadecimal, unix_server

from edge.buses import i2c, trouble
from hinomi.errors import ConfigError, Transient

CASES = Path(__file__).parent / "cases"
BME = hexadecimal((CASES / "bme280/data-sheet-example/input.hex").read_text())
SCD = hexadecimal((CASES / "scd4x/data-sheet-example/input.hex").read_text())


class Bme280Registers:
    """The data sheet's example as a register map; it measures when it is told to."""

    def __init__(self, chip: int = 0x60) -> None:
        self.map = bytearray(256)
        self.map[0xD0] = chip
        self.map[0x88:0xA2], self.map[0xE1:0xE8] = BME[:26], BME[26:33]
        self.map[0xF7:0xFF] = bytes.fromhex("8000008000008000")
        self.looks_while_busy = 0

    def __call__(self, message: bytes) -> bytes:
        register, *values = message
        for value in values:
            self.map[register] = value
            if register == 0xF4 and value & 0b11 == 0b01 and self.map[0xF2]:
                self.looks_while_busy = 3
        if register == 0xF3 and self.looks_while_busy:
            self.looks_while_busy -= 1
            self.map[0xF3] = 0x08 if self.looks_while_busy else 0
            if not self.looks_while_busy:
                self.map[0xF7:0xFF] = BME[33:]
        return bytes(self.map[register:])


class Scd4xCommands:
    """Answers as the data sheet says; ready after so many looks."""

    def __init__(self, looks: int = 2) -> None:
        self.looks = looks
        self.left = looks

    def __call__(self, message: bytes) -> bytes:
        command = int.from_bytes(message[:2])
        if command == 0xE4B8:
            self.left -= 1
            return bytes.fromhex("8000a2" if self.left >= 0 else "8006c7")[:2] + bytes(
                [crc(bytes.fromhex("8000" if self.left >= 0 else "8006"))]
            )
        if command == 0xEC05:
            self.left = self.looks
            return SCD
        return b""


def crc(word: bytes) -> int:
    from edge.sensors.scd4x import crc8

    return crc8(word)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "i2c.sock"


async def test_a_bme280_is_woken_for_each_reading_and_waited_for(path: Path) -> None:
    devices = I2cDevices({0x76: Bme280Registers()})
    with unix_server(path, devices.serve):
        async with config("bme280", bus=str(path), oversampling=2).open(Surroundings()) as sensor:
            for _ in range(2):
                readings = {one.quantity: one.value for one in await sensor.read()}
    assert readings == {
        "temperature": 25.08,
        "humidity": pytest.approx(40.7, abs=0.02),
        "pressure": 1006.53,
    }
    settings = [message.hex() for _, message in devices.written if len(message) > 1]
    assert settings == [
        "e0b6",
        "f202",
        "f449",
        "f202",
        "f449",
    ]  # reset, then humidity x2 and forced x2 x2 each time


@pytest.mark.parametrize(("chip", "name"), [(0x58, "BMP280"), (0x61, "BME680"), (0x00, "something else")])
async def test_another_chip_at_the_address_is_named(path: Path, chip: int, name: str) -> None:
    with (
        unix_server(path, I2cDevices({0x76: Bme280Registers(chip)}).serve),
        pytest.raises(ConfigError, match=name),
    ):
        await config("bme280", bus=str(path)).open(Surroundings()).__aenter__()


async def test_an_empty_address_says_what_to_check(path: Path) -> None:
    with (
        unix_server(path, I2cDevices({}).serve),
        pytest.raises(Transient, match=r"0x77 .* check wiring.*i2cdetect"),
    ):
        await config("bme280", bus=str(path), address=0x77).open(Surroundings()).__aenter__()


async def test_a_bus_that_hangs_and_comes_back_costs_one_reading(path: Path) -> None:
    devices = I2cDevices({0x76: Bme280Registers()})
    with unix_server(path, devices.serve):
        async with config("bme280", bus=str(path)).open(Surroundings()) as sensor:
            devices.status = errno.ETIMEDOUT
            with pytest.raises(Transient, match="hangs"):
                await sensor.read()
            devices.status = 0
            assert len(await sensor.read()) == 3


async def test_a_bus_that_never_answers_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2c, "_SOCKET_SECONDS", 0.1)
    devices = I2cDevices({0x76: Bme280Registers()})
    devices.silent = True
    with unix_server(path, devices.serve), pytest.raises(Transient, match="hangs"):
        await config("bme280", bus=str(path)).open(Surroundings()).__aenter__()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(i2c, "_SOCKET_SECONDS", 0.1)
    answers = iter([0.3, 0.0])

    def device(message: bytes) -> bytes:
        time.sleep(next(answers))
        return message

    with unix_server(path, I2cDevices({1: device}).serve):
        bus = i2c.open_i2c(path)
        with pytest.raises(Transient, match="hangs"):
            bus.transfer(1, b"old", 3)
        time.sleep(0.4)
        with pytest.raises(Transient):
            bus.transfer(1, b"new", 3)
        bus.close()


async def test_a_bus_that_is_not_there_says_how_to_enable_it(path: Path) -> None:
    with pytest.raises(ConfigError, match="raspi-config"):
        await config("bme280", bus=str(path)).open(Surroundings()).__aenter__()


async def test_a_file_that_is_no_bus_is_told_in_words() -> None:
    with pytest.raises(Transient, match=r"/dev/null .*ioctl"):
        await config("bme280", bus="/dev/null").open(Surroundings()).__aenter__()


def test_a_bus_of_others_names_the_group() -> None:
    for code in (errno.EACCES, errno.EPERM):
        error = trouble.opening(OSError(code, ""), Path("/dev/i2c-1"), group="i2c", when_absent="x")
        assert isinstance(error, ConfigError)
        assert "usermod -aG i2c" in str(error)


async def test_an_scd4x_is_stopped_set_started_and_read_when_it_is_ready(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(i2c._Bus, "wait", lambda self, seconds: None)
    devices = I2cDevices({0x62: Scd4xCommands()})
    with unix_server(path, devices.serve):
        async with config("scd4x", bus=str(path), altitude_m=120).open(Surroundings()) as sensor:
            readings = [(one.quantity, one.value) for one in await sensor.read()]
    assert readings == [("co2", 500.0), ("temperature", 25.0), ("humidity", 37.0)]
    commands = [message.hex() for _, message in devices.written]
    assert commands == ["3f86", "24270078" + f"{crc(bytes([0, 120])):02x}", "21b1", *["e4b8"] * 3, "ec05"]


async def test_an_scd4x_that_lost_its_supply_is_not_waited_for_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(i2c._Bus, "wait", lambda self, seconds: None)
    with unix_server(path, I2cDevices({0x62: Scd4xCommands(looks=10_000)}).serve):
        async with config("scd4x", bus=str(path)).open(Surroundings()) as sensor:
            with pytest.raises(Transient, match="no new measurement"):
                await sensor.read()


def test_sensirions_published_checksums() -> None:
    """Data sheet SCD4x, 3.11: CRC (0xBEEF) = 0x92; and the words of its examples."""
    for word, expected in {"beef": 0x92, "01f4": 0x33, "6667": 0xA2, "5eb9": 0x3C}.items():
        assert crc(bytes.fromhex(word)) == expected


def test_an_interval_shorter_than_the_sensors_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 5"):
        config("scd4x", interval_s=2)
