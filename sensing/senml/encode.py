"""From a pack to bytes: base name, base time and header on the first record, times relative to it."""

import base64
import math
import zlib
from collections.abc import Callable
from typing import Any, Literal

import cbor2
import msgspec

from hinomi.errors import Rejected
from sensing.senml.labels import CBOR_LABELS, LATEST_MS, RELATIVE_BELOW_S, VERSION_SECONDARY_UNITS
from sensing.senml.pack import Header, Item, Pack
from sensing.units import SENML_SECONDARY

Form = Literal["json", "cbor"]

# A second more than SenML asks for, so that no base time can round a time down to a relative one.
_EARLIEST_MS = round(RELATIVE_BELOW_S * 1000) + 1000


def encode(pack: Pack, *, form: Form = "json", deflate: bool = False) -> bytes:
    """Encode a pack so that ``decode`` gives it back.

    Args:
        pack: at least one record.
        form: application/senml+json or application/senml+cbor.
        deflate: wrap it in zlib.

    Raises:
        Rejected: ``empty``; ``bad_field`` for a time before July 1978, which SenML would take for a relative one;
            ``not_finite`` for a number that no form of SenML can carry.
    """
    if not pack.records:
        raise Rejected("empty", "a pack needs a record")
    if form == "json":
        payload = msgspec.json.encode(_records(pack, _base64url))
    else:
        payload = cbor2.dumps([_numbered(record) for record in _records(pack, bytes)])
    return zlib.compress(payload) if deflate else payload


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _numbered(record: dict[str, Any]) -> dict[str | int, Any]:
    return {CBOR_LABELS.get(label, label): value for label, value in record.items()}


def _records(pack: Pack, octets: Callable[[bytes], str | bytes]) -> list[dict[str, Any]]:
    items = pack.records
    base_name = _base_name(items)
    base_ms = items[0].measured_at
    first: dict[str, Any] = {}
    if any(item.unit in SENML_SECONDARY for item in items):
        first["bver"] = VERSION_SECONDARY_UNITS
    if base_name:
        first["bn"] = base_name
    first["bt"] = base_ms / 1000
    if pack.header is not None:
        first |= _labels(pack.header)
    records = [_record(item, len(base_name), base_ms, octets) for item in items]
    records[0] = first | records[0]
    return records


def _base_name(items: list[Item]) -> str:
    """The longest beginning that all names share, up to a slash."""
    low, high = min(item.name for item in items), max(item.name for item in items)
    shared = 0
    while shared < len(low) and low[shared] == high[shared]:
        shared += 1
    return low[: low.rfind("/", 0, shared) + 1]


def _labels(header: Header) -> dict[str, Any]:
    return {
        "hn_stream": header.stream,
        "hn_seq": header.seq,
        "hn_base": header.base,
        "hn_accepted": header.accepted,
        "hn_dropped": header.dropped,
        "hn_clock": header.clock.value,
        "hn_kind": header.kind.value,
    }


def _record(item: Item, cut: int, base_ms: int, octets: Callable[[bytes], str | bytes]) -> dict[str, Any]:
    if not _EARLIEST_MS <= item.measured_at <= LATEST_MS:
        raise Rejected("bad_field", f"{item.name} has the time {item.measured_at} ms, SenML's begin in July 1978")
    for number in (item.value, item.sum, item.update):
        if number is not None and not math.isfinite(number):
            raise Rejected("not_finite", f"{item.name} has the value {number}")
    fields = {
        "n": item.name[cut:] or None,
        "u": item.unit,
        "t": (item.measured_at - base_ms) / 1000 or None,
        "v": item.value,
        "vs": item.string,
        "vb": item.boolean,
        "vd": None if item.data is None else octets(item.data),
        "s": item.sum,
        "ut": item.update,
    }
    return {label: value for label, value in fields.items() if value is not None}
