"""Base fields, times, values, versions, and the reason and path of every refusal."""

import json
import zlib
from typing import Any

import cbor2
import pytest
from support.packs import NOW_MS

from hinomi.errors import Rejected
from sensing.observation import ClockQuality, Kind
from sensing.senml import Header, Item, decode

T = NOW_MS / 1000


def read(*records: dict[Any, Any], **limits: int) -> list[Item]:
    return decode(json.dumps(records).encode(), now_ms=NOW_MS, **limits).records


def read_cbor(*records: dict[Any, Any]) -> list[Item]:
    return decode(cbor2.dumps(list(records)), now_ms=NOW_MS).records


def refused(payload: bytes, **limits: int) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        decode(payload, now_ms=NOW_MS, **limits)
    return caught.value.reason, caught.value.detail


def refused_json(*records: Any) -> tuple[str, str]:
    return refused(json.dumps(records).encode())


def test_base_fields_hold_until_the_next_of_their_kind() -> None:
    got = read(
        {"bn": "a/", "bu": "m", "bt": T, "n": "x", "v": 1},
        {"n": "y", "u": "Cel", "t": 1, "v": 2},
        {"bn": "b/", "n": "x", "v": 3},
        {"bt": T + 60, "bu": "K", "n": "y", "t": -0.001, "v": 4},
    )
    assert got == [
        Item("a/x", "m", NOW_MS, 1.0),
        Item("a/y", "Cel", NOW_MS + 1000, 2.0),
        Item("b/x", "m", NOW_MS, 3.0),
        Item("b/y", "K", NOW_MS + 59_999, 4.0),
    ]


def test_base_value_and_base_sum_are_added() -> None:
    got = read({"bn": "a", "bt": T, "bv": 10, "bs": 100, "v": 1, "s": 5}, {"v": -2}, {"s": 7}, {"vs": "text"})
    assert got == [
        Item("a", None, NOW_MS, 11.0, sum=105.0),
        Item("a", None, NOW_MS, 8.0, sum=100.0),
        Item("a", None, NOW_MS, 10.0, sum=107.0),
        Item("a", None, NOW_MS, string="text", sum=100.0),
    ]


def test_a_record_of_base_fields_alone_is_no_record() -> None:
    assert read({"bn": "a/", "bt": T}, {"n": "x", "v": 1}) == [Item("a/x", None, NOW_MS, 1.0)]


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        (0, NOW_MS),
        (-5.5, NOW_MS - 5500),
        (12, NOW_MS + 12_000),
        (2**28 - 1, NOW_MS + (2**28 - 1) * 1000),
        (2**28, 2**28 * 1000),
        (1700000000.0004999, 1_700_000_000_000),
        (1700000000.0005001, 1_700_000_000_001),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        read,
        lambda record: read(record | {"l": "an unknown label takes the complete reading"}),
        lambda record: read_cbor({0: record["n"], 6: record["t"], 2: record["v"]}),
    ],
    ids=["fast", "complete", "cbor"],
)
def test_times_below_two_to_the_28th_are_relative(form: Any, seconds: float, at: int) -> None:
    assert form({"n": "a", "t": seconds, "v": 1})[0].measured_at == at


def test_all_types_of_values() -> None:
    got = read(
        {"bn": "a", "bt": T, "vs": "水位"}, {"vb": False}, {"vd": "-_8"}, {"vd": ""}, {"s": 4.5}, {"v": 1, "ut": 30}
    )
    assert got == [
        Item("a", None, NOW_MS, string="水位"),
        Item("a", None, NOW_MS, boolean=False),
        Item("a", None, NOW_MS, data=b"\xfb\xff"),
        Item("a", None, NOW_MS, data=b""),
        Item("a", None, NOW_MS, sum=4.5),
        Item("a", None, NOW_MS, 1.0, update=30.0),
    ]


def test_cbor_numbers_may_be_integers_halves_or_decimal_fractions() -> None:
    payload = bytes.fromhex("83a3 00 6161 06 1a65 53f100 02 1864a3 00 6162 06 1a6553f100 02 f93e00")
    payload += bytes.fromhex("a3 00 6163 06 1a6553f100 02 c4 82 21 196ab3")
    values = [item.value for item in decode(payload, now_ms=0).records]
    assert values == [100.0, 1.5, 273.15]


def test_unknown_labels_are_ignored() -> None:
    assert read({"n": "a", "t": T, "v": 1, "l": "link", "x": {"deep": [1, None]}}) == [Item("a", None, NOW_MS, 1.0)]
    assert read_cbor({0: "a", 6: T, 2: 1, "x": None}) == [Item("a", None, NOW_MS, 1.0)]


