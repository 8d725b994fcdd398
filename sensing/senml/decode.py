"""From bytes to a pack: JSON or CBOR, deflated or not; raises nothing but ``Rejected``.

Two readings of the same format. The fast one knows the fields that a station sends with numbers (bn bt bu bver n u v
t and our header) and gives up at anything else; the complete one (``sensing.senml.complete``) then decides and names
the faulty field. A test holds them to the same answers.
"""

import io
import json
import zlib
from typing import Any, Final

import cbor2
import msgspec
from msgspec import UNSET, UnsetType

from hinomi.errors import Rejected
from sensing.senml.complete import header_of, resolve
from sensing.senml.labels import CBOR_LABELS, HEADER_LABELS, LATEST_MS, NAME, RELATIVE_BELOW_S, version_is_known
from sensing.senml.pack import Item, Pack

MAX_BYTES = 256 * 1024
MAX_INFLATED = 1024 * 1024
MAX_RECORDS = 10_000
# The pack, its records, and what an unknown label may hold inside.
MAX_DEPTH = 16

_ZLIB = 0x78
_JSON_START: Final = frozenset(b"[ \t\r\n")
_CBOR_START: Final = frozenset(range(0x80, 0xA0))


def decode(
    payload: bytes,
    *,
    now_ms: int,
    max_bytes: int = MAX_BYTES,
    max_records: int = MAX_RECORDS,
    max_inflated: int = MAX_INFLATED,
) -> Pack:
    """Decode, resolve and check a pack.

    Args:
        payload: as it came.
        now_ms: ms since 1970; times below 2**28 s are relative to it.
        max_bytes: more is ``oversized``.
        max_records: more is ``oversized``.
        max_inflated: a deflated pack that grows beyond is a ``bomb``.

    Raises:
        Rejected: empty, oversized, malformed, bad_field, must_understand, bomb, too_deep or not_finite.
    """
    if not payload:
        raise Rejected("empty", "the payload has no bytes")
    if len(payload) > max_bytes:
        raise Rejected("oversized", f"{len(payload)} bytes, at most {max_bytes}")
    if payload[0] == _ZLIB:
        payload = _inflate(payload, max_inflated)
    if payload[0] in _JSON_START:
        pack = _json_fast(payload, max_records)
        return resolve(_json_complete(payload), now_ms=now_ms, max_records=max_records) if pack is None else pack
    if payload[0] in _CBOR_START:
        records = _cbor(payload)
        pack = _cbor_fast(records, max_records)
        return resolve(records, now_ms=now_ms, max_records=max_records) if pack is None else pack
    raise Rejected("malformed", f"begins with byte 0x{payload[0]:02x}: not an array of JSON or CBOR, not deflated")


