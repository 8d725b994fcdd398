"""Sensors that the kernel shows as files: DS18B20 and the host."""

from pathlib import Path

import pytest
from support.sensors import Surroundings, config

from hinomi.errors import ConfigError, Transient

CASES = Path(__file__).parent / "cases"
ID = "28-00000623003b"


def thermometer(root: Path):
    return config("ds18b20", root=str(root), id=ID).open(Surroundings())


def show(root: Path, case: str, name: str = ID) -> None:
    (root / name).mkdir(exist_ok=True)
    (root / name / "w1_slave").write_bytes((CASES / "ds18b20" / case / "input.txt").read_bytes())


async def test_a_thermometer_is_read_from_its_file(tmp_path: Path) -> None:
    show(tmp_path, "recorded-file")
    async with thermometer(tmp_path) as sensor:
        assert [(one.quantity, one.value) for one in await sensor.read()] == [("water_temperature", 23.125)]
        show(tmp_path, "bad-crc")
        with pytest.raises(Transient, match="pull-up"):
            await sensor.read()
        show(tmp_path, "recorded-file")
        assert len(await sensor.read()) == 1


async def test_a_thermometer_with_another_number_is_named(tmp_path: Path) -> None:
    show(tmp_path, "recorded-file", "28-0316a2797b1c")
    with pytest.raises(ConfigError, match=rf"{ID}: is not on the line; found: 28-0316a2797b1c"):
        await thermometer(tmp_path).__aenter__()


async def test_without_any_thermometer_it_says_how_to_enable_the_bus(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do_onewire"):
        await thermometer(tmp_path / "none").__aenter__()


async def test_a_file_that_cannot_be_read_is_a_passing_error(tmp_path: Path) -> None:
    (tmp_path / ID / "w1_slave").mkdir(parents=True)
    with pytest.raises(Transient, match="directory"):
        await thermometer(tmp_path).__aenter__()


@pytest.mark.parametrize("name", ["28-XYZ", "10-00000623003b", "../28-00000623003b", "28-00000623003b/.."])
def test_an_id_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="matching"):
        config("ds18b20", id=name)


async def test_this_machine_tells_its_memory_and_disk() -> None:
    async with config("host", report=["memory_free", "disk_free"]).open(Surroundings()) as sensor:
        readings = {one.quantity: one.value for one in await sensor.read()}
    assert set(readings) == {"memory_free", "disk_free"}
    assert all(0 <= value <= 100 for value in readings.values())


@pytest.mark.parametrize("report", [[], ["disk_free", "disk_free"], ["disk"]])
def test_a_report_of_nothing_or_of_nonsense_is_refused(report: list[str]) -> None:
    with pytest.raises(ConfigError, match="report"):
        config("host", report=report)
