"""Who speaks, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensing.topic import LEAVES, StationId, everybody, parse_topic

ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)
stations = st.builds(StationId, ids, ids)


@given(stations, st.sampled_from(sorted(LEAVES)))
def test_a_topic_leads_back_to_its_station(station: StationId, leaf: str) -> None:
    assert parse_topic(station.topic(leaf)) == (station, leaf)
    assert StationId.parse(str(station)) == station
    assert station.topic(leaf).startswith("hinomi/v1/")


@pytest.mark.parametrize(
    "bad", ["", "A", "a b", "a_b", "-a", "a/b", "a" * 33, "a\n", "水", "+", "#", "a.b", "$sys"]
)
def test_an_id_has_few_letters(bad: str) -> None:
    for pair in ((bad, "b"), ("b", bad)):
        with pytest.raises(ValueError, match="is not an identifier"):
            StationId(*pair)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "hinomi/v1/a/b",
        "hinomi/v1/a/b/",
        "hinomi/v1/a/b/obs/x",
        "hinomi/v1/a/b/cmd/other",
        "hinomi/v2/a/b/obs",
        "/hinomi/v1/a/b/obs",
        "hinomi/v1//b/obs",
        "hinomi/v1/a/+/obs",
        "hinomi/v1/A/b/obs",
        "other/v1/a/b/obs",
    ],
)
def test_a_topic_that_is_not_ours_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"is not|does not"):
        parse_topic(bad)


@given(st.text(max_size=60))
def test_any_topic_is_parsed_or_refused(text: str) -> None:
    for topic in (text, f"hinomi/v1/{text}"):
        try:
            station, leaf = parse_topic(topic)
        except ValueError:
            continue
        assert station.topic(leaf) == topic


def test_names_elsewhere() -> None:
    station = StationId.parse("town/bridge")
    assert station.client_id == "town.bridge"
    assert everybody("obs") == "hinomi/v1/+/+/obs"
    with pytest.raises(ValueError, match="is not a leaf"):
        station.topic("other")
    with pytest.raises(ValueError, match="COMMUNITY/STATION"):
        StationId.parse("town")


def test_stations_can_be_sorted_and_looked_up() -> None:
    one, other = StationId("a", "b"), StationId("a", "c")
    assert sorted([other, one]) == [one, other]
    assert {one: 1}[StationId("a", "b")] == 1
