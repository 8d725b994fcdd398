"""What may become a reading: known quantity, finite value, convertible unit, credible time. Pure."""

import math

from edge.intake.base import Pushed
from edge.sensors.base import Measured
from hinomi.errors import Rejected
from sensing.quantity import QUANTITIES
from sensing.topic import IDENTIFIER
from sensing.units import convert

# A device whose clock is this far ahead of a station that knows the time (ms) would block its own datastream.
AHEAD_MS = 10 * 60 * 1000
# SenML takes times before July 1978 (ms) for relative ones.
EARLIEST_MS = 300_000_000_000


def measured(one: Measured) -> float:
    """The value of what a sensor measured.

    Raises:
        Rejected: ``unknown_quantity`` or ``not_finite``.
    """
    if one.quantity not in QUANTITIES:
        raise Rejected("unknown_quantity", f"{one.quantity!r} is not a quantity known here")
    if not math.isfinite(one.value):
        raise Rejected("not_finite", f"{one.quantity} is {one.value}")
    return float(one.value)


def pushed(one: Pushed) -> float:
    """The value of a pushed reading in its quantity's own unit.

    Raises:
        Rejected: ``bad_name``, ``unknown_quantity``, ``wrong_unit`` or ``not_finite``.
    """
    if not IDENTIFIER.fullmatch(one.sensor):
        raise Rejected("bad_name", f"sensor {one.sensor[:40]!r}: a-z, 0-9 and -, at most 32, not starting with -")
    quantity = QUANTITIES.get(one.quantity)
    if quantity is None:
        raise Rejected("unknown_quantity", f"{one.quantity[:40]!r} is not a quantity known here")
    value = convert(one.value, one.unit, quantity.unit) if one.unit is not None else float(one.value)
    if not math.isfinite(value):
        raise Rejected("not_finite", f"{one.quantity} is {one.value}")
    return value


def moment(at: int, *, floor: int, now: int | None) -> None:
    """Check the time that a device gave.

    Args:
        at: ms since 1970.
        floor: the latest moment that the datastream has.
        now: the station's time; None: it does not know it.

    Raises:
        Rejected: ``not_newer`` or ``bad_time`` or ``time_ahead``.
    """
    if now is not None and floor > now + AHEAD_MS:
        # Taken while the station did not know the time: wrong, and must not block the datastream.
        floor = 0
    if at <= floor:
        raise Rejected("not_newer", f"{at} is not after {floor}, the latest that this datastream has")
    if at < EARLIEST_MS:
        raise Rejected("bad_time", f"{at} ms is before 1979; measured_at counts milliseconds since 1970")
    if now is not None and at > now + AHEAD_MS:
        raise Rejected("time_ahead", f"{at} is {(at - now) // 1000} s ahead of the station's clock")
