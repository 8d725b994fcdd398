"""What the fleet sends is SenML, by the cloud's decoder and by golden bytes."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fleet_acker import read_senml

from firmware_sim.fleet.pack import Pack, Series, payload
from sensing.quantity import QUANTITIES
from sensing.senml.decode import decode

PACK = Pack(
    "town/smoke",
    "5f3a",
    7,
    [
        Series("sds011", "pm10", [1541530800000, 1541530950123], [19.73, 25.4]),
        Series("room", "no2", [1541530800500], [12.0]),
    ],
)


def test_the_bytes_of_a_pack():
    """Golden: labels and spellings of RFC 8428, written down by hand; no unit where SenML has none of that size."""
    expected = (
        b'[{"bn":"town/smoke/","bt":1541530800.0,"hn_stream":"5f3a","hn_seq":7,"hn_base":3,"hn_accepted":40,'
        b'"bver":26,"hn_dropped":0,"hn_clock":"synced","hn_kind":"reading","n":"sds011/pm10","v":19.73,"u":"ug/m3"},'
        b'{"n":"sds011/pm10","v":25.4,"u":"ug/m3","t":150.123},{"n":"room/no2","v":12.0,"t":0.5}]'
    )
    assert payload(PACK, base=3, accepted=40) == expected
    assert zlib.decompress(payload(PACK, base=3, accepted=40, deflate=True)) == expected
    assert read_senml(payload(PACK, base=3, accepted=40, form="cbor")) == json.loads(expected)


def test_a_pack_without_secondary_units_has_the_usual_version():
    pack = Pack("town/a", "s", 1, [Series("gauge", "water_level", [1541530800000], [1.0])])
    assert b"bver" not in payload(pack, base=1, accepted=1)


TIMES = st.lists(st.integers(10**12, 4 * 10**12), min_size=1, max_size=8, unique=True).map(sorted)
VALUES = st.floats(allow_nan=False, allow_infinity=False)
SERIES = st.tuples(st.from_regex("[a-z0-9][a-z0-9-]{0,31}", fullmatch=True), st.sampled_from(sorted(QUANTITIES)))


@st.composite
def packs(draw):
    series = [
        Series(
            sensor, quantity, times := draw(TIMES), draw(st.lists(VALUES, min_size=len(times), max_size=len(times)))
        )
        for sensor, quantity in draw(st.lists(SERIES, min_size=1, max_size=4, unique=True))
    ]
    return Pack("town/x-1", "abc", draw(st.integers(1, 2**53)), series)


@given(packs(), st.sampled_from(["json", "cbor"]), st.booleans(), st.integers(0, 2**53))
def test_the_cloud_reads_what_the_fleet_wrote(pack, form, deflate, accepted):
    """Every key to the millisecond, every value bit for bit, the header whole."""
    body = payload(pack, base=pack.seq, accepted=accepted, form=form, deflate=deflate)
    found = decode(body, now_ms=0)
    header = found.header
    assert (header.stream, header.seq, header.base, header.accepted, header.dropped) == (
        *("abc", pack.seq, pack.seq, accepted),
        0,
    )
    assert (header.clock, header.kind) == ("synced", "reading")
    written = [
        (f"town/x-1/{series.sensor}/{series.quantity}", QUANTITIES[series.quantity].wire_unit or None, at, value)
        for series in pack.series
        for at, value in zip(series.times, series.values, strict=True)
    ]
    assert [(item.name, item.unit, item.measured_at, item.value) for item in found.records] == written
    assert [(key[0], key[3]) for key in pack.reading_keys()] == [("town/x-1", at) for _, _, at, _ in written]
    assert pack.count == len(written)


def test_a_pack_has_readings():
    with pytest.raises(IndexError):
        payload(Pack("town/a", "s", 1, []), base=1, accepted=0)
