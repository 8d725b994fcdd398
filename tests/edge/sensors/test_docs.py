"""docs/sensors.md against the plug-ins."""

import re
from pathlib import Path

import pytest
from support.sensors import config

from edge.intake import INTAKES
from edge.sensors import SENSORS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "sensors.md").read_text("utf-8")
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| `([a-z0-9_]+)` \|.*$", TEXT, re.MULTILINE)}


def test_each_plugin_has_a_row_and_no_other() -> None:
    assert set(ROWS) == set(SENSORS) | set(INTAKES)


@pytest.mark.parametrize("kind", sorted(set(SENSORS) - {"modbus_level"}))
def test_the_row_names_the_quantities(kind: str) -> None:
    for quantity in config(kind).quantities():
        assert quantity in ROWS[kind].replace("water_, soil_ or globe_temperature", "water_temperature"), quantity


@pytest.mark.parametrize("kind", sorted(set(SENSORS) | set(INTAKES)))
def test_the_row_links_the_sample_that_is_there(kind: str) -> None:
    (link,) = re.findall(r"\]\(\.\./([^)]+)\)", ROWS[kind])
    assert link.endswith(f"/{kind}.toml")
    assert (ROOT / link).is_file()
