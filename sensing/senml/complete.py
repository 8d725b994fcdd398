"""The complete reading of SenML records: every field of RFC 8428, and the path of whatever is wrong.

The fast readings in ``sensing.senml.fast`` handle what stations send all day and hand everything else to this one,
so that one place says what is allowed.
"""

import math
from collections.abc import Mapping
from typing import Any

from hinomi.errors import Rejected
from sensing.observation import ClockQuality, Kind
from sensing.senml.labels import (
    BASE_LABELS,
    CBOR_LABELS,
    HEADER_LABELS,
    LATEST_MS,
    NAME,
    RELATIVE_BELOW_S,
    STREAM,
    version_is_known,
)
from sensing.senml.pack import Header, Item, Pack
from sensing.senml.record import Record, bad_field, kind_of, short, whole

_VALUE_LABELS = ("v", "vs", "vb", "vd")
_MAX_COUNT = 2**63 - 1


def resolve(records: object, *, now_ms: int, max_records: int) -> Pack:
    """Apply base fields and check everything.

    Args:
        records: what JSON or CBOR decoded to; integer labels of CBOR are understood as well as names.
        now_ms: what relative times are relative to.
        max_records: more than this is refused.

    Raises:
        Rejected: with the path of the field that is wrong.
    """
    if not isinstance(records, list):
        raise Rejected("malformed", f"the pack is {kind_of(records)}, expected an array of records")
    if not records:
        raise Rejected("empty", "the pack has no record")
    if len(records) > max_records:
        raise Rejected("oversized", f"{len(records)} records, at most {max_records}")
    base = _Base()
    items = []
    header = None
    for index, raw in enumerate(records):
        record = Record(raw, f"[{index}]")
        if index == 0:
            header = header_of(record.fields)
        item = base.apply(record, now_ms)
        if item is not None:
            items.append(item)
    if not items:
        raise Rejected("empty", "no record of the pack has a value")
    return Pack(header, items)


def header_of(fields: Mapping[str, Any]) -> Header | None:
    """Our header from the fields of the first record; None when it has none of our labels.

    Raises:
        Rejected: some of our labels are there and others are missing or wrong.
    """
    if not any(label in fields for label in HEADER_LABELS):
        return None
    stream = fields.get("hn_stream")
    if not isinstance(stream, str) or not STREAM.match(stream):
        raise bad_field("[0].hn_stream", stream, "1 to 64 letters, digits, - or _")
    seq, base = _count(fields, "hn_seq", 1), _count(fields, "hn_base", 1)
    accepted, dropped = _count(fields, "hn_accepted", 0), _count(fields, "hn_dropped", 0)
    clock = fields.get("hn_clock")
    kind = fields.get("hn_kind")
    if not isinstance(clock, str) or clock not in _CLOCKS:
        raise bad_field("[0].hn_clock", clock, f"one of {', '.join(_CLOCKS)}")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise bad_field("[0].hn_kind", kind, f"one of {', '.join(_KINDS)}")
    return Header(stream, seq, base, accepted, dropped, _CLOCKS[clock], _KINDS[kind])


_CLOCKS = {str(quality): quality for quality in ClockQuality}
_KINDS = {str(kind): kind for kind in Kind}


def _count(fields: Mapping[str, Any], label: str, least: int) -> int:
    value = whole(fields.get(label))
    if value is None or not least <= value <= _MAX_COUNT:
        raise bad_field(f"[0].{label}", fields.get(label), f"a whole number from {least}")
    return value


class _Base:
    """The base fields in effect, record after record."""

    def __init__(self) -> None:
        self._name = ""
        self._time = 0.0
        self._unit: str | None = None
        self._value: float | None = None
        self._sum: float | None = None
        self._version: int | None = None

    def apply(self, record: Record, now_ms: int) -> Item | None:
        """The resolved record; None when it only sets base fields."""
        self._take(record)
        if BASE_LABELS.issuperset(label for label in record.fields if label in CBOR_LABELS):
            return None
        value, string, boolean, data = self._values(record)
        total = self._total(record)
        if value is None and string is None and boolean is None and data is None and total is None:
            raise Rejected("bad_field", f"{record.path} has neither a value (v, vs, vb, vd) nor a sum (s)")
        unit = record.text("u")
        return Item(
            self._full_name(record),
            self._unit if unit is None else unit,
            self._measured_at(record, now_ms),
            value,
            string,
            boolean,
            data,
            total,
            self._update(record),
        )

    def _take(self, record: Record) -> None:
        name, unit = record.text("bn"), record.text("bu")
        time, value, total = record.number("bt"), record.number("bv"), record.number("bs")
        self._name = self._name if name is None else name
        self._unit = self._unit if unit is None else unit
        self._time = self._time if time is None else time
        self._value = self._value if value is None else value
        self._sum = self._sum if total is None else total
        self._check_version(record)

    def _check_version(self, record: Record) -> None:
        if "bver" not in record.fields:
            return
        version = whole(record.fields["bver"])
        if version is None or version < 1:
            raise record.bad("bver", "a whole number from 1")
        if not version_is_known(version):
            raise Rejected("must_understand", f"{record.path}.bver is {short(version)}, known here are 10 and 26")
        if self._version not in {None, version}:
            raise Rejected("bad_field", f"{record.path}.bver differs from the version before, {self._version}")
        self._version = version

    def _values(self, record: Record) -> tuple[float | None, str | None, bool | None, bytes | None]:
        present = [label for label in _VALUE_LABELS if label in record.fields]
        if len(present) > 1:
            raise Rejected("bad_field", f"{record.path} has more than one value: {', '.join(present)}")
        value = record.number("v")
        if self._value is not None and present in ([], ["v"]):
            value = _finite((value or 0.0) + self._value, f"{record.path}.v")
        return value, record.text("vs"), record.boolean("vb"), record.octets("vd")

    def _total(self, record: Record) -> float | None:
        total = record.number("s")
        if self._sum is None:
            return total
        return _finite((total or 0.0) + self._sum, f"{record.path}.s")

    def _full_name(self, record: Record) -> str:
        name = self._name + (record.text("n") or "")
        if not NAME.match(name):
            raise bad_field(
                f"{record.path}.n", name, "a name of A-Z a-z 0-9 - : . / _ that begins with a letter or digit"
            )
        return name

    def _measured_at(self, record: Record, now_ms: int) -> int:
        seconds = self._time + (record.number("t") or 0.0)
        start = now_ms if seconds < RELATIVE_BELOW_S else 0
        milliseconds = seconds * 1000.0
        if not abs(milliseconds) < LATEST_MS + 1.0 or not 0 <= start + round(milliseconds) <= LATEST_MS:
            raise Rejected("bad_field", f"{record.path}.t is {seconds!r} s, not between the years 1970 and 9999")
        return start + round(milliseconds)

    def _update(self, record: Record) -> float | None:
        update = record.number("ut")
        if update is not None and update < 0:
            raise record.bad("ut", "a number of seconds from 0")
        return update


def _finite(number: float, path: str) -> float:
    if not math.isfinite(number):
        raise Rejected("not_finite", f"{path} is not a finite number with its base")
    return number