def _inflate(payload: bytes, max_inflated: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(payload, max_inflated)
    except zlib.error as error:
        raise Rejected("malformed", f"the deflate layer is damaged: {error}") from error
    if stream.unconsumed_tail:
        raise Rejected("bomb", f"inflates to more than {max_inflated} bytes")
    if not stream.eof:
        raise Rejected("malformed", "the deflate layer is cut off")
    if stream.unused_data:
        raise Rejected("malformed", f"{len(stream.unused_data)} bytes follow the deflate layer")
    if not inflated:
        raise Rejected("empty", "the deflate layer holds no bytes")
    return inflated


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The narrow record; whatever does not fit it is not wrong, only not fast."""

    v: float
    n: str = ""
    u: str | UnsetType = UNSET
    t: float = 0.0
    bn: str | UnsetType = UNSET
    bt: float | UnsetType = UNSET
    bu: str | UnsetType = UNSET
    bver: int | UnsetType = UNSET
    hn_stream: str | UnsetType = UNSET
    hn_seq: int | UnsetType = UNSET
    hn_base: int | UnsetType = UNSET
    hn_accepted: int | UnsetType = UNSET
    hn_dropped: int | UnsetType = UNSET
    hn_clock: str | UnsetType = UNSET
    hn_kind: str | UnsetType = UNSET


_ROWS = msgspec.json.Decoder(list[_Row])

# Names repeat from pack to pack; one look-up replaces the check and keeps one string for each.
_NAMES: dict[str, str] = {}
_NAMES_MAX = 65_536


def _remember(name: str) -> str | None:
    if not NAME.match(name):
        return None
    if len(_NAMES) >= _NAMES_MAX:
        _NAMES.clear()
    _NAMES[name] = name
    return name


_RELATIVE_BELOW_MS = RELATIVE_BELOW_S * 1000.0


def _json_fast(payload: bytes, max_records: int) -> Pack | None:
    try:
        rows = _ROWS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not 0 < len(rows) <= max_records:
        return None
    first = rows[0]
    if first.bver is not UNSET and not version_is_known(first.bver):
        return None
    items = []
    names = _NAMES
    base_name, base_time = "", 0.0
    base_unit: str | None = None
    for row in rows:
        if row.bn is not UNSET:
            base_name = row.bn
        if row.bt is not UNSET:
            base_time = row.bt
        if row.bu is not UNSET:
            base_unit = row.bu
        if row.bver is not UNSET and row is not first:
            return None
        name = base_name + row.n
        name = names.get(name) or _remember(name)
        milliseconds = (base_time + row.t) * 1000.0
        if not name or not _RELATIVE_BELOW_MS <= milliseconds <= LATEST_MS:
            return None
        items.append(Item(name, base_unit if row.u is UNSET else row.u, round(milliseconds), row.v))
    fields = {label: value for label in HEADER_LABELS if (value := getattr(first, label)) is not UNSET}
    return Pack(header_of(fields), items)


def _json_complete(payload: bytes) -> Any:
    """Everything JSON can say, with NaN, Infinity and 1e999 kept so that their path can be named."""
    try:
        return json.loads(payload.decode("utf-8"), parse_int=_integer)
    except RecursionError:
        raise Rejected("too_deep", "arrays or maps are nested too deeply") from None
    except ValueError as error:
        raise Rejected("malformed", f"not JSON: {error}") from error


def _integer(digits: str) -> int | float:
    """Integers longer than a double can be exact about become doubles (Python refuses 4,300 digits and more)."""
    return int(digits) if len(digits) < 20 else float(digits)


def _no_tag(value: object, immutable: bool) -> None:  # noqa: FBT001 - cbor2 calls it so
    raise ValueError("a tag that SenML does not use")


# cbor2 builds dates, regular expressions, MIME messages, shared and even recursive values of tags that a stranger
# sends. SenML has use for one tag only, 4 (decimal fraction); an unknown tag stays a CBORTag and is a bad field.
_TAGS = dict.fromkeys(
    (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _no_tag
)


def _cbor(payload: bytes) -> Any:
    stream = io.BytesIO(payload)
    try:
        records = cbor2.CBORDecoder(
            stream, semantic_decoders=_TAGS, max_depth=MAX_DEPTH, allow_duplicate_keys=False
        ).decode()
    except RecursionError:
        raise Rejected("too_deep", "arrays or maps are nested too deeply") from None
    except (cbor2.CBORError, ValueError, OverflowError, MemoryError) as error:
        if "nesting depth" in str(error):
            raise Rejected("too_deep", f"nested more than {MAX_DEPTH} deep") from error
        raise Rejected("malformed", f"not CBOR: {error}") from error
    if stream.tell() != len(payload):
        raise Rejected("malformed", f"{len(payload) - stream.tell()} bytes follow the pack")
    return records


_N, _U, _V, _T = (CBOR_LABELS[label] for label in ("n", "u", "v", "t"))
_BN, _BT, _BU, _BVER = (CBOR_LABELS[label] for label in ("bn", "bt", "bu", "bver"))
_ROW_LABELS = frozenset({_N, _U, _V, _T})
_FIRST_LABELS = _ROW_LABELS | {_BN, _BT, _BU, _BVER, *HEADER_LABELS}


def _cbor_fast(records: Any, max_records: int) -> Pack | None:
    """The same for maps with integer labels, base fields on the first record only."""
    if type(records) is not list or not 0 < len(records) <= max_records or type(records[0]) is not dict:
        return None
    first = records[0]
    base_name, base_time, base_unit = first.get(_BN, ""), first.get(_BT, 0.0), first.get(_BU)
    if type(base_name) is not str or type(base_time) not in _NUMBERS or type(base_unit) not in _TEXT_OR_NONE:
        return None
    if _BVER in first and (type(first[_BVER]) is not int or not version_is_known(first[_BVER])):
        return None
    items = []
    names = _NAMES
    allowed = _FIRST_LABELS
    for record in records:
        if type(record) is not dict or not record.keys() <= allowed:
            return None
        allowed = _ROW_LABELS
        value, time, unit, name = record.get(_V), record.get(_T, 0.0), record.get(_U, base_unit), record.get(_N, "")
        if type(value) not in _NUMBERS or type(time) not in _NUMBERS or type(unit) not in _TEXT_OR_NONE:
            return None
        if type(name) is not str or not -_HUGE < value < _HUGE:
            return None
        name = base_name + name
        name = names.get(name) or _remember(name)
        milliseconds = (base_time + time) * 1000.0
        if not name or not _RELATIVE_BELOW_MS <= milliseconds <= LATEST_MS:
            return None
        items.append(Item(name, unit, round(milliseconds), float(value)))
    return Pack(header_of(first), items)


_NUMBERS = frozenset({float, int})
_TEXT_OR_NONE = frozenset({str, type(None)})
_HUGE = 1e300
