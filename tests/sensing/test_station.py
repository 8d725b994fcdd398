"""What is known of a station."""

import math

import msgspec
import pytest

from sensing.station import DatastreamInfo, StationRecord
from sensing.topic import StationId

BRIDGE = StationId("town", "bridge")


def test_a_record_knows_its_intervals() -> None:
    record = StationRecord(
        BRIDGE,
        name="新橋",
        kana="しんばし",
        romaji="Shinbashi",
        purpose="public",
        latitude=35.6,
        longitude=139.7,
        marks={"water_level": (1.5, 1.8, 2.0, 2.8)},
        lowest_bank=3.2,
        datastreams=(
            DatastreamInfo("gauge", "water_level", 60.0),
            DatastreamInfo("gauge", "battery_voltage", 600.0),
        ),
    )
    assert record.interval_s("gauge", "battery_voltage") == 600.0
    assert record.interval_s("gauge", "pm1") is None
    assert msgspec.json.decode(msgspec.json.encode(record), type=StationRecord) == record


def test_a_bare_record_is_private() -> None:
    assert StationRecord(BRIDGE).purpose == "private"
    assert StationRecord(BRIDGE).marks == {}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("marks", {"water_level": (1.0, 2.0, 2.0, 3.0)}, "marks of water_level must rise"),
        ("marks", {"water_level": (4.0, 3.0, 2.0, 1.0)}, "marks of water_level must rise"),
        ("latitude", 91.0, "latitude must be within"),
        ("longitude", -181.0, "longitude must be within"),
        ("latitude", math.nan, "latitude must be within"),
    ],
)
def test_impossible_records_are_refused(field: str, value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StationRecord(BRIDGE, **{field: value})


@pytest.mark.parametrize("interval", [0.0, -1.0, math.inf, math.nan])
def test_an_interval_is_a_time(interval: float) -> None:
    with pytest.raises(ValueError, match="interval_s of gauge/water_level must be above 0"):
        DatastreamInfo("gauge", "water_level", interval)
