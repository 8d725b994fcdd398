"""What no database may ever see or be asked: set aside before the first byte leaves, alike for every store."""

import math
from collections.abc import Sequence

from cloud.store.protocol import RefusedPoint
from hinomi.errors import Rejected
from sensing.observation import Observation

# InfluxDB counts nanoseconds in 64 bits: its time ends in the year 2262.
LAST_MS = (2**63 - 1) // 1_000_000
MAX_BUCKETS = 20_000
_INT64 = 2**63


def screen(batch: Sequence[Observation]) -> tuple[list[Observation], list[RefusedPoint]]:
    """Split a batch into what a store can hold and what it cannot; order is kept."""
    good: list[Observation] = []
    refused: list[RefusedPoint] = []
    finite = math.isfinite
    for observation in batch:
        if not finite(observation.value):
            refused.append(RefusedPoint(observation, "not_finite", f"value is {observation.value}"))
        elif not 0 <= observation.measured_at <= LAST_MS:
            detail = f"measured_at {observation.measured_at} ms is not between 1970 and 2262"
            refused.append(RefusedPoint(observation, "bad_time", detail))
        elif not (0 <= observation.flags < _INT64 and 0 <= observation.seq < _INT64):
            detail = f"flags {observation.flags} or seq {observation.seq} is not a 64 bit number from 0"
            refused.append(RefusedPoint(observation, "bad_number", detail))
        else:
            good.append(observation)
    return good, refused


def check_series(start: int, end: int, step: int) -> int:
    """The start of a series that a store may be asked for (times before 1970 hold nothing).

    Raises:
        Rejected: ``bad_step`` when the step (ms) is not positive, ``too_many_buckets`` above ``MAX_BUCKETS``.
    """
    if step <= 0:
        raise Rejected("bad_step", f"step must be at least 1 ms, got {step}")
    start = max(start, 0)
    if end - start > step * MAX_BUCKETS:
        raise Rejected(
            "too_many_buckets",
            f"{(end - start) // step} steps of {step} ms; at most {MAX_BUCKETS}: use a longer step",
        )
    return start
