"""From a local device's message to readings: the mapping table of the MQTT intake. Pure."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from edge.intake.base import Pushed
from edge.sensors.base import Identifier
from hinomi.config import Section
from hinomi.errors import Rejected
from sensing.quantity import QUANTITIES
from sensing.units import linear

_LONGEST_NUMBER = 40

# What devices write for the two states of a contact, a switch, a motion sensor.
_STATES = {
    "on": 1.0,
    "off": 0.0,
    "true": 1.0,
    "false": 0.0,
    "open": 1.0,
    "closed": 0.0,
    "detected": 1.0,
    "clear": 0.0,
}


class Value(Section, frozen=True, kw_only=True):
    """Where one quantity stands in a message.

    Attributes:
        quantity: what it is.
        path: keys from the outside in, joined by dots; empty: the whole message is the value.
        unit: of the value as sent (UCUM, SenML or as devices write it); without it the quantity's own.
        invert: 1 becomes 0 and 0 becomes 1.
    """

    quantity: str
    path: str = ""
    unit: str | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity {self.quantity!r} is not known; see sensing/quantity.py")
        try:
            linear(self.unit or QUANTITIES[self.quantity].unit, QUANTITIES[self.quantity].unit)
        except Rejected as error:
            raise ValueError(f"unit: {error.detail}") from error
        if self.invert and QUANTITIES[self.quantity].high != 1:
            raise ValueError("invert is for quantities of 0 and 1")


class Device(Section, frozen=True, kw_only=True):
    """One topic of one device.

    Attributes:
        topic: exactly as published; no wildcards.
        sensor: the name of its readings inside the station.
        values: what is taken from its messages.
    """

    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^+#\x00]+$")]
    sensor: Identifier
    values: tuple[Value, ...]


def check(devices: Sequence[Device]) -> None:
    """Raise ValueError where two rows of the table would write the same datastream."""
    seen: dict[tuple[str, str], str] = {}
    for device in devices:
        if not device.values:
            raise ValueError(f"device {device.sensor!r}: values: at least one is needed")
        for value in device.values:
            place = f"{device.topic} {value.path}".strip()
            other = seen.setdefault((device.sensor, value.quantity), place)
            if other != place:
                raise ValueError(f"{device.sensor}/{value.quantity} comes from two places: {other}, {place}")


def readings(device: Device, payload: bytes) -> tuple[list[Pushed], list[Rejected]]:
    """What a message tells; a value that is not in it is simply not told.

    Returns:
        The readings, and why other values were not taken: ``no_number``, ``not_finite``, ``nothing_mapped``.

    Raises:
        Rejected: ``malformed``: not JSON, although the table asks for a path in it.
    """
    document = _document(payload) if any(value.path for value in device.values) else None
    taken, refused, absent = [], [], 0
    for value in device.values:
        found = _at(document, value.path) if value.path else payload.decode("utf-8", "replace")
        if found is None:
            absent += 1
            continue
        try:
            number = _number(found)
        except Rejected as error:
            refused.append(Rejected(error.reason, f"{value.path or 'message'}: {error.detail}"))
            continue
        taken.append(Pushed(device.sensor, value.quantity, 1.0 - number if value.invert else number, value.unit))
    if absent == len(device.values):
        paths = ", ".join(value.path for value in device.values)
        refused.append(Rejected("nothing_mapped", f"none of {paths} is in the message"))
    return taken, refused


def _document(payload: bytes) -> object:
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("malformed", str(error)) from error
    except RecursionError as error:
        raise Rejected("malformed", "nested too deeply") from error


def _at(document: Any, path: str) -> object:
    for key in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    found: object = document
    return found


def _number(found: object) -> float:
    if isinstance(found, str):
        found = _from_text(found.strip())
    if not isinstance(found, int | float):
        raise Rejected("no_number", f"{repr(found)[:40]} is no number and no state")
    try:
        number = float(found)
    except OverflowError as error:
        raise Rejected("not_finite", "too large") from error
    if not math.isfinite(number):
        raise Rejected("not_finite", repr(found)[:40])
    return number


def _from_text(text: str) -> float | str:
    """The number or state that a text tells, else the text."""
    if text.lower() in _STATES:
        return _STATES[text.lower()]
    if len(text) > _LONGEST_NUMBER or not text.isascii() or "_" in text:
        return text
    try:
        return float(text)
    except ValueError:
        return text