def test_known_versions_are_read() -> None:
    """Older ones, 10, and 26, which is 10 with the secondary units of RFC 8798 (RFC 9100)."""
    for version in (1, 5, 10, 26):
        assert read({"bver": version, "n": "a", "t": T, "v": 1})
        assert read_cbor({-1: version, 0: "a", 6: T, 2: 1})


def test_our_header_is_on_the_first_record() -> None:
    labels = {
        "hn_stream": "s-1",
        "hn_seq": 7,
        "hn_base": 2,
        "hn_accepted": 10,
        "hn_dropped": 0,
        "hn_clock": "synced",
        "hn_kind": "dropped",
    }
    header = Header("s-1", 7, 2, 10, 0, ClockQuality.SYNCED, Kind.DROPPED)
    assert decode(json.dumps([{"n": "a", "v": 1, **labels}]).encode(), now_ms=NOW_MS).header == header
    assert decode(cbor2.dumps([{0: "a", 2: 1, **labels}]), now_ms=NOW_MS).header == header
    assert decode(json.dumps([{"n": "a", "vs": "x", **labels}]).encode(), now_ms=NOW_MS).header == header
    assert decode(b'[{"n":"a","v":1}]', now_ms=NOW_MS).header is None


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("hn_stream", ""),
        ("hn_stream", "a b"),
        ("hn_stream", "x" * 65),
        ("hn_stream", "s\n"),
        ("hn_seq", 0),
        ("hn_seq", -1),
        ("hn_seq", 2**63),
        ("hn_seq", True),
        ("hn_seq", 1.5),
        ("hn_base", 0),
        ("hn_base", "1"),
        ("hn_accepted", -1),
        ("hn_dropped", None),
        ("hn_clock", "perhaps"),
        ("hn_kind", []),
    ],
)
@pytest.mark.parametrize("form", ["fast", "complete", "cbor"])
def test_a_wrong_header_names_its_label(label: str, value: Any, form: str) -> None:
    labels: dict[str, Any] = {"hn_stream": "s", "hn_seq": 7, "hn_base": 2, "hn_accepted": 10, "hn_dropped": 0}
    labels |= {"hn_clock": "synced", "hn_kind": "reading", label: value}
    records: list[dict[Any, Any]] = [{"n": "a", "t": T, "v": 1} | labels]
    if form == "cbor":
        payload = cbor2.dumps([{0: "a", 6: T, 2: 1} | labels])
    else:
        payload = json.dumps(records + ([{"vs": "slow"}] if form == "complete" else [])).encode()
    reason, detail = refused(payload)
    assert (reason, f"[0].{label}" in detail) == ("bad_field", True), detail


@pytest.mark.parametrize("label", ["hn_stream", "hn_seq", "hn_clock", "hn_kind"])
def test_half_a_header_is_refused(label: str) -> None:
    labels = {"hn_stream": "s", "hn_seq": 7, "hn_base": 2, "hn_accepted": 1, "hn_dropped": 0}
    labels |= {"hn_clock": "synced", "hn_kind": "reading"}
    del labels[label]
    assert refused_json({"n": "a", "t": T, "v": 1} | labels)[1].startswith(f"[0].{label} is nothing")


