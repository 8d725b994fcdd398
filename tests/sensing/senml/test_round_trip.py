"""What is encoded is decoded again, in every form."""

import json
import math

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packs import EARLIEST_MS, NOW_MS, complete, finite, names, packs, times_ms

from hinomi.errors import Rejected
from sensing.observation import ClockQuality, Kind
from sensing.senml import Header, Item, Pack, decode, encode

HEADER = Header("c0ffee", 7, 3, 1200, 4, ClockQuality.HOLDOVER, Kind.READING)
READINGS = [
    Item("town/bridge/air/pm2_5", "ug/m3", NOW_MS, 12.3),
    Item("town/bridge/gauge/water_level", "m", NOW_MS + 250, 1.234),
]


@given(pack=packs, form=st.sampled_from(["json", "cbor"]), deflate=st.booleans())
def test_a_pack_comes_back_as_it_was(pack: Pack, form: str, deflate: bool) -> None:
    """Every type of value, header or not, to the last bit and millisecond."""
    assert decode(encode(pack, form=form, deflate=deflate), now_ms=0) == pack


@given(pack=packs, form=st.sampled_from(["json", "cbor"]))
def test_both_readings_agree_on_what_we_send(pack: Pack, form: str) -> None:
    assert complete(encode(pack, form=form)) == pack


@given(base=times_ms, distance=st.integers(-(10**9), 10**9), name=names, value=finite)
def test_a_time_under_any_base_time_is_the_same_millisecond(
    base: int, distance: int, name: str, value: float
) -> None:
    """Doubles differ in nanoseconds when a base time is taken off and added again; milliseconds must not."""
    at = min(max(base + distance, EARLIEST_MS), 253_402_300_799_999)
    record = {"bn": name, "bt": base / 1000, "t": (at - base) / 1000, "v": value}
    assert decode(json.dumps([record]).encode(), now_ms=0).records == [Item(name, None, at, value)]
    plain = {"n": name, "t": at / 1000, "v": value}
    assert decode(json.dumps([plain]).encode(), now_ms=0).records == [Item(name, None, at, value)]


def test_the_wire_is_compact_and_says_what_it_is() -> None:
    """Base name, base time and our labels on the first record alone; units of RFC 8798 are told by version 26."""
    records = json.loads(encode(Pack(HEADER, READINGS)))
    assert records == [
        {
            "bver": 26,
            "bn": "town/bridge/",
            "bt": NOW_MS / 1000,
            "hn_stream": "c0ffee",
            "hn_seq": 7,
            "hn_base": 3,
            "hn_accepted": 1200,
            "hn_dropped": 4,
            "hn_clock": "holdover",
            "hn_kind": "reading",
            "n": "air/pm2_5",
            "u": "ug/m3",
            "v": 12.3,
        },
        {"n": "gauge/water_level", "u": "m", "t": 0.25, "v": 1.234},
    ]


def test_primary_units_need_no_version() -> None:
    assert "bver" not in json.loads(encode(Pack(None, READINGS[1:])))[0]


def test_cbor_has_integer_labels_and_our_own_as_text() -> None:
    first, second = cbor2.loads(encode(Pack(HEADER, READINGS), form="cbor"))
    assert first[-2] == "town/bridge/"
    assert first["hn_kind"] == "reading"
    assert second == {0: "gauge/water_level", 1: "m", 6: 0.25, 2: 1.234}


def test_deflate_is_told_by_its_first_byte() -> None:
    assert encode(Pack(HEADER, READINGS), deflate=True)[0] == 0x78


def test_a_clock_of_1970_is_refused_instead_of_becoming_the_future() -> None:
    """SenML takes seconds below 2**28 for relative ones."""
    with pytest.raises(Rejected) as caught:
        encode(Pack(None, [Item("a", None, EARLIEST_MS - 1, 1.0)]))
    assert caught.value.reason == "bad_field"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["value", "sum", "update"])
@pytest.mark.parametrize("form", ["json", "cbor"])
def test_a_number_that_is_none_is_not_sent(number: float, field: str, form: str) -> None:
    """JSON would say null instead, and the cloud could only refuse the pack."""
    with pytest.raises(Rejected) as caught:
        encode(Pack(None, [Item("a", None, NOW_MS, **{field: number})]), form=form)
    assert caught.value.reason == "not_finite"


def test_a_pack_without_records_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        encode(Pack(HEADER, []))
    assert caught.value.reason == "empty"
