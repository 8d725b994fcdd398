"""One record of a pack with typed access to its fields, and the words for what is wrong with them."""

import base64
import binascii
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hinomi.errors import Rejected
from sensing.senml.labels import CBOR_LABELS, LABEL_OF_CBOR

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")


class Record:
    """One record with labels as names, and typed access to its fields."""

    def __init__(self, raw: object, path: str) -> None:
        if not isinstance(raw, Mapping):
            raise Rejected("bad_field", f"{path} is {kind_of(raw)}, expected a record (a map of fields)")
        self.path = path
        self.fields: dict[str, Any] = {}
        for key, value in raw.items():
            label = self._label(key)
            if label in self.fields:
                raise Rejected("bad_field", f"{path}.{label} is there twice")
            self.fields[label] = value

    def _label(self, key: object) -> str:
        label: str | None = LABEL_OF_CBOR.get(key)  # type: ignore[call-overload]
        if label is not None:
            return label
        if not isinstance(key, str):
            raise Rejected(
                "bad_field", f"{self.path} has a label that is neither a text nor one of RFC 8428's numbers"
            )
        if key.endswith("_") and key not in CBOR_LABELS:
            raise Rejected("must_understand", f"{self.path}.{short(key)} must be understood and is not")
        return key

    def number(self, label: str) -> float | None:
        """A finite number; None when it is not there."""
        value = self.fields.get(label)
        if value is None and label not in self.fields:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise self.bad(label, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise Rejected("not_finite", f"{self.path}.{label} is not a finite number")
        return number

    def text(self, label: str) -> str | None:
        """A text that UTF-8 can carry; None when it is not there."""
        value = self.fields.get(label)
        if value is None and label not in self.fields:
            return None
        if not isinstance(value, str):
            raise self.bad(label, "a text")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise Rejected("bad_field", f"{self.path}.{label} has half of a character (a lone surrogate)")
        return value

    def boolean(self, label: str) -> bool | None:
        """True or false; None when it is not there."""
        value = self.fields.get(label)
        if value is None and label not in self.fields:
            return None
        if not isinstance(value, bool):
            raise self.bad(label, "true or false")
        return value

    def octets(self, label: str) -> bytes | None:
        """Bytes, or base64 of them; None when it is not there."""
        value = self.fields.get(label)
        if value is None and label not in self.fields:
            return None
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not _BASE64URL.match(value):
            raise self.bad(label, "base64 with the URL safe alphabet and without padding")
        try:
            return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except binascii.Error as error:
            raise self.bad(label, "base64 with the URL safe alphabet and without padding") from error

    def bad(self, label: str, expected: str) -> Rejected:
        """What to raise when a field is not what it must be."""
        return bad_field(f"{self.path}.{label}", self.fields.get(label), expected)


def whole(value: object) -> int | None:
    """The integer that a JSON number means: 10, but also 10.0 and 1e1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def bad_field(path: str, got: object, expected: str) -> Rejected:
    """What to raise when the field at ``path`` is not what it must be."""
    shown = "nothing" if got is None else short(got)
    return Rejected("bad_field", f"{path} is {shown}, expected {expected}")


def short(value: object) -> str:
    """What a person needs to see of a value that may be megabytes or a number of 10,000 digits."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**20):
        return repr(value)
    return kind_of(value)


def kind_of(value: object) -> str:
    """A value's type in words of JSON and CBOR."""
    names = {dict: "a map", list: "an array", str: "a text", bytes: "octets", bool: "a boolean", type(None): "null"}
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value), f"a {type(value).__name__}")
