"""Golden cases: bytes in, readings or an error out. One folder each, no code in them.

``cases/DRIVER/CASE/``: ``input.hex`` (pairs, # comments) or ``input.txt`` or, for sensors that read files, their
tree; ``settings.toml`` (over the sample's); ``expected.toml`` (source, readings or error).
"""

import tomllib
from pathlib import Path

import pytest
from support.sensors import Surroundings, config, hexadecimal, module, sample

from edge.sensors import SENSORS
from hinomi.errors import Rejected, Transient

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/*/expected.toml"))
ERRORS = {"transient": Transient, "rejected": Rejected}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
async def test_a_driver_makes_of_recorded_bytes_what_the_source_says(folder: Path) -> None:
    expected = tomllib.loads((folder / "expected.toml").read_text("utf-8"))
    assert expected.pop("source")
    if "error" in expected:
        with pytest.raises(ERRORS[expected["error"]]) as caught:
            await decoded(folder)
        assert expected["says"] in str(caught.value)
        return
    readings = await decoded(folder)
    assert [one.quantity for one in readings] == [one["quantity"] for one in expected["reading"]]
    for one, wanted in zip(readings, expected["reading"], strict=True):
        assert one.value == pytest.approx(wanted["value"], abs=wanted.get("within", 1e-9))


async def decoded(folder: Path):
    kind = folder.parent.name
    settings = folder / "settings.toml"
    section = config(kind, base=folder, **(tomllib.loads(settings.read_text("utf-8")) if settings.exists() else {}))
    for name, read in (("input.hex", lambda path: hexadecimal(path.read_text())), ("input.txt", Path.read_bytes)):
        if (folder / name).exists():
            return module(kind).decode(read(folder / name), section)
    async with section.open(Surroundings()) as sensor:
        return await sensor.read()


@pytest.mark.parametrize("kind", sorted(SENSORS))
def test_every_driver_has_cases_for_values_and_for_errors_of_its_bus(kind: str) -> None:
    cases = [(folder / "expected.toml").read_text() for folder in FOLDERS if folder.parent.name == kind]
    assert any("[[reading]]" in case for case in cases)
    if kind not in {"rain_gauge", "contact", "motion"}:  # a line of two levels has no wrong bytes
        assert any("error = " in case for case in cases)


def test_no_case_belongs_to_a_driver_that_is_gone() -> None:
    assert {folder.parent.name for folder in FOLDERS} <= set(SENSORS)
    assert sample("sds011")["type"] == "sds011"