GOOD = {"n": "a", "t": T, "v": 1}


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"v": "1"}, "[1].v"),
        ({"v": None}, "[1].v"),
        ({"v": True}, "[1].v"),
        ({"v": [[[1]]]}, "[1].v"),
        ({"vs": 1}, "[1].vs"),
        ({"vb": 0}, "[1].vb"),
        ({"vd": "a+b/"}, "[1].vd"),
        ({"vd": "a"}, "[1].vd"),
        ({"vd": "YQ=="}, "[1].vd"),
        ({"vd": 5}, "[1].vd"),
        ({"v": 1, "s": {}}, "[1].s"),
        ({"v": 1, "t": "now"}, "[1].t"),
        ({"v": 1, "t": None}, "[1].t"),
        ({"v": 1, "t": 1e300}, "[1].t"),
        ({"v": 1, "t": -1e12}, "[1].t"),
        ({"v": 1, "ut": -1}, "[1].ut"),
        ({"v": 1, "ut": "soon"}, "[1].ut"),
        ({"v": 1, "u": 5}, "[1].u"),
        ({"v": 1, "u": None}, "[1].u"),
        ({"v": 1, "n": 5}, "[1].n"),
        ({"v": 1, "n": ""}, "[1].n"),
        ({"v": 1, "n": "a b"}, "[1].n"),
        ({"v": 1, "n": "/a"}, "[1].n"),
        ({"v": 1, "n": "水位"}, "[1].n"),
        ({"v": 1, "n": "a\n"}, "[1].n"),
        ({"v": 1, "bn": 5}, "[1].bn"),
        ({"v": 1, "bt": []}, "[1].bt"),
        ({"v": 1, "bu": False}, "[1].bu"),
        ({"v": 1, "bv": "x"}, "[1].bv"),
        ({"v": 1, "bs": "x"}, "[1].bs"),
        ({"v": 1, "bver": "10"}, "[1].bver"),
        ({"v": 1, "bver": 0}, "[1].bver"),
        ({"v": 1, "bver": 5.5}, "[1].bver"),
        ({"v": 1, "vs": "x"}, "[1] has more than one value: v, vs"),
        ({"vb": True, "vd": ""}, "[1] has more than one value: vb, vd"),
        ({"u": "m"}, "[1] has neither a value"),
        (5, "[1] is a number"),
        (None, "[1] is null"),
        ([], "[1] is an array"),
    ],
)
def test_a_bad_field_is_named_by_its_path(bad: Any, path: str) -> None:
    record = {"n": "b", **bad} if isinstance(bad, dict) else bad
    reason, detail = refused_json(GOOD, record)
    assert reason == "bad_field"
    assert detail.startswith(path), detail


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({2: "1"}, "[1].v"),
        ({2: True}, "[1].v"),
        ({2: None}, "[1].v"),
        ({2: 1, 1: None}, "[1].u"),
        ({2: 1, 6: None}, "[1].t"),
        ({3: b"octets"}, "[1].vs"),
        ({2: 1, 9: 0}, "[1] has a label"),
        ({2: 1, b"x": 0}, "[1] has a label"),
        ({2: 1, None: 0}, "[1] has a label"),
        ({2: 1, "v": 1}, "[1].v is there twice"),
        ({2: cbor2.CBORTag(4000, 1)}, "[1].v"),
        ({2: cbor2.CBORSimpleValue(99)}, "[1].v"),
        ({2: cbor2.undefined}, "[1].v"),
    ],
)
def test_a_bad_field_of_cbor_is_named_by_its_path(bad: dict[Any, Any], path: str) -> None:
    payload = cbor2.dumps([{0: "a", 6: T, 2: 1}, {0: "b", **bad}])
    reason, detail = refused(payload)
    assert (reason, detail.startswith(path)) == ("bad_field", True), detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400])
@pytest.mark.parametrize("label", ["v", "s", "t", "ut", "bt", "bv", "bs"])
def test_numbers_that_are_none_are_refused_with_their_path(number: str, label: str) -> None:
    payload = f'[{{"n":"a","v":1}},{{"n":"a","vs":"x","{label}":{number}}}]'
    if label == "v":
        payload = payload.replace('"vs":"x",', "")
    assert refused(payload.encode()) == ("not_finite", f"[1].{label} is not a finite number")


@pytest.mark.parametrize("bits", ["f97e00", "f97c00", "f9fc00", "fb7ff8000000000000", "fb7ff0000000000000"])
def test_numbers_that_are_none_are_refused_in_cbor(bits: str) -> None:
    assert refused(bytes.fromhex(f"81a2006161 02{bits}")) == ("not_finite", "[0].v is not a finite number")
    # A time that is no number must not become "now".
    assert refused(bytes.fromhex(f"81a3006161 0201 06{bits}")) == ("not_finite", "[0].t is not a finite number")


def test_a_sum_that_leaves_the_doubles_is_refused() -> None:
    assert refused_json({"n": "a", "bv": 1.7e308, "v": 1.7e308})[0] == "not_finite"
    assert refused_json({"n": "a", "bs": -1.7e308, "s": -1.7e308})[0] == "not_finite"


def test_labels_that_must_be_understood() -> None:
    for label in ("x_", "hn_new_", "_"):
        reason, detail = refused_json(GOOD, {"n": "a", "v": 1, label: 0})
        assert (reason, detail) == ("must_understand", f"[1].{label!r} must be understood and is not")
    escaped = b'[{"n":"a","v":1,"x\\u005f":0}]'
    assert refused(escaped)[0] == "must_understand"
    assert refused(cbor2.dumps([{0: "a", 2: 1, "x_": 0}]))[0] == "must_understand"


