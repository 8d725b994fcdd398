"""What a replay will tell each agent, and when."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.replay.playlist import MOST_STATIONS, Recording, Timeline, load, station_id, usual_interval
from firmware_sim.signals.layout import Column, Layout
from hinomi.errors import ConfigError

ONE = Layout(columns=(Column("a", "temperature"),), time_columns=("time",))
BY_ID = Layout(columns=(Column("a", "temperature"),), time_columns=("time",), station_column="id")


def file(folder: Path, name, *lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def told(recording):
    return {
        name: [(each.row.line, each.row.values[0]) for each in rows] for name, rows in recording.playlists.items()
    }


def refusals(recording):
    return [(each.file and Path(each.file).name, each.line, each.column, each.reason) for each in recording.refused]


def test_values_of_the_station_column_become_station_ids(tmp_path):
    path = file(
        tmp_path,
        "a.csv",
        "id,time,a",
        "EWR,2020-01-01,1",
        "Main St.,2020-01-01,2",
        "5331,2020-01-01,3",
        "米子,2020-01-01,4",
    )
    recording = load([path], BY_ID, station=None)
    assert told(recording) == {"ewr": [(2, 1.0)], "main-st": [(3, 2.0)], "5331": [(4, 3.0)]}
    assert refusals(recording) == [(None, 5, "id", "bad_station")]
    assert recording.rows == 4
    assert station_id("ＡＢ_1") == "ab-1"
    assert station_id("-") is None
    assert station_id("x" * 33) is None


def test_several_files_are_one_recording_in_the_order_given(tmp_path):
    first = file(tmp_path, "a.csv", "time,a", "2020-01-01,1", "2020-01-02,2")
    second = file(tmp_path, "b.csv", "time,a", "2020-01-02,3", "2020-01-03,x", "2020-01-04,5")
    recording = load([first, second], ONE, station="s")
    assert told(recording) == {"s": [(2, 1.0), (3, 2.0), (3, None), (4, 5.0)]}
    assert refusals(recording) == [("b.csv", 3, "a", "not_a_number"), ("b.csv", 2, "time", "duplicate_time")]
    assert recording.seconds == 3 * 86400.0
    assert usual_interval(recording.playlists["s"]) == 86400.0


def test_every_file_that_lacks_a_column_is_named(tmp_path):
    paths = [file(tmp_path, name, "time,b") for name in ("a.csv", "b.csv")]
    with pytest.raises(ConfigError) as caught:
        load([*paths, tmp_path / "c.csv"], ONE, station="s")
    assert [Path(fault.path).name for fault in caught.value.faults] == ["a.csv", "b.csv", "c.csv"]


def test_too_many_stations_are_refused(tmp_path):
    rows = [f"s{number},2020-01-01,1" for number in range(MOST_STATIONS + 1)]
    with pytest.raises(ConfigError, match=f"at most {MOST_STATIONS}"):
        load([file(tmp_path, "a.csv", "id,time,a", *rows)], BY_ID, station=None)


def test_a_file_without_a_good_row_is_no_crash(tmp_path):
    recording = load([file(tmp_path, "a.csv", "time,a", "soon,1")], ONE, station="s")
    assert (recording.rows, recording.playlists, recording.seconds) == (1, {}, 0.0)


TIMES = st.lists(st.integers(0, 10**11), min_size=1, max_size=20, unique=True).map(sorted)


@given(TIMES, st.floats(1, 1e6), st.integers(10**12, 2 * 10**12))
def test_order_and_distances_are_kept_and_nothing_lies_in_the_future(times, speed, now):
    """At the moment when a row is handed over, what the agent is told has passed; the end falls on the end."""
    recording = Recording(0, {}, [], times[0], times[-1])
    timeline = Timeline(recording, speed=speed, now=now, monotonic=50.0)
    moved = [timeline.measured_at(at) for at in times]
    distances = [later - earlier for earlier, later in pairwise(times)]
    assert [later - earlier for earlier, later in pairwise(moved)] == distances
    for at in times:
        passed_ms = (timeline.due(at) - 50.0) * 1000
        assert timeline.measured_at(at) <= now + passed_ms + 1e-3
    end_ms = now + (timeline.due(times[-1]) - 50.0) * 1000
    assert end_ms - 2 <= timeline.measured_at(times[-1]) <= end_ms + 1e-3


@given(TIMES)
def test_as_fast_as_it_goes_ends_now(times):
    timeline = Timeline(Recording(0, {}, [], times[0], times[-1]), speed=0, now=10**12, monotonic=50.0)
    assert timeline.measured_at(times[-1]) == 10**12
    assert {timeline.due(at) for at in times} == {50.0}
