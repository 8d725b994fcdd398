"""Line protocol and InfluxQL: what is written can be read, and no name reaches into the syntax."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hinomi.errors import Rejected
from sensing import series
from sensing.observation import Datastream, Flag, Observation
from sensing.quantity import QUANTITIES

BRIDGE = Datastream("town", "bridge", "gauge", "water_level")
NOW_MS = 1_700_000_000_123


def split(text: str, separator: str, *, fields: bool = False) -> list[str]:
    """Split at separators that are not escaped and, among fields, not inside a quoted value.

    A quote opens a string only where a value begins; in names it is a letter like any other.
    """
    parts, part, quoted, i = [], "", False, 0
    while i < len(text):
        char = text[i]
        if char == "\\" and i + 1 < len(text):
            part += text[i : i + 2]
            i += 2
            continue
        if char == '"' and (quoted or (fields and part.endswith("=") and not part.endswith("\\="))):
            quoted = not quoted
        if char == separator and not quoted:
            parts.append(part)
            part = ""
        else:
            part += char
        i += 1
    return [*parts, part]


def plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def number(text: str) -> float | int | bool | str:
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in {"true", "false"}:
        return text == "true"
    return int(text[:-1]) if text.endswith("i") else float(text)


def parse(text: str) -> tuple[str, dict[str, str], dict[str, float | int | bool | str], int]:
    """A reader of line protocol after InfluxDB's reference: measurement,tags fields time."""
    head = split(text, " ")[0]
    fields, time = split(text[len(head) + 1 :], " ", fields=True)
    measurement, *pairs = split(head, ",")
    tags = dict(map(plain, split(pair, "=")) for pair in pairs)
    values = {}
    for pair in split(fields, ",", fields=True):
        key = split(pair, "=")[0]
        values[plain(key)] = number(pair[len(key) + 1 :])
    return plain(measurement), tags, values, int(time)


names = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\"), min_size=1).filter(
    lambda name: name.isprintable() and name[0] != "#"
)


@given(
    st.builds(Datastream, names, names, names, names),
    st.integers(0, 253_402_300_799_999),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 63),
    st.integers(0, 2**63 - 1),
)
@example(Datastream("a,b", "c=d", "e f", 'g" ,=h'), 0, -0.0, 0, 0)
def test_a_line_says_what_the_observation_was(
    datastream: Datastream, at: int, value: float, flags: int, seq: int
) -> None:
    text = series.line(Observation(datastream, at, value, flags, seq))
    measurement, tags, fields, time = parse(text)
    assert measurement == datastream.quantity
    assert tags == {"community": datastream.community, "sensor": datastream.sensor, "station": datastream.station}
    assert fields == {"value": value, "flags": flags, "seq": seq}
    assert isinstance(fields["value"], float)
    assert math.copysign(1, fields["value"]) == math.copysign(1, value)
    assert time == at
    assert "\n" not in text


def test_a_line_as_influxdb_likes_it() -> None:
    """Tags in alphabetical order, flags and seq as integers, no blank too many."""
    observation = Observation(BRIDGE, NOW_MS, 1.25, int(Flag.STEP | Flag.GAP), 42)
    told = f"water_level,community=town,sensor=gauge,station=bridge value=1.25,flags=10i,seq=42i {NOW_MS}"
    assert series.line(observation) == told
    assert series.lines([observation, observation]) == f"{told}\n{told}"
    assert series.lines([]) == ""


@pytest.mark.parametrize("name", ["", "a\nb", "a\\", "a\\,b", "a\x00", "#a", "\u2028"])
def test_a_name_that_line_protocol_cannot_spell_is_refused(name: str) -> None:
    for datastream in (
        Datastream(name, "b", "c", "d"),
        Datastream("a", "b", name, "d"),
        Datastream("a", "b", "c", name),
    ):
        with pytest.raises(Rejected) as caught:
            series.line(Observation(datastream, 0, 1.0))
        assert caught.value.reason == "bad_name"


def test_the_cache_of_beginnings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "_PREFIXES_MAX", 3)
    for i in range(20):
        series.line(Observation(Datastream("town", f"s{i}", "a", "pm1"), 0, 1.0))
        assert len(series._PREFIXES) <= 65_536
    assert len(series._PREFIXES) <= 3


values = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


@given(
    st.dictionaries(names, names, max_size=3),
    st.dictionaries(names, values | texts, min_size=1, max_size=3),
)
def test_a_line_about_the_cloud_itself(tags: dict[str, str], fields: dict[str, float | str]) -> None:
    text = series.own_line(series.LOSS, tags=tags, fields=fields, at=NOW_MS)
    measurement, got_tags, got_fields, time = parse(text)
    assert (measurement, got_tags, time) == ("hinomi_loss", tags, NOW_MS)
    assert got_fields == fields
    assert {key: type(value) for key, value in got_fields.items()} == {k: type(v) for k, v in fields.items()}


def test_an_empty_tag_is_left_out() -> None:
    assert (
        series.own_line(series.STATION, tags={"b": "", "a": "x"}, fields={"n": 1}, at=5)
        == "hinomi_station,a=x n=1i 5"
    )


def test_no_quantity_is_a_measurement_of_the_cloud() -> None:
    own = {series.LOSS, series.STATION, series.INCIDENT, series.DELIVERY}
    assert all(name.startswith(series.OWN_PREFIX) for name in own)
    assert not any(name.startswith(series.OWN_PREFIX) for name in QUANTITIES)


def tokens(query: str) -> list[str]:
    """InfluxQL cut into its tokens; fails on a character that is outside of all of them."""
    pattern = re.compile(r"""\s+|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|/(?:\\.|[^/\\])*/|-?\w+|[(),.*=<>]+""")
    found, at = [], 0
    while at < len(query):
        match = pattern.match(query, at)
        assert match, query[at:]
        found.append(match.group())
        at = match.end()
    return found


def shape(query: str) -> list[str]:
    return [token[0] if token[0] in "\"'" else token for token in tokens(query)]


wild = st.lists(st.sampled_from([*"ab\"'\\\n;-/ ,=)(*", "DROP ", "OR 1=1", "--"]), max_size=8).map("".join)


@given(wild, wild, wild, wild)
def test_no_name_reaches_into_influxql(community: str, station: str, sensor: str, quantity: str) -> None:
    """Whatever a name is, the query keeps the tokens it has with a harmless one."""
    nasty, tame = Datastream(community, station, sensor, quantity), Datastream("a", "b", "c", "d")
    assert shape(series.buckets_query(nasty, 0, 10, 5)) == shape(series.buckets_query(tame, 0, 10, 5))
    assert shape(series.newest_query(0, 9, [nasty])) == shape(series.newest_query(0, 9, [tame]))
    assert shape(series.erase_query(station, 7)) == shape(series.erase_query("a", 7))
    assert shape(series.create_query(community, 90)) == shape(series.create_query("a", 90))


@given(st.builds(Datastream, names, names, names, names.filter(lambda name: not name.startswith("hinomi_"))))
def test_a_series_key_leads_back_to_its_datastream(datastream: Datastream) -> None:
    """What SHOW SERIES lists is the beginning of a line of line protocol."""
    key = split(series.line(Observation(datastream, 0, 1.0)), " ")[0]
    assert series.series_of_key(key) == datastream


def test_a_series_of_the_cloud_itself_is_no_datastream() -> None:
    assert series.series_of_key("hinomi_loss,community=a,sensor=b,station=c") is None
    assert series.series_of_key("water_level,community=a") is None
    assert series.database("town") == "hinomi_town"
