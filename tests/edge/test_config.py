"""The configuration file: every fault at once, each in words that name the place; nonsense never crashes it.

``bad_config`` holds one mistake a file; its first lines say where the fault is and what is said about it.
"""

import random
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import BrokerSection, JournalSection, StationSection, UplinkSection, load, parse
from edge.intake import INTAKES
from edge.sensors import SENSORS
from hinomi.errors import ConfigError, Fault

SECTIONS = {"station": StationSection, "broker": BrokerSection, "journal": JournalSection, "uplink": UplinkSection}
BAD = sorted((Path(__file__).parent / "bad_config").glob("*.toml"))
GOOD = """
[station]
id = "town/bridge"
[broker]
host = "127.0.0.1"
password = "hush"
[journal]
path = "edge.db"
[uplink]
window = 50
[[sensor]]
type = "host"
name = "pi"
interval_s = 60
report = ["disk_free"]
[[intake]]
type = "socket"
path = "in.sock"
"""


def expected(path: Path) -> tuple[str, str]:
    at, says = path.read_text().splitlines()[:2]
    return at.removeprefix("# at: "), says.removeprefix("# says: ")


def test_there_are_fifty_variants() -> None:
    assert len(BAD) >= 50


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_named_by_its_place_and_in_plain_words(path: Path, tmp_path: Path) -> None:
    at, says = expected(path)
    copy = tmp_path / "edge.toml"
    copy.write_text(path.read_text())
    with pytest.raises(ConfigError) as caught:
        load(copy)
    faults = [(fault.path.removeprefix(f"{tmp_path}/"), fault.problem) for fault in caught.value.faults]
    assert len(faults) == 1, faults
    assert faults[0][0] == at
    assert says in faults[0][1]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = """
    [station]
    id = "bridge"
    [broker]
    port = 0
    [journal]
    path = "edge.db"
    cap_mb = -1
    [[sensor]]
    type = "hots"
    [[sensor]]
    type = "host"
    name = "Pi"
    interval_s = 0
    [[intake]]
    type = "socket"
    """
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), base=tmp_path)
    places = {fault.path for fault in caught.value.faults}
    assert places == {
        "station",
        "broker.host",
        "broker.port",
        "journal.cap_mb",
        "sensor[0].type",
        "sensor[1].name",
        "sensor[1].interval_s",
        "intake[0].path",
    }


def test_a_good_file_is_read_and_its_secret_stays_secret(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD)
    config = load(path)
    assert str(config.station) == "town/bridge"
    assert config.broker.address == ("127.0.0.1", 1883)
    assert config.journal.path == tmp_path / "edge.db"
    assert config.journal.commit_s == 5.0
    assert config.sensors[0].quantities() == ("disk_free",)
    assert "hush" not in repr(config)
    assert len(config.hash) == 12


def test_a_secret_of_the_wrong_kind_stays_secret_too(tmp_path: Path) -> None:
    table = tomllib.loads(GOOD)
    table["broker"]["password"] = 271828
    with pytest.raises(ConfigError, match="a secret") as caught:
        parse(table, base=tmp_path)
    assert "271828" not in str(caught.value)


def test_with_tls_the_port_is_another(tmp_path: Path) -> None:
    table = tomllib.loads(GOOD)
    table["broker"] |= {"tls": True}
    assert parse(table, base=tmp_path).broker.address == ("127.0.0.1", 8883)


def test_a_driver_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SENSORS, "host", "no_such_package.driver:Config")
    with pytest.raises(ConfigError, match=r"pip install 'hinomi\[edge\]'"):
        parse(tomllib.loads(GOOD), base=tmp_path)


def test_the_sample_is_in_order_and_names_every_setting(tmp_path: Path) -> None:
    sample = (Path(__file__).parents[2] / "deploy" / "edge.toml").read_text()
    for name in ("password", "ca.crt", "station.crt", "station.key"):
        (tmp_path / name).write_text("x")
    here = re.sub("/etc/hinomi|/var/lib/hinomi", str(tmp_path), sample)
    assert parse(tomllib.loads(here), base=tmp_path).broker.address == ("cloud.example.org", 8883)
    everything = re.sub(r"^# (?=[a-z_]+ = |\[)", "", here, flags=re.MULTILINE)
    tables = tomllib.loads(everything)
    parse(tables, base=tmp_path)
    for name, section in SECTIONS.items():
        settings = {key.removesuffix("_file") for key in tables[name]}
        assert settings == set(section.__struct_fields__), name


def test_every_plug_in_has_a_sample_beside_it() -> None:
    root = Path(__file__).parents[2]
    for row in (*SENSORS.values(), *INTAKES.values()):
        module = row.partition(":")[0].replace(".", "/")
        assert (root / f"{module}.toml").is_file(), row


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["station", "broker", "journal", "uplink", "clock", "sensor", "intake", "x"]), VALUES
    )
)
def test_any_tables_are_read_or_refused(tables: dict) -> None:
    try_to_parse(tables)


@given(
    st.sampled_from(["station", "broker", "journal", "uplink", "clock"]),
    st.sampled_from(["id", "host", "port", "path", "password", "password_file", "ca", "tls", "window", "speed"]),
    VALUES,
)
def test_any_value_in_a_good_file_is_read_or_refused(table: str, key: str, value: object) -> None:
    tables = tomllib.loads(GOOD)
    tables.setdefault(table, {})[key] = value
    try_to_parse(tables)


@given(st.randoms(use_true_random=False), st.sampled_from([GOOD, *(path.read_text() for path in BAD)]))
def test_any_damaged_text_is_read_or_refused(rng: random.Random, text: str) -> None:
    characters = list(text)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(characters))
        characters[at] = rng.choice("[]{}=\"'\n#.,\\\0é0")
    try:
        tables = tomllib.loads("".join(characters))
    except tomllib.TOMLDecodeError:
        return
    try_to_parse(tables)


def try_to_parse(tables: dict) -> None:
    faults: tuple[Fault, ...] = (Fault("-", "-"),)
    try:
        parse(tables, base=Path("/nowhere"))
    except ConfigError as error:
        faults = error.faults
    assert faults
    assert all(fault.path and fault.problem for fault in faults)
