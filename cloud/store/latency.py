"""How long readings take from their sampling until they can be read in the store."""

import math
from collections import deque
from collections.abc import Sequence

from hinomi.clock import Clock
from sensing.observation import Observation

KEPT = 20_000
# Of a large batch a few tell as much as all, and cost the writer nothing.
_OF_A_BATCH = 64


class Latency:
    """The last ``KEPT`` times; on the measuring clock, so a replay's are in recorded time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: deque[float] = deque(maxlen=KEPT)

    def stored(self, batch: Sequence[Observation]) -> None:
        """These can be read in the store from now on."""
        now = self._clock.now()
        step = max(1, len(batch) // _OF_A_BATCH)
        self._seconds.extend((now - observation.measured_at) / 1000 for observation in batch[::step])

    def quantile(self, part: float) -> float:
        """Seconds within which ``part`` (0 to 1) of the readings were stored; NaN before the first."""
        if not self._seconds:
            return math.nan
        ordered = sorted(self._seconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
