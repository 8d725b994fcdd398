"""The labels of a pack that could not be taken.

A pack of our own station that is wrong inside must still be acknowledged once it lies in quarantine; otherwise the
station would send it for ever. For that its header is enough.
"""

import io
import json
import zlib
from typing import Any

import cbor2

from hinomi.errors import Rejected
from sensing.senml import Header
from sensing.senml.complete import header_of

_MAX_INFLATED = 1 << 20
_MAX_DEPTH = 16
_JSON = frozenset(b"[ \t\r\n")


def header_in(payload: bytes) -> tuple[Header | None, int]:
    """Header and number of records, as far as they can be made out; (None, 0) when they cannot."""
    records = _records(payload)
    if not isinstance(records, list) or not records or not isinstance(records[0], dict):
        return None, 0
    fields = {key: value for key, value in records[0].items() if isinstance(key, str)}
    try:
        header = header_of(fields)
    except Rejected:
        return None, 0
    if header is None or header.base > header.seq:
        return None, 0
    return header, len(records)


def _records(payload: bytes) -> Any:
    try:
        if payload[:1] == b"\x78":
            payload = zlib.decompressobj().decompress(payload, _MAX_INFLATED)
        if payload[:1] and payload[0] in _JSON:
            return json.loads(payload)
        return cbor2.CBORDecoder(io.BytesIO(payload), max_depth=_MAX_DEPTH).decode()
    except (ValueError, RecursionError, OverflowError, MemoryError, zlib.error, cbor2.CBORError):
        return None
