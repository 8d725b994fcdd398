"""Tipping-bucket rain gauge on a GPIO line: each tip closes a reed contact for a moment.

Nothing lost, nothing counted twice over restarts: the number of tips ever seen is saved as they come, the number
ever reported is committed together with the reading that reports it. What falls while the agent does not run is not
seen.
"""

import asyncio
import contextlib
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Annotated

import msgspec

from edge.buses import gpio
from edge.buses.gpio import Change
from edge.sensors.base import Context, Measured, Sensor
from edge.sensors.listening import LineSection, Listening
from hinomi.errors import Transient

_SEEN, _REPORTED = "seen", "reported"


class Config(LineSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        mm_per_tip: rain that one tip stands for.
    """

    mm_per_tip: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)]

    def quantities(self) -> tuple[str, ...]:
        """Rain since the reading before."""
        return ("rain_increment",)

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _RainGauge(context, self)


class Tips:
    """Finds tips among the changes of a line: closings (low) that last, counted when they end.

    Contacts bounce when they close and when they open, and lightning induces spikes into the cable; all of these
    are closings too short to be a bucket.
    """

    def __init__(self, first: Change, shortest_ns: int) -> None:
        self._high = first.high
        self._shortest_ns = shortest_ns
        # A closing that began before we looked is a tip that nobody has counted, however soon it ends.
        self._closed_ns = -shortest_ns

    def count(self, found: Iterable[Change]) -> int:
        """How many tips ended in these changes."""
        tips = 0
        for change in found:
            if change.high == self._high:
                continue
            self._high = change.high
            if not change.high:
                self._closed_ns = change.at_ns
            elif change.at_ns - self._closed_ns >= self._shortest_ns:
                tips += 1
        return tips


def decode(events: bytes, config: Config) -> list[Measured]:
    """The rain in a record of line events: 9 bytes each (u64 little endian ns, u8 level), the first level first."""
    found = [Change(at_ns, bool(level)) for at_ns, level in struct.iter_unpack("<QB", events)]
    return _reading(Tips(found[0], config.debounce_ns).count(found[1:]), config)


def _reading(tips: int, config: Config) -> list[Measured]:
    return [Measured("rain_increment", round(tips * config.mm_per_tip, 6))]


class _RainGauge(Listening):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context, config)
        self._config = config
        self._seen = 0
        self._more = asyncio.Event()
        self._tips: Tips | None = None

    def begin(self, first: gpio.Change) -> None:
        # A reading may have been committed after the last tip could be saved (the disk was full).
        self._seen = max(self._seen, self._stored(_SEEN), self._stored(_REPORTED))
        self._tips = Tips(first, self._config.debounce_ns)

    def heard(self, changes: list[gpio.Change]) -> None:
        found = self._tips.count(changes) if self._tips is not None else 0
        if found:
            self._seen += found
            self._more.set()

    async def work(self) -> None:
        """Save after each tip; tips that come while the disk is busy share the next time."""
        while True:
            await self._more.wait()
            self._more.clear()
            await self._save()

    async def read(self) -> list[Measured]:
        self.check()
        seen = self._seen
        tips = seen - self._stored(_REPORTED)
        self.context.state.stage(_REPORTED, b"%d" % seen)
        return _reading(tips, self._config)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if self._seen > self._stored(_SEEN):
            await self._save()

    async def _save(self) -> None:
        with contextlib.suppress(Transient):  # the next tip or reading carries the same number
            await self.context.state.save(_SEEN, b"%d" % self._seen)

    def _stored(self, key: str) -> int:
        return int(self.context.state.get(key) or b"0")
