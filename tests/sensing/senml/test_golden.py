"""The examples of RFC 8428 mean what the RFC says they mean."""

import json
from pathlib import Path

import pytest

from sensing.senml import Item, Pack, decode, encode

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = sorted(path.name.removesuffix(".expected.json") for path in GOLDEN.glob("*.expected.json"))


def expected(name: str) -> tuple[int, Pack]:
    told = json.loads((GOLDEN / f"{name}.expected.json").read_text())
    records = []
    for label, unit, at, value in told["records"]:
        if "data" in value:
            value["data"] = value["data"].encode()
        records.append(Item(label, unit, at, **value))
    return told["now_ms"], Pack(None, records)


def test_all_examples_are_here() -> None:
    assert len(EXAMPLES) == 9


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_resolves_as_the_rfc_tells(name: str) -> None:
    now_ms, pack = expected(name)
    assert decode((GOLDEN / f"{name}.json").read_bytes(), now_ms=now_ms) == pack


def test_the_resolved_form_of_the_rfc_is_ours() -> None:
    """Section 5.1.4 is 5.1.3 with every base field applied."""
    plain = decode((GOLDEN / "5.1.3-measurements.json").read_bytes(), now_ms=0)
    assert plain == decode((GOLDEN / "5.1.4-resolved.json").read_bytes(), now_ms=0)
    assert len(plain.records) == 13


def test_cbor_and_json_say_the_same() -> None:
    """Section 6 is the second example of 5.1.2 in CBOR."""
    cbor = bytes.fromhex((GOLDEN / "6-cbor.hex").read_text())
    assert len(cbor) == 0xC3
    assert decode(cbor, now_ms=0) == expected("5.1.2-times")[1]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("deflate", [False, True])
def test_an_example_survives_our_encoder(name: str, form: str, deflate: bool) -> None:
    pack = expected(name)[1]
    assert decode(encode(pack, form=form, deflate=deflate), now_ms=0) == pack
