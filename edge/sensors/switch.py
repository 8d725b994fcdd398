"""The frame of a contact and of a motion sensor: two states, told when they change and again at each interval."""

import asyncio
import logging
import struct
from collections import deque
from typing import Literal

import msgspec

from edge.buses.gpio import Change
from edge.sensors.base import Context, Measured
from edge.sensors.listening import LineSection, Listening
from hinomi.errors import Transient

_LOG = logging.getLogger(__name__)
_REMEMBERED = 256
_AGAIN_S = 5.0


class SwitchSection(LineSection, frozen=True, kw_only=True):
    """Settings that both share.

    Attributes:
        active: level of the line that makes the value 1.
    """

    active: Literal["high", "low"] = "high"


class Debounce:
    """Lets a level pass once it has lasted; ``high`` is the level that counts at present."""

    def __init__(self, first: Change, shortest_ns: int) -> None:
        self.high = first.high
        self._newest = first
        self._shortest_ns = shortest_ns

    def feed(self, change: Change) -> Change | None:
        """Take a change; returns the one before it, if that has lasted and is news."""
        if change.high == self._newest.high:
            return None
        lasted = change.at_ns - self._newest.at_ns >= self._shortest_ns
        settled = self.flush() if lasted else None
        self._newest = change
        return settled

    def flush(self) -> Change | None:
        """Nothing came for long enough: the newest level, if it is news."""
        if self._newest.high == self.high:
            return None
        self.high = self._newest.high
        return self._newest


def decode(events: bytes, config: SwitchSection, quantity: str) -> list[Measured]:
    """The values in a record of line events: the first state and each lasting change.

    Args:
        events: 9 bytes each (u64 little endian ns, u8 level), the present level first.
        config: which level is which.
        quantity: what it is called.
    """
    found = [Change(at_ns, bool(level)) for at_ns, level in struct.iter_unpack("<QB", events)]
    debounce = Debounce(found[0], config.debounce_ns)
    settled = [found[0], *(debounce.feed(change) for change in found[1:]), debounce.flush()]
    return [_reading(one.high, config, quantity) for one in settled if one is not None]


def _reading(high: bool, config: SwitchSection, quantity: str) -> Measured:  # noqa: FBT001 - a level of a line
    return Measured(quantity, float(high == (config.active == "high")))


class _Told(msgspec.Struct, frozen=True):
    measured: Measured
    at_s: float


class Switch(Listening):
    """A contact or motion sensor, opened."""

    def __init__(self, context: Context, config: SwitchSection, quantity: str) -> None:
        super().__init__(context, config)
        self._config = config
        self._quantity = quantity
        self._debounce: Debounce | None = None
        self._moved = asyncio.Event()
        self._news: deque[_Told] = deque()

    def begin(self, first: Change) -> None:
        """The level at the start is told by the first reading."""
        self._debounce = Debounce(first, self._config.debounce_ns)

    def heard(self, changes: list[Change]) -> None:
        """Sort the lasting changes from the bounces."""
        if self._debounce is None:
            return
        for change in changes:
            self._note(self._debounce.feed(change))
        self._moved.set()

    async def work(self) -> None:
        """Wait until the contact is at rest, then tell what is new."""
        while True:
            await self._moved.wait()
            await self._at_rest()
            if self._debounce is not None:
                self._note(self._debounce.flush())
            await self._tell()

    async def read(self) -> list[Measured]:
        """The present state."""
        self.check()
        if self._debounce is None:
            raise Transient(f"{self._config.chip}: the line was closed")
        return [_reading(self._debounce.high, self._config, self._quantity)]

    async def _at_rest(self) -> None:
        """Debouncing is the contact's own time, real seconds."""
        while self._moved.is_set():
            self._moved.clear()
            await asyncio.sleep(self._config.debounce_ms / 1000.0)

    async def _tell(self) -> None:
        """Push what is new, in order; a full disk delays it, and then says how old it is."""
        while self._news:
            told = self._news.popleft()
            while not await self._pushed(told):
                await self.context.clock.sleep(_AGAIN_S)

    async def _pushed(self, told: _Told) -> bool:
        age_s = self.context.clock.monotonic() - told.at_s
        try:
            await self.context.push([told.measured], age_s=age_s)
        except Transient as error:
            _LOG.warning("%s: a change could not be kept yet: %s", self.context.name, error)
            return False
        return True

    def _note(self, settled: Change | None) -> None:
        if settled is None:
            return
        if len(self._news) == _REMEMBERED:
            _LOG.warning("%s: more changes than can be remembered; the oldest is lost", self.context.name)
            self._news.popleft()
        measured = _reading(settled.high, self._config, self._quantity)
        self._news.append(_Told(measured, self.context.clock.monotonic()))
