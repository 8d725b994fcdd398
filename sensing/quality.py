"""What cannot be: flags for range, step, stuck and gap, never a deletion.

A ``Checker`` holds the limits of one kind of datastream, a ``State`` what one datastream did last. One check costs
well under a microsecond, since it stands in the way of every reading.
"""

import math

import msgspec

from sensing.observation import Flag
from sensing.quantity import Quantity

# A reading may come up to this many intervals after the one before; more means that at least two are missing.
GAP_INTERVALS = 2.5
# Fewer equal readings prove nothing, however far apart they are.
STUCK_READINGS = 10

_MINUTE_MS = 60_000.0
_HOUR_MS = 3_600_000.0

_RANGE, _STEP, _STUCK, _GAP = int(Flag.RANGE), int(Flag.STEP), int(Flag.STUCK), int(Flag.GAP)


class State(msgspec.Struct, gc=False):
    """What one datastream did last; all times in ms since 1970, 0: nothing yet.

    Attributes:
        at: time of the newest reading.
        held: its value.
        since: when that value was first seen without a change or a gap since.
        repeats: how many readings in succession had it.
        good: newest value that was within range and reachable.
        good_at: its time.
    """

    at: int = 0
    held: float = math.nan
    since: int = 0
    repeats: int = 0
    good: float = math.nan
    good_at: int = 0


class Checker:
    """The limits of a datastream.

    Args:
        quantity: where range, step and the hours until stuck come from.
        interval_s: seconds between readings; None: not known, then no gap is seen.
    """

    __slots__ = ("_gap_ms", "_high", "_low", "_step", "_stuck_ms")

    def __init__(self, quantity: Quantity, interval_s: float | None) -> None:
        self._low = quantity.low
        self._high = quantity.high
        self._step = quantity.step_per_minute
        self._stuck_ms = quantity.stuck_hours * _HOUR_MS
        self._gap_ms = math.inf if interval_s is None else interval_s * 1000.0 * GAP_INTERVALS

    def check(self, state: State, measured_at: int, value: float) -> int:
        """Judge one reading and move ``state`` on.

        A reading that is not newer than the newest (a resend, a back-fill) is judged by its range alone and leaves
        the state as it is: what it would mean for its neighbours was decided when they came.

        Args:
            state: of this datastream.
            measured_at: ms since 1970.
            value: in the quantity's unit.

        Returns:
            A sum of ``Flag`` RANGE, STEP, STUCK, GAP.
        """
        flags = 0 if self._low <= value <= self._high else _RANGE
        elapsed = measured_at - state.at
        if elapsed <= 0:
            return flags
        gap = elapsed > self._gap_ms and state.at > 0
        state.at = measured_at
        if value != state.held or gap:
            state.held = value
            state.since = measured_at
            state.repeats = 1
            if gap:
                flags |= _GAP
        else:
            state.repeats += 1
            if state.repeats >= STUCK_READINGS and measured_at - state.since >= self._stuck_ms:
                flags |= _STUCK
        if flags & _RANGE:
            return flags
        return flags | self._step_flag(state, measured_at, value)

    def _step_flag(self, state: State, measured_at: int, value: float) -> int:
        """Whether ``value`` can be reached from the last good one, which it then replaces.

        A spike does not become the measure for what follows it: the way back is no second step. A change that stays
        (a gauge was moved) is accepted when enough time has passed for it.
        """
        if state.good_at:
            minutes = (measured_at - state.good_at) / _MINUTE_MS
            # Within the first minute a whole minute's step is credible: noise does not shrink with the interval.
            if abs(value - state.good) > self._step * max(minutes, 1.0):
                return _STEP
        state.good = value
        state.good_at = measured_at
        return 0
