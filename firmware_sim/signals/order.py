"""Which rows of a recording stand in order of time.

A single wild time (a logger's clock that fell to 2099 for one row) must not condemn all rows after it, so the rows
kept are the longest strictly increasing run of times, the earliest rows where there are several such runs.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


def increasing(times: Sequence[int]) -> list[bool]:
    """For each time whether it is kept; O(n log n), at once when everything is in order already."""
    if all(earlier < later for earlier, later in pairwise(times)):
        return [True] * len(times)
    before = _lengths(times)
    after = _lengths([-time for time in reversed(times)])[::-1]
    longest = max(before)
    kept = [False] * len(times)
    level, last = 1, -(1 << 62)
    for index, time in enumerate(times):
        if before[index] == level and before[index] + after[index] - 1 == longest and time > last:
            kept[index], level, last = True, level + 1, time
    return kept


def _lengths(times: Sequence[int]) -> list[int]:
    """For each time the length of the longest increasing run that ends with it (patience sorting)."""
    tails: list[int] = []
    lengths = []
    for time in times:
        place = bisect_left(tails, time)
        tails[place : place + 1] = [time]
        lengths.append(place + 1)
    return lengths
