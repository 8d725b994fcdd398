"""The fast readings of a pack: numbers with name, unit and absolute time, base fields and our header.

Each returns None where the pack is anything else, be it richer or wrong: ``sensing.senml.complete`` decides then.
"""

from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, UnsetType

from sensing.observation import ClockQuality, Kind
from sensing.senml.complete import header_of
from sensing.senml.labels import (
    CBOR_LABELS,
    HEADER_LABELS,
    LATEST_MS,
    NAME,
    RELATIVE_BELOW_S,
    STREAM,
    VERSION,
    version_is_known,
)
from sensing.senml.pack import Header, Item, Pack

_EARLIEST_MS = RELATIVE_BELOW_S * 1000.0
_END_MS = LATEST_MS + 0.5  # what is below still rounds to the latest

# Names repeat from pack to pack: one look-up replaces the check, and equal names become one string.
_NAMES: dict[str, str] = {}
_NAMES_MAX = 65_536


def _known_name(name: str) -> str | None:
    if not NAME.match(name):
        return None
    if len(_NAMES) >= _NAMES_MAX:
        _NAMES.clear()
    _NAMES[name] = name
    return name


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The narrow record; what does not fit is not wrong, only not fast."""

    v: float
    n: str = ""
    u: str | UnsetType = UNSET
    t: float = 0.0
    bn: str | UnsetType = UNSET
    bt: float | UnsetType = UNSET
    bu: str | UnsetType = UNSET
    bver: int | UnsetType = UNSET
    hn_stream: Annotated[str, msgspec.Meta(pattern=STREAM.pattern)] | UnsetType = UNSET
    hn_seq: _Number | UnsetType = UNSET
    hn_base: _Number | UnsetType = UNSET
    hn_accepted: _Count | UnsetType = UNSET
    hn_dropped: _Count | UnsetType = UNSET
    hn_clock: ClockQuality | UnsetType = UNSET
    hn_kind: Kind | UnsetType = UNSET


_ROWS = msgspec.json.Decoder(list[_Row])


def resolve_json(payload: bytes, *, max_records: int) -> Pack | None:
    """The pack in a JSON payload, None when it needs the complete reading."""
    try:
        rows = _ROWS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not 0 < len(rows) <= max_records:
        return None
    r = rows[0]
    labels = (r.hn_stream, r.hn_seq, r.hn_base, r.hn_accepted, r.hn_dropped, r.hn_clock, r.hn_kind)
    if UNSET not in labels:
        header = Header(*cast("tuple[Any, ...]", labels))
    elif any(label is not UNSET for label in labels):
        return None
    else:
        header = None
    items = _items_of_rows(rows)
    return None if items is None else Pack(header, items)


def _items_of_rows(rows: list[_Row]) -> list[Item] | None:
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
        joined = base_name + row.n
        name = names.get(joined) or _known_name(joined)
        milliseconds = (base_time + row.t) * 1000.0
        if name is None or not _EARLIEST_MS <= milliseconds < _END_MS:
            return None
        items.append(Item(name, base_unit if row.u is UNSET else row.u, round(milliseconds), row.v))
    return items


_N, _U, _V, _T = (CBOR_LABELS[label] for label in ("n", "u", "v", "t"))
_BN, _BT, _BU, _BVER = (CBOR_LABELS[label] for label in ("bn", "bt", "bu", "bver"))
_FIRST_ONLY = frozenset({_BN, _BT, _BU, _BVER, *HEADER_LABELS})


def resolve_maps(records: object, *, max_records: int) -> Pack | None:
    """The pack in decoded CBOR: integer labels, base fields on the first record only; else None.

    Raises:
        Rejected: ``bad_field`` in our header.
    """
    if type(records) is not list or not 0 < len(records) <= max_records or type(records[0]) is not dict:
        return None
    first = records[0]
    name, time, unit = first.get(_BN, ""), first.get(_BT, 0.0), first.get(_BU)
    if type(name) is not str or type(time) not in _NUMBERS or (type(unit) is not str and _BU in first):
        return None
    version = first.get(_BVER, VERSION)
    if type(version) is not int or not version_is_known(version):
        return None
    rest = {label: value for label, value in first.items() if label not in _FIRST_ONLY}
    items = _items_of_maps([rest, *records[1:]], name, time, unit)
    return None if items is None else Pack(header_of(first), items)


_NUMBERS = frozenset({float, int})
_ROW_LABELS = frozenset({_N, _U, _V, _T})


def _items_of_maps(
    records: list[Any], base_name: str, base_time: float, base_unit: str | None
) -> list[Item] | None:
    items = []
    names = _NAMES
    for record in records:
        if type(record) is not dict:
            return None
        try:
            if len(record) == 4:
                name, unit, value, time = record[_N], record[_U], record[_V], record[_T]
            else:
                name, unit, value, time = _sparse(record, base_unit)
        except KeyError:
            return None
        if type(value) is not float:
            if type(value) is not int or not -_EXACT <= value <= _EXACT:
                return None
            value = float(value)
        if type(name) is not str or type(time) not in _NUMBERS:
            return None
        if type(unit) is not str and (unit is not None or _U in record):
            return None
        joined = base_name + name
        known = names.get(joined) or _known_name(joined)
        milliseconds = (base_time + time) * 1000.0
        # value - value is not 0 for NaN and infinity
        if known is None or not _EARLIEST_MS <= milliseconds < _END_MS or value - value != 0.0:
            return None
        items.append(Item(known, unit, round(milliseconds), value))
    return items


def _sparse(record: dict[Any, Any], base_unit: str | None) -> tuple[Any, Any, Any, Any]:
    """The same four fields of a record that leaves some out; KeyError when it has another."""
    if not record.keys() <= _ROW_LABELS:
        raise KeyError
    return record.get(_N, ""), record.get(_U, base_unit), record[_V], record.get(_T, 0.0)


# Integers up to here are exact as doubles; others go the careful way.
_EXACT = 2**53
