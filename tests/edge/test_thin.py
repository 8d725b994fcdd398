"""Making room near the cap: fresh detail stays, old detail becomes means, everything given up is counted."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.journals import counters, everything, open_sqlite

from edge import body
from edge.body import LABELS, Body
from edge.thin import AIM, BEGIN, Thinner
from edge.windows import aggregate, merged
from hinomi.errors import Transient
from hinomi.journal.protocol import Entry
from hinomi.journal.sqlite import SqliteJournal
from sensing.observation import Kind, Reading
from sensing.quantity import QUANTITIES

START = 1_800_000_000_000
CAP = 120_000
QUANTITIES_HERE = ("water_level", "temperature", "humidity", "rain_increment", "wind_direction")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = open_sqlite(tmp_path / "edge.db", cap_bytes=CAP)
    yield journal
    journal.close()


def pack(number: int, *, every_s: int = 5, readings: int = 5, setting: int = 1) -> Body:
    """What five seconds of five sensors give."""
    start = START + number * every_s * 1000
    return Body(
        setting,
        0,
        [
            Reading("gauge", quantity, start + step * 1000, round(10 + math.sin((number + step) / 50) + index, 2))
            for index, quantity in enumerate(QUANTITIES_HERE)
            for step in range(readings)
        ],
    )


def entry(pack: Body, kind: Kind = Kind.READING) -> Entry:
    return Entry(body.encode(pack), len(pack.readings), LABELS[kind])


def fill(journal: SqliteJournal, share: float, *, first: int = 0, kind: Kind = Kind.READING) -> int:
    """Append packs until ``share`` of the cap is used; returns the number of the next pack."""
    number = first
    while journal.stats().bytes < share * CAP:
        group = [entry(pack(number + index), kind) for index in range(20)]
        try:
            journal.append(group)
        except Transient:
            break
        number += len(group)
    return number


def thin(journal: SqliteJournal, thinner: Thinner) -> int:
    steps = 0
    while thinner.step(journal):
        steps += 1
        assert steps < 10_000, "it must come to an end"
    return steps


def levels(journal: SqliteJournal) -> list[int]:
    """Of the packs that are left, oldest first."""
    return [body.setting_and_level(record.body)[1] for record in everything(journal) if not record.tombstone]


def test_nothing_happens_below_the_mark(journal: SqliteJournal) -> None:
    fill(journal, BEGIN - 0.05)
    before = everything(journal)
    assert thin(journal, Thinner(CAP)) == 0
    assert everything(journal) == before


def test_room_is_made_at_the_old_end_and_the_new_half_keeps_its_detail(journal: SqliteJournal) -> None:
    fill(journal, BEGIN + 0.01)
    before = counters(journal)
    thin(journal, Thinner(CAP))
    after = counters(journal)
    assert after.bytes <= AIM * CAP
    assert after.accepted_readings == before.accepted_readings
    assert after.dropped_readings > 0
    left = levels(journal)
    assert left == sorted(left, reverse=True), "coarse before fine"
    assert left[0] == 1
    assert left[-1] == 0
    detail = sum(len(record.body) for record in everything(journal)[-left.count(0) :])
    assert detail >= 0.4 * CAP


def test_a_station_without_network_for_long_keeps_hours_minutes_and_detail(tmp_path: Path) -> None:
    """Thirty times what fits: every level is there, the oldest is gone, each reading is accounted for."""
    cap = 30_000
    journal = open_sqlite(tmp_path / "edge.db", cap_bytes=cap)
    thinner = Thinner(cap)
    number = 0
    while number < 14_000:
        with contextlib.suppress(Transient):
            journal.append([entry(pack(number + index)) for index in range(20)])
            number += 20
        thin(journal, thinner)
    stats = counters(journal)
    assert stats.accepted_readings == number * 25
    assert set(levels(journal)) == {0, 1, 2, 3}
    kept = [
        reading for record in everything(journal) if record.body for reading in body.decode(record.body).readings
    ]
    assert stats.pending_readings == len(kept)
    assert len({(reading.quantity, reading.measured_at) for reading in kept}) == len(kept)
    newest = max(reading.measured_at for reading in kept)
    assert newest == START + (number - 1) * 5000 + 4000
    times = [reading.measured_at for reading in kept if reading.quantity == "water_level"]
    assert times == sorted(times)
    assert everything(journal)[0].tombstone
    journal.close()


def test_a_restart_finds_the_zones_again(journal: SqliteJournal) -> None:
    number = fill(journal, 0.95)
    thin(journal, Thinner(CAP))
    number = fill(journal, 0.95, first=number)
    twin = Thinner(CAP)
    thin(journal, twin)
    left = levels(journal)
    assert left == sorted(left, reverse=True)
    assert journal.stats().bytes <= AIM * CAP


def test_values_are_those_of_the_windows(journal: SqliteJournal) -> None:
    number = fill(journal, BEGIN + 0.01)
    truth: dict[tuple[str, int], list[float]] = {}
    for index in range(number):
        for reading in pack(index).readings:
            truth.setdefault((reading.quantity, reading.measured_at // 60_000), []).append(reading.value)
    thin(journal, Thinner(CAP))
    means = [
        reading
        for record in everything(journal)
        if record.body
        for pack_ in [body.decode(record.body)]
        if pack_.level == 1
        for reading in pack_.readings
    ]
    whole = [reading for reading in means if reading.measured_at > means[0].measured_at + 60_000]
    whole = [reading for reading in whole if reading.measured_at < means[-1].measured_at - 60_000]
    assert len(whole) >= 25
    for reading in whole:
        values = truth[reading.quantity, reading.measured_at // 60_000]
        expected = aggregate(values, QUANTITIES[reading.quantity].aggregate)
        assert reading.value == pytest.approx(expected, abs=QUANTITIES[reading.quantity].resolution)


def test_what_was_sent_and_what_the_station_judged_is_left_alone(journal: SqliteJournal) -> None:
    number = fill(journal, 0.3)
    sent = [record for record in everything(journal) if record.seq % 3 == 0]
    journal.mark_sent([record.seq for record in sent])
    events = [entry(pack(number + index), Kind.EVENT) for index in range(50)]
    numbers = journal.append(events)
    fill(journal, 0.95, first=number + 50)
    thin(journal, Thinner(CAP))
    after = {record.seq: record for record in everything(journal)}
    assert journal.stats().bytes <= AIM * CAP
    assert all(after[record.seq].body == record.body for record in sent)
    assert all(after[seq].body == event.body for seq, event in zip(numbers, events, strict=True))


def test_when_everything_was_sent_there_is_nothing_to_thin(journal: SqliteJournal) -> None:
    fill(journal, 0.97)
    journal.mark_sent(record.seq for record in everything(journal))
    before = everything(journal)
    thin(journal, Thinner(CAP))
    assert everything(journal) == before


def test_a_new_stream_is_looked_through_again(journal: SqliteJournal) -> None:
    thinner = Thinner(CAP)
    number = fill(journal, 0.95)
    thin(journal, thinner)
    journal.renew("test")
    fill(journal, 0.97, first=number)
    thin(journal, thinner)
    left = levels(journal)
    assert left == sorted(left, reverse=True)
    assert journal.stats().bytes <= AIM * CAP


def test_packs_of_different_settings_and_kinds_are_not_mixed(journal: SqliteJournal) -> None:
    number = 0
    while journal.stats().bytes < 0.95 * CAP:
        numbers = range(number, number + 24)
        kinds = [Kind.MAINTENANCE if index % 4 == 0 else Kind.READING for index in numbers]
        journal.append([entry(pack(i, setting=i % 3), kind) for i, kind in zip(numbers, kinds, strict=True)])
        number += 24
    thin(journal, Thinner(CAP))
    assert journal.stats().bytes <= AIM * CAP
    for record in everything(journal):
        if record.body:
            pack_ = body.decode(record.body)
            numbers = {(reading.measured_at - START) // 5000 for reading in pack_.readings}
            assert {number % 3 for number in numbers} == {pack_.setting}
            assert {number % 4 == 0 for number in numbers} == {record.kind == LABELS[Kind.MAINTENANCE]}


@pytest.mark.parametrize(
    ("how", "values", "expected"),
    [
        ("mean", [1.0, 2.0, 6.0], 3.0),
        ("sum", [0.2, 0.2, 0.2], 0.6),
        ("max", [1.0, 5.0, 2.0], 5.0),
        ("last", [5.0, 1.0], 1.0),
        ("vector_mean", [350.0, 10.0], 0.0),
        ("vector_mean", [80.0, 100.0], 90.0),
    ],
)
def test_aggregates(how: str, values: list[float], expected: float) -> None:
    result = aggregate(values, how)  # type: ignore[arg-type]
    assert min(abs(result - expected), abs(result - expected - 360)) < 1e-9


READINGS = st.builds(
    Reading,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["temperature", "rain_increment", "wind_direction", "pm2_5", "not-in-the-table"]),
    st.integers(START, START + 60_000),
    st.floats(-1e6, 1e6),
)


@given(st.lists(READINGS, min_size=1, max_size=30))
def test_merging_keeps_each_datastream_and_uses_a_time_that_was_there(readings: list[Reading]) -> None:
    result = merged(readings)
    assert {(one.sensor, one.quantity) for one in result} == {(one.sensor, one.quantity) for one in readings}
    assert len(result) == len({(one.sensor, one.quantity) for one in readings})
    times = {(one.sensor, one.quantity, one.measured_at) for one in readings}
    assert all((one.sensor, one.quantity, one.measured_at) in times for one in result)


@given(st.integers(0, 100_000), st.integers(0, 3), st.lists(READINGS, min_size=1, max_size=5))
def test_a_body_gives_back_what_went_in(setting: int, level: int, readings: list[Reading]) -> None:
    data = body.encode(Body(setting, level, readings))
    assert body.setting_and_level(data) == (setting, level)
    assert sorted(map(repr, body.decode(data).readings)) == sorted(map(repr, readings))
