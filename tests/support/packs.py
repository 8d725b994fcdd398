"""Packs for tests: strategies for what is valid, and the two readings of the decoder side by side."""

from typing import Any

from hypothesis import strategies as st

from hinomi.errors import Rejected
from sensing.observation import ClockQuality, Kind
from sensing.senml import Header, Item, Pack
from sensing.senml.complete import resolve
from sensing.senml.decode import _cbor, _json

NOW_MS = 1_700_000_000_000
EARLIEST_MS = 268_435_457_000
LATEST_MS = 253_402_300_799_999

_FIRST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

names = st.builds(str.__add__, st.sampled_from(_FIRST), st.text(_FIRST + "-:./_", max_size=24)) | st.sampled_from(
    ["town/bridge/air/pm2_5", "town/bridge/air/pm10", "town/bridge/gauge/water_level"]
)
finite = st.floats(allow_nan=False, allow_infinity=False)
times_ms = st.integers(EARLIEST_MS, LATEST_MS) | st.integers(NOW_MS - 10**7, NOW_MS + 10**7)
units = st.none() | st.sampled_from(["Cel", "%RH", "hPa", "ug/m3", "m", "/"]) | st.text(max_size=8)

headers = st.builds(
    Header,
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.sampled_from(ClockQuality),
    st.sampled_from(Kind),
)


@st.composite
def items(draw: st.DrawFn) -> Item:
    kind = draw(st.sampled_from(["value", "string", "boolean", "data", "sum"]))
    content = {
        "value": finite,
        "string": st.text(max_size=20),
        "boolean": st.booleans(),
        "data": st.binary(max_size=20),
        "sum": finite,
    }
    fields: dict[str, Any] = {kind: draw(content[kind])}
    if kind != "sum" and draw(st.booleans()):
        fields["sum"] = draw(finite)
    if draw(st.booleans()):
        fields["update"] = draw(st.floats(0, 1e6))
    return Item(draw(names), draw(units), draw(times_ms), **fields)


readings = st.builds(Item, names, units, times_ms, finite)
packs = st.builds(Pack, st.none() | headers, st.lists(items() | readings, min_size=1, max_size=12))


def complete(payload: bytes, now_ms: int = NOW_MS) -> Pack | str:
    """What the complete reading alone says: the pack, or the reason of its refusal."""
    try:
        records = _json(payload) if payload[0] in b"[ \t\r\n" else _cbor(payload)
        return resolve(records, now_ms=now_ms, max_records=10_000)
    except Rejected as error:
        return error.reason
