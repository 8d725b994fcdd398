"""A set of whole numbers kept as inclusive ranges that neither touch nor overlap."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


def grouped(numbers: Iterable[int]) -> Iterator[Range]:
    """The numbers, sorted and joined to inclusive ranges."""
    low = high = None
    for number in sorted(numbers):
        if high is not None and number <= high + 1:
            high = number
            continue
        if low is not None and high is not None:
            yield low, high
        low = high = number
    if low is not None and high is not None:
        yield low, high


class Ranges:
    """A growing set; each change says which stored ranges it replaces."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in sorted(ranges):
            self.add(low, high)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._lows, number) - 1
        return index >= 0 and number <= self._highs[index]

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __iter__(self) -> Iterator[Range]:
        return zip(self._lows, self._highs, strict=True)

    @property
    def top(self) -> int:
        """The highest number in it; 0 when it is empty."""
        return self._highs[-1] if self._highs else 0

    def add(self, low: int, high: int) -> tuple[list[int], Range | None]:
        """Add low..high.

        Returns:
            The lows of the ranges that are swallowed, and the range that stands now; ([], None) if nothing changed.
        """
        first = bisect_left(self._highs, low - 1)
        last = bisect_right(self._lows, high + 1)
        if first < last:
            if self._lows[first] <= low and high <= self._highs[first]:
                return [], None
            low = min(low, self._lows[first])
            high = max(high, self._highs[last - 1])
        swallowed = self._lows[first:last]
        self._lows[first:last] = [low]
        self._highs[first:last] = [high]
        return swallowed, (low, high)

    def forget_below(self, number: int) -> list[int]:
        """Drop ranges wholly below ``number``, but keep the last one (it usually grows on); returns their lows."""
        count = min(bisect_left(self._highs, number), max(len(self._highs) - 1, 0))
        gone = self._lows[:count]
        del self._lows[:count], self._highs[:count]
        return gone

    def gaps_down(self, low: int, high: int) -> Iterator[Range]:
        """The ranges within low..high that are not in the set, from the highest down."""
        for index in range(bisect_right(self._lows, high) - 1, -1, -1):
            if self._highs[index] < low:
                break
            if self._highs[index] < high:
                yield self._highs[index] + 1, high
            high = self._lows[index] - 1
        if low <= high:
            yield low, high
