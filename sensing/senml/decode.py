"""From bytes to a pack: JSON or CBOR, deflated or not; raises nothing but ``Rejected``.

Two readings of one format. The fast one (``sensing.senml.fast``) knows what stations send all day and gives up at
anything else; the complete one (``sensing.senml.complete``) then decides, and names the faulty field. A test holds
both to the same answers.
"""

import io
import json
import zlib
from typing import Any

import cbor2

from hinomi.errors import Rejected
from sensing.senml.complete import resolve
from sensing.senml.fast import resolve_json, resolve_maps
from sensing.senml.pack import Pack

MAX_BYTES = 256 * 1024
MAX_INFLATED = 1024 * 1024
MAX_RECORDS = 10_000
# The pack, its records, and what an unknown label may hold inside.
MAX_DEPTH = 16

_ZLIB = 0x78
_JSON_START = frozenset(b"[ \t\r\n")
_CBOR_START = frozenset(range(0x80, 0xA0))


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
        pack = resolve_json(payload, max_records=max_records)
        return pack or resolve(_json(payload), now_ms=now_ms, max_records=max_records)
    if payload[0] in _CBOR_START:
        records = _cbor(payload)
        pack = resolve_maps(records, max_records=max_records)
        return pack or resolve(records, now_ms=now_ms, max_records=max_records)
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


def _json(payload: bytes) -> Any:
    """Everything JSON can say, with NaN, Infinity and 1e999 kept so that their path can be named."""
    try:
        return json.loads(payload.decode("utf-8"), parse_int=_integer)
    except RecursionError:
        raise Rejected("too_deep", "arrays or maps are nested too deeply") from None
    except ValueError as error:
        raise Rejected("malformed", f"not JSON: {error}") from error


def _integer(digits: str) -> int | float:
    """A long integer as a double, which is all that SenML promises of it; Python refuses 4,300 digits and more."""
    return int(digits) if len(digits) < 20 else float(digits)


def _no_tag(_value: object, _immutable: bool) -> None:  # noqa: FBT001 - cbor2 calls it so
    raise ValueError("a tag that SenML does not use")


# For these tags of a stranger cbor2 would build dates, huge integers, regular expressions, MIME messages, shared
# and even recursive values. SenML has use for one tag only, 4 (decimal fraction); a tag that cbor2 does not know
# stays a CBORTag and is a bad field like any other value of a wrong type.
_TAGS = dict.fromkeys(
    (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _no_tag
)


def _cbor(payload: bytes) -> Any:
    stream = io.BytesIO(payload)
    decoder = cbor2.CBORDecoder(stream, semantic_decoders=_TAGS, max_depth=MAX_DEPTH, allow_duplicate_keys=False)
    try:
        records = decoder.decode()
    except RecursionError:
        raise Rejected("too_deep", "arrays or maps are nested too deeply") from None
    except (cbor2.CBORError, ValueError, OverflowError, MemoryError) as error:
        if "nesting depth" in str(error):
            raise Rejected("too_deep", f"arrays or maps are nested more than {MAX_DEPTH} deep") from error
        raise Rejected("malformed", f"not CBOR: {error}") from error
    if stream.tell() != len(payload):
        raise Rejected("malformed", f"{len(payload) - stream.tell()} bytes follow the pack")
    return records
