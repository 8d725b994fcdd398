"""Recordings as signals, and the recordings that come with the simulator."""

from pathlib import Path

import pytest

from firmware_sim.recordings import RECORDINGS
from firmware_sim.signals.recorded import RecordedSection, RecordedSignal
from firmware_sim.signals.table import read
from hinomi.config import parse
from hinomi.errors import ConfigError

MINUTE = 60_000


def section(**table):
    return parse(table, RecordedSection)


def test_a_value_is_held_until_the_next_row_and_a_gap_is_none():
    signal = RecordedSignal([0, 10, 20, 30], [1.0, None, 3.0, 4.0], repeat=False)
    assert [signal.value(at) for at in (-1, 0, 9, 10, 19, 20, 39, 40)] == [
        None,
        1.0,
        1.0,
        None,
        None,
        3.0,
        4.0,
        None,
    ]


def test_a_recording_that_falls_silent_is_not_held_for_ever():
    signal = RecordedSignal([0, 10, 20, 1000, 1010], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert signal.value(49) == 3.0
    assert signal.value(50) is None
    assert signal.value(999) is None
    assert signal.value(1000) == 4.0


def test_it_is_played_from_its_anchor_again_and_again():
    signal = RecordedSignal([100, 110, 120], [1.0, 2.0, 3.0], window=(100, 130), anchor_ms=5000)
    assert [signal.value(5000 + at) for at in (0, 10, 20, 29, 30, 300, -1)] == [1.0, 2.0, 3.0, 3.0, 1.0, 1.0, 3.0]


def test_interpolation_goes_straight_between_rows_but_never_over_a_gap():
    signal = RecordedSignal([0, 10, 20, 30, 90], [0.0, 10.0, None, 5.0, 6.0], repeat=False, interpolate=True)
    assert [signal.value(at) for at in (0, 4, 10, 19, 20, 35, 90)] == [0.0, 4.0, 10.0, 10.0, None, 5.0, 6.0]


@pytest.mark.parametrize(
    ("name", "rows", "cells", "stations"),
    [
        ("dead-run", 8928, 17856, {""}),
        ("bonfire", 13829, 27658, {"5331", "7789", "8554", "8733", "15462", "15092"}),
        ("fukushima", 744, 1488, {""}),
        ("office", 8143, 32572, {""}),
        ("airports", 2228, 15537, {"EWR", "JFK", "LGA"}),
    ],
)
def test_every_row_of_what_ships_is_read(name, rows, cells, stations):
    recording = RECORDINGS[name]
    found = read(recording.path, recording.layout)
    assert (found.count, len(found.rows), found.refusals) == (rows, rows, [])
    assert sum(value is not None for row in found.rows for value in row.values) == cells
    assert {row.station for row in found.rows} == stations


def test_what_ships_has_its_credit_beside_it():
    first = next(iter(RECORDINGS.values()))
    provenance = (first.path.parent / "PROVENANCE.md").read_text("utf-8")
    files = {path.name for path in first.path.parent.glob("*.csv")}
    assert files == {recording.file for recording in RECORDINGS.values()}
    assert all(f"`{name}`" in provenance for name in files)
    assert all(recording.credit for recording in RECORDINGS.values())


def test_units_of_the_recording_become_the_quantitys_own():
    """The flood's crest: 6.17 ft and 1360 ft3/s; a hot hour in New York: 100.04 degF."""
    flood = section(recorded="dead-run").signal("water_level", 0)
    assert max(_month(flood, 1527825600000)) == pytest.approx(6.17 * 0.3048)
    flow = section(recorded="dead-run").signal("discharge", 0)
    assert max(_month(flow, 1527825600000)) == pytest.approx(1360 * 0.3048**3)
    warm = [section(recorded="airports", station=name).signal("temperature", 0) for name in ("EWR", "JFK", "LGA")]
    assert max(value for signal in warm for value in _month(signal, 1372651200000)) == pytest.approx(37.8)


def _month(signal, start):
    values = [signal.value(start + at) for at in range(0, 31 * 86_400_000, 5 * MINUTE)]
    return [value for value in values if value is not None]


def test_the_night_of_the_bonfires_is_where_it_was():
    """On 6 November in the evening five neighbours rise; a day before, one of them alone."""
    at = 1541531100000  # 2018-11-06T19:05Z
    evening = [section(recorded="bonfire", station=name).signal("pm10", 0) for name in ("5331", "8554", "15462")]
    assert all((signal.value(at) or 0) > 40 for signal in evening)


def test_begin_and_end_are_written_as_in_the_file():
    """The hottest day alone, from midnight to midnight in Japan, played from the anchor on."""
    table = {"recorded": "fukushima", "begin": "2019/7/30 24:00", "end": "2019/7/31 24:00", "anchor_ms": 0}
    signal = section(**table).signal("globe_temperature", 0)
    whole = section(recorded="fukushima").signal("globe_temperature", 0)
    assert [signal.value(hour * 3_600_000) for hour in range(24)] == [
        whole.value(1564498800000 + hour * 3_600_000) for hour in range(24)
    ]
    assert signal.value(25 * 3_600_000) == signal.value(3_600_000)


@pytest.mark.parametrize(
    ("table", "quantity", "says"),
    [
        ({"recorded": "deadrun"}, "water_level", "did you mean 'dead-run'?"),
        ({"recorded": "dead-run"}, "pm10", "has no column of pm10; it has gage_height_ft (water_level)"),
        ({"recorded": "bonfire"}, "pm10", "name one of 15092, 15462, 5331"),
        ({"recorded": "bonfire", "station": "5332"}, "pm10", "no station '5332'"),
        ({"recorded": "fukushima", "begin": "noon"}, "wbgt", "begin: 'noon' is not a time"),
        ({"recorded": "fukushima", "begin": "2020/1/1 1:00"}, "wbgt", "outside of the recording"),
        ({"recorded": "no.csv", "column": "a", "time_columns": ["t"]}, "wbgt", "cannot be read"),
        ({"recorded": "no.csv"}, "wbgt", "needs column and time_columns"),
    ],
)
def test_a_table_that_cannot_work_says_what_to_do(table, quantity, says):
    with pytest.raises(ConfigError) as caught:
        section(**table).signal(quantity, 0)
    assert says in str(caught.value)


def test_a_file_of_ones_own(tmp_path: Path):
    (tmp_path / "mine.csv").write_text("when;station;level\n2020-01-01 00:00;a;120\n2020-01-01 00:10;a;130\n")
    table = {"recorded": "mine.csv", "column": "level", "unit": "cm", "delimiter": ";", "time_columns": ["when"]}
    signal = parse(table, RecordedSection, base=tmp_path).signal("water_level", 0)
    assert signal.value(1577836800000) == pytest.approx(1.2)
    assert signal.value(1577836800000 + 10 * MINUTE) == pytest.approx(1.3)
