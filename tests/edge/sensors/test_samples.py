"""The sample beside each plug-in is its documentation, so it is tested like code."""

import re
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from edge.intake import INTAKES
from edge.sensors import SENSORS
from hinomi.config import Section, parse
from sensing.quantity import QUANTITIES

ROWS = [("sensor", kind, row) for kind, row in SENSORS.items()] + [
    ("intake", kind, row) for kind, row in INTAKES.items()
]
IDS = [kind for _, kind, _ in ROWS]


def plugin(row: str) -> tuple[ModuleType, type[Section]]:
    name, _, attribute = row.partition(":")
    module = import_module(name)
    return module, getattr(module, attribute)


def text(module: ModuleType) -> str:
    return Path(module.__file__ or "").with_suffix(".toml").read_text("utf-8")


def uncommented(sample: str) -> str:
    """The sample with each ``# name = value`` switched on."""
    return re.sub(r"^# ([a-z_]+ = )", r"\1", sample, flags=re.MULTILINE)


@pytest.mark.parametrize(("what", "kind", "row"), ROWS, ids=IDS)
def test_the_sample_loads(what: str, kind: str, row: str) -> None:
    module, section = plugin(row)
    (table,) = tomllib.loads(text(module))[what]
    loaded = parse(table, section)
    assert table["type"] == kind
    if what == "sensor":
        assert loaded.quantities()
        assert set(loaded.quantities()) <= set(QUANTITIES)


@pytest.mark.parametrize(("what", "kind", "row"), ROWS, ids=IDS)
def test_the_settings_that_it_shows_switched_off_are_the_defaults(
    what: str, kind: str, row: str, tmp_path: Path
) -> None:
    module, section = plugin(row)
    (before,) = tomllib.loads(text(module))[what]
    (table,) = tomllib.loads(uncommented(text(module)))[what]
    secrets = {key: value for key, value in table.items() if key.endswith("_file")}
    (tmp_path / "secret").write_text("s")
    with_all = parse(table | dict.fromkeys(secrets, "secret"), section, base=tmp_path)
    plain = parse(before, section, base=tmp_path)
    personal = {"username", *(key.removesuffix("_file") for key in secrets)}
    for name in set(table) - set(before) - set(secrets) - personal:
        assert getattr(with_all, name) == getattr(plain, name), name


@pytest.mark.parametrize(("what", "kind", "row"), ROWS, ids=IDS)
def test_every_setting_stands_in_the_sample_with_a_comment(what: str, kind: str, row: str) -> None:
    module, section = plugin(row)
    sample = text(module)
    general = {"urgent", "timeout_s"}  # of every sensor; docs/sensors.md
    for field in msgspec.structs.fields(section):
        if field.name not in general:
            named = rf"^(# )?{field.name}(_file)? = |\[\[{what}\.{field.name}\]\]"
            assert re.search(named, sample, re.MULTILINE), field.name


@pytest.mark.parametrize(("kind", "row"), list(SENSORS.items()))
def test_a_driver_is_a_file_pair_that_touches_nothing_when_it_is_imported_or_opened(kind: str, row: str) -> None:
    module, section = plugin(row)
    (table,) = tomllib.loads(text(module))["sensor"]
    from support.sensors import Surroundings

    parse(table, section).open(Surroundings())
    assert module.__doc__