def test_versions_that_are_too_new_or_differ() -> None:
    for version in (11, 25, 27, 42, 10**30):
        assert refused_json({**GOOD, "bver": version})[0] == "must_understand"
    assert refused(cbor2.dumps([{-1: 42, 0: "a", 2: 1}]))[0] == "must_understand"
    reason, detail = refused_json({**GOOD, "bver": 10}, {**GOOD, "bver": 5})
    assert (reason, detail) == ("bad_field", "[1].bver differs from the version before, 10")


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b" [ ] ", b"\x80", b"\x9f\xff", zlib.compress(b""), b'[{"bn":"a"}]']
)
def test_empty(payload: bytes) -> None:
    assert refused(payload)[0] == "empty"


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"null",
        b"[",
        b'[{"n":"a","v":1}',
        b'[{"n":"a","v":1}] x',
        b'[{"n":"a","v":1,}]',
        b'[{"n":"a","v":01}]',
        b"\xef\xbb\xbf[]",
        b'[{"n":"\xff","v":1}]',
        '[{"n":"a","v":1}]'.encode("utf-16-le"),
        b"\x00",
        b"\xa0",
        b"\x81",
        b"\x81\xa1\x00",
        b"\x81\xa2\x00\x61a\x02\x01\x00",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\xa2\x00\x61\xff\x02\x01",
        b"\x81\xa3\x00\x61a\x02\x01\x02\x01",
        b"\x78",
        b"\x78\x9cgarbage",
        zlib.compress(b"[]")[:-1],
        zlib.compress(b"[]") + b"x",
        zlib.compress(b"plain text"),
    ],
)
def test_malformed(payload: bytes) -> None:
    assert refused(payload)[0] == "malformed"


def test_half_a_character_is_refused() -> None:
    reason, detail = refused(b'[{"n":"a","vs":"\\ud800"}]')
    assert (reason, detail.split(" ")[0]) == ("bad_field", "[0].vs")


@pytest.mark.parametrize(
    "tag",
    [
        "c074323031332d30332d32315432303a30343a30305a",  # a date
        "c11a514b67b0",  # seconds
        "c249010000000000000000",  # a large integer
        "c5822003",  # a binary fraction
        "d8236128",  # a regular expression, and a wrong one
        "d81c81d81d00",  # a list that holds itself
        "d9010281 01",  # a set
        "d82550" + "00" * 16,  # a UUID
        "d82441 61",  # a MIME message
    ],
)
def test_no_tag_of_a_stranger_is_followed(tag: str) -> None:
    """cbor2 would build dates, patterns, messages and recursive lists from these."""
    assert refused(bytes.fromhex(f"81a2006161 02{tag}"))[0] == "malformed"


def test_oversized() -> None:
    payload = b'[{"n":"a","v":1}' + b" " * 262_144 + b"]"
    assert refused(payload)[0] == "oversized"
    assert refused(b'[{"n":"a","v":1}]', max_bytes=10)[0] == "oversized"
    assert decode(b'[{"n":"a","v":1}]', now_ms=NOW_MS, max_bytes=17)


@pytest.mark.parametrize("encoded", [json.dumps([GOOD] * 3).encode(), cbor2.dumps([{0: "a", 2: 1}] * 3)])
def test_too_many_records(encoded: bytes) -> None:
    assert refused(encoded, max_records=2) == ("oversized", "3 records, at most 2")
    assert len(decode(encoded, now_ms=NOW_MS, max_records=3).records) == 3


def test_a_bomb_is_not_inflated() -> None:
    """200 MB of blanks are 200 kB on the wire."""
    bomb = zlib.compress(b" " * 200_000_000, 9)
    assert len(bomb) < 262_144
    assert refused(bomb)[0] == "bomb"
    small = zlib.compress(b'[{"n":"a","v":1}]' + b" " * 100)
    assert refused(small, max_inflated=116)[0] == "bomb"
    assert decode(small, now_ms=NOW_MS, max_inflated=117)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 200_000,
        b'[{"n":"a","v":1,"x":' + b"[" * 200_000,
        b'[{"n":"a","v":' + b'{"v":' * 40_000,
        b"\x81" * 200_000,
        b"\x81\xa3\x00\x61a\x02\x01\x61x" + b"\x81" * 200_000 + b"\x00",
        b"\x9f" * 200_000,
        b"\x81" + b"\xa1\x00" * 100_000,
        b"\x81" + b"\xc4" * 200_000,
        b"\x81" + b"\xd9\x0f\xa0" * 80_000,
    ],
)
def test_too_deep(payload: bytes) -> None:
    assert refused(payload)[0] == "too_deep"
    assert refused(zlib.compress(payload))[0] == "too_deep"
