"""Whatever comes, the decoder gives a pack or a Rejected, and its two readings say the same."""

import json
import random
import zlib
from typing import Any

import cbor2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.packs import NOW_MS, complete, packs

from hinomi.errors import Rejected
from sensing.senml import Pack, decode, encode
from sensing.senml.labels import CBOR_LABELS, HEADER_LABELS

REASONS = {"empty", "oversized", "malformed", "bad_field", "must_understand", "bomb", "too_deep", "not_finite"}


def outcome(payload: bytes) -> Pack | str:
    """The pack or the reason; anything but Rejected fails the test by itself."""
    try:
        return decode(payload, now_ms=NOW_MS)
    except Rejected as error:
        refusal = error
    assert refusal.reason in REASONS
    assert 0 < len(refusal.detail) < 500
    return refusal.reason


@given(st.binary(max_size=200))
@example(b"\x81\xd8\x1c\x81\xd8\x1d\x00")
@example(b"\x81\xa1\xc4\x82\x00\x00\x00")
def test_any_bytes(payload: bytes) -> None:
    outcome(payload)


@given(st.sampled_from([b"\x81", b"\x82\xa2", b"\x9f\xbf", b"[", b'[{"', b"\x78\x9c"]), st.binary(max_size=60))
def test_any_bytes_behind_a_plausible_beginning(start: bytes, rest: bytes) -> None:
    outcome(start + rest)


@given(packs, st.sampled_from(["json", "cbor"]), st.booleans(), st.randoms(use_true_random=False))
def test_good_packs_with_damage(pack: Pack, form: str, deflate: bool, rng: random.Random) -> None:
    """Flipped, cut, doubled, inserted bytes."""
    payload = bytearray(encode(pack, form=form, deflate=deflate))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(payload) + 1)
        action = rng.randrange(4)
        if action == 0 and at < len(payload):
            payload[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            del payload[at : at + rng.randint(1, 8)]
        elif action == 2:
            payload[at:at] = payload[at : at + rng.randint(1, 8)]
        else:
            payload[at:at] = rng.randbytes(rng.randint(1, 4))
    outcome(bytes(payload))


labels = st.sampled_from([*CBOR_LABELS, *HEADER_LABELS]) | st.text(max_size=4) | st.sampled_from(["x_", "l"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["a", "town/b/", "synced", "reading", "Cel", 10, 26, 1.7e9, 0, 1])
)
json_values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=2), scalars, max_size=2)
plain = {
    "n": st.sampled_from(["a", "b/c", "a b", ""]),
    "u": st.sampled_from(["Cel", ""]),
    "v": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
    "t": st.sampled_from([0, -1.5, 10, 1.7e9, 1_700_000_000]),
    "bn": st.sampled_from(["a", "town/b/", ""]),
    "bt": st.sampled_from([1.7e9, 0, 1_700_000_000]),
    "bu": st.sampled_from(["m", ""]),
    "bver": st.sampled_from([10, 5, 26, 11, 10.0]),
}
nearly_good = st.fixed_dictionaries({"v": plain.pop("v")}, optional=plain)
records = st.lists(st.dictionaries(labels, json_values, max_size=5) | nearly_good, max_size=4)


@settings(max_examples=300)
@given(records)
@example([{"n": "a", "v": 1, "t": 1.7e9, "bver": 10.0}])
@example([{"n": "a", "v": 1, "t": 1.7e9}, {"v": 1, "bver": 10}])
@example([{"n": "a", "v": 10**25, "t": 1.7e9}])
@example([{"n": "a", "v": 1, "t": 1.7e9, "u": None}])
@example([{"n": "a", "v": 1, "bt": 1e307, "t": -1e307}])
def test_both_readings_of_json_agree(value: list[Any]) -> None:
    payload = json.dumps(value).encode()
    got = outcome(payload)
    assert got == complete(payload)
    assert outcome(zlib.compress(payload)) == got


cbor_values = json_values | st.binary(max_size=4) | st.decimals(allow_nan=False, allow_infinity=False, places=2)
cbor_labels = labels | st.sampled_from([*CBOR_LABELS.values(), 9, -7]) | st.booleans()
numbered = nearly_good.map(lambda record: {CBOR_LABELS[label]: value for label, value in record.items()})
maps = st.lists(st.dictionaries(cbor_labels, cbor_values, max_size=5) | numbered, max_size=4)


@settings(max_examples=300)
@given(maps)
@example([{0: "a", 2: 1, 6: 1.7e9, 1: None}])
@example([{0: "a", 2: 2**53 + 1, 6: 1_700_000_000}])
@example([{0: "a", 2: 1, 6: 1.7e9, -4: None}])
@example([{0: "a", 2: 1, 6: 1.7e9, -1: True}])
@example([{0: "a", 2: 1, 6: 1.7e9}, {-2: "b", 2: 1}])
@example([{0: "a", 2: 1, 6: 1.7e9, True: "m"}])
def test_both_readings_of_cbor_agree(value: list[Any]) -> None:
    payload = cbor2.dumps(value)
    assert outcome(payload) == complete(payload)


@given(records)
def test_json_and_cbor_of_the_same_records_agree(value: list[Any]) -> None:
    """Except for octets, which each form writes in its own way, and doubled labels, which JSON hides."""
    for record in value:
        record.pop("vd", None)
    got = outcome(json.dumps(value).encode())
    assert outcome(cbor2.dumps(value)) == got
