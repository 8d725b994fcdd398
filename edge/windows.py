"""Merging the readings of a window into one value for each datastream. Pure."""

import math
from collections.abc import Iterable, Sequence

from sensing.observation import Reading
from sensing.quantity import QUANTITIES, Aggregate


def merged(readings: Iterable[Reading]) -> list[Reading]:
    """One reading for each datastream, at the time of its last one.

    A mean of windows that were merged before counts each of them once, whatever was in them.
    """
    columns: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        columns.setdefault((reading.sensor, reading.quantity), []).append(reading)
    return [_one(column) for column in columns.values()]


def _one(column: list[Reading]) -> Reading:
    last = max(column, key=lambda reading: reading.measured_at)
    quantity = QUANTITIES.get(last.quantity)
    if len(column) == 1 or quantity is None:
        return last
    ordered = [reading.value for reading in sorted(column, key=lambda reading: reading.measured_at)]
    value = aggregate(ordered, quantity.aggregate)
    # One digit more than the sensor resolves: means of full length would take more room than what they replace.
    digits = max(0, 1 - math.floor(math.log10(quantity.resolution)))
    return Reading(last.sensor, last.quantity, last.measured_at, round(value, digits))


def aggregate(values: Sequence[float], how: Aggregate) -> float:
    """Values in the order of time as one; angles (degrees) as the direction of their mean vector."""
    match how:
        case "mean":
            return math.fsum(values) / len(values)
        case "sum":
            return math.fsum(values)
        case "max":
            return max(values)
        case "last":
            return values[-1]
        case "vector_mean":
            east = math.fsum(math.sin(math.radians(value)) for value in values)
            north = math.fsum(math.cos(math.radians(value)) for value in values)
            return math.degrees(math.atan2(east, north)) % 360.0
