"""The times that recordings are written in."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.signals.times import Times
from hinomi.errors import Rejected


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2018-06-01 04:00:00+00:00", "2018-06-01T04:00:00+00:00"),
        ("2018-11-04T00:00:54", "2018-11-04T00:00:54+00:00"),
        ("2013-07-01T04:00:00Z", "2013-07-01T04:00:00+00:00"),
        ("2019/7/1 1:00", "2019-07-01T01:00:00+00:00"),
        ("2019/7/31 24:00", "2019-08-01T00:00:00+00:00"),
        ("2019/12/31 24:00:00", "2020-01-01T00:00:00+00:00"),
        ("2020/2/28 24", "2020-02-29T00:00:00+00:00"),
        ("2019年7月1日 9時5分", "2019-07-01T09:05:00+00:00"),
        ("2019年7月1日 24時", "2019-07-02T00:00:00+00:00"),
        ("２０１９/７/１ ９:００", "2019-07-01T09:00:00+00:00"),
        ("2019-07-01", "2019-07-01T00:00:00+00:00"),
        ("20190701", "2019-07-01T00:00:00+00:00"),
        ("201907010930", "2019-07-01T09:30:00+00:00"),
        ("20190701 093001", "2019-07-01T09:30:01+00:00"),
        ("2019-07-01T09:30:01.2345+0900", "2019-07-01T09:30:01.234+09:00"),
        ("2019-07-01 09:30:01.9996 -03:30", "2019-07-01T09:30:02-03:30"),
        ("1561939200", "2019-07-01T00:00:00+00:00"),
        ("1561939200.5", "2019-07-01T00:00:00.5+00:00"),
        ("1561939200123", "2019-07-01T00:00:00.123+00:00"),
    ],
)
def test_the_usual_forms_are_read(text, iso):
    assert Times().read(text) == ms(iso)


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "noon", "12", "7/1/2019 09:00", "2019-13-01", "2019-02-29 10:00", "9999-12-31 24:00"),
        *("2019-07-01 25:00", "2019-07-01 24:01", "2019-07-01 23:60", "2019-07-01 09:00 PM"),
        "2019-07-01T09:00+99:00",
    ],
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Rejected) as caught:
        Times().read(text)
    assert caught.value.reason == "bad_time"


def test_a_pattern_reads_other_forms_and_still_24_00():
    times = Times("Asia/Tokyo", "%m/%d/%Y %H:%M")
    assert times.read("07/24/2019 09:30") == ms("2019-07-24T09:30:00+09:00")
    assert times.read("07/24/2019 24:00") == ms("2019-07-25T00:00:00+09:00")
    with pytest.raises(Rejected):
        times.read("2019-07-24 09:30")


def test_the_hour_that_happens_twice_is_read_in_order():
    """The night when summer time ends: 01:30 comes, and an hour later it comes again."""
    times = Times("Europe/London")
    written = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    last, read = None, []
    for clock in written:
        last = times.read(f"2018-10-28 {clock}", after=last)
        read.append(last)
    assert [later - earlier for earlier, later in pairwise(read)] == [1_800_000] * 5
    assert read[0] == ms("2018-10-28T00:30:00+01:00")


def test_an_hour_that_never_was_is_refused():
    with pytest.raises(Rejected) as caught:
        Times("Europe/London").read("2018-03-25 01:30")
    assert caught.value.reason == "nonexistent_time"


ZONES = st.sampled_from(["UTC", "Asia/Tokyo", "Europe/London", "America/New_York", "Australia/Lord_Howe"])
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)).map(  # noqa: DTZ001 - a zone is added
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)


@given(MOMENTS, ZONES, st.sampled_from(["%Y-%m-%d %H:%M:%S.%f", "%Y/%m/%dT%H:%M:%S.%f"]))
def test_any_moment_written_in_any_zone_is_read_back(moment, zone, form):
    """Also within the hour that happens twice, when the row before stands just before it."""
    local = moment.astimezone(ZoneInfo(zone))
    at = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert Times(zone).read(local.strftime(form), after=at - 1) == at


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_an_offset_of_its_own_counts_more_than_the_zone(moment, minutes):
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    at = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert Times("Asia/Tokyo").read(local.isoformat(sep=" ")) == at


@given(st.dates(datetime(1971, 1, 1).date(), datetime(2037, 1, 1).date()))  # noqa: DTZ001 - only its date
def test_24_00_is_the_next_days_beginning(day):
    times = Times("Asia/Tokyo")
    tomorrow = day + timedelta(days=1)
    assert times.read(f"{day.year}/{day.month}/{day.day} 24:00") == times.read(f"{tomorrow} 00:00")


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_is_refused(text):
    """Nothing else is ever raised."""
    with suppress(Rejected):
        assert isinstance(Times("Europe/London").read(text), int)
