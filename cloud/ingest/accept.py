"""What arrives: who speaks, is it theirs, is it readable, and what is to be done with it.

Runs in the event loop once for each message and raises nothing. A message is committed, or set aside in quarantine,
or turned away; each is counted, and only the first two are ever acknowledged end to end.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cloud.ingest.commit import Taken
from cloud.ingest.limits import Limits
from cloud.ingest.metrics import Counters
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.resolve import Bad, Resolver
from cloud.ingest.salvage import header_in
from hinomi.clock import Clock
from hinomi.errors import Rejected
from hinomi.journal.protocol import Refusal
from sensing.observation import Kind
from sensing.senml import Header, Pack, decode, encode
from sensing.topic import StationId, parse_topic

log = logging.getLogger(__name__)

# Of a body too large to keep, this much shows a person what it was.
CUT_BYTES = 4096
MAX_BODY = 256 * 1024
_MAX_TOPICS = 100_000
_RECENT = 20


class Add(Protocol):
    """The part of the committer that is needed here."""

    def add(self, taken: Taken) -> "asyncio.Future[bool]":
        """Put a message into the next group."""
        ...


class Strangers:
    """Who was turned away last, for people."""

    def __init__(self) -> None:
        self._recent: deque[str] = deque(maxlen=_RECENT)

    def note(self, topic: str) -> None:
        """Remember a topic once."""
        if topic not in self._recent:
            self._recent.append(topic[:120])

    def recent(self) -> list[str]:
        """The last few, oldest first."""
        return list(self._recent)


class Accept:
    """The receiving end of the link.

    Args:
        registered: whether a station may speak at all.
        statuses: takes the ``status`` leaf.
    """

    def __init__(
        self,
        *,
        resolver: Resolver,
        limits: Limits,
        quarantine: Quarantine,
        committer: Add,
        counters: Counters,
        registered: Callable[[StationId], bool],
        statuses: Callable[[StationId, bytes], None],
        clock: Clock,
    ) -> None:
        self.strangers = Strangers()
        self._resolver = resolver
        self._limits = limits
        self._quarantine = quarantine
        self._committer = committer
        self._counters = counters
        self._registered = registered
        self._statuses = statuses
        self._clock = clock
        self._topics: dict[str, tuple[StationId, str]] = {}

    def receive(self, topic: str, payload: bytes, _properties: Mapping[str, Any]) -> "asyncio.Future[bool] | None":
        """One message: the future of its commit, or None when there is nothing to wait for."""
        known = self._topics.get(topic) or self._learn(topic)
        if known is None:
            self._turn_away("foreign_topic", topic)
            return None
        station, leaf = known
        if not self._registered(station):
            self._turn_away("unregistered", topic)
            return None
        if leaf != "obs":
            self._statuses(station, payload)
            return None
        self._counters.messages += 1
        taken = self.judge(station, payload)
        why = self._unwanted(taken) or self._limits.refusal(station, taken.good + taken.refused)
        if why is not None:
            self._turn_away(why, topic)
            return None
        return self._committer.add(taken)

    def _unwanted(self, taken: Taken) -> str | None:
        """Why a pack without one good reading is not even set aside."""
        if taken.good or not taken.refusals:
            return None
        if taken.header is None and self._quarantine.holds(taken.refusals[0]):
            return "repeated"
        return "quarantine_full" if self._quarantine.is_full() else None

    def judge(self, station: StationId, payload: bytes) -> Taken:
        """What becomes of one pack of a registered station."""
        now = self._clock.now()
        try:
            pack = decode(payload, now_ms=now)
            header = pack.header
            if header is not None:
                _check(header)
                if header.kind is Kind.DROPPED:
                    return Taken(station, now, header, payload, keep=False)
            outcome = self._resolver.take(station, pack, now)
        except Rejected as error:
            return self._whole(station, payload, error, now)
        taken = Taken(station, now, pack.header, payload, keep=True, observations=outcome.observations)
        taken.good = len(outcome.observations)
        if outcome.flags:
            taken.flags = tuple(outcome.flags)
        if outcome.bad:
            self._set_aside(taken, pack, outcome.bad)
        return taken

    def _set_aside(self, taken: Taken, pack: Pack, bad: list[Bad]) -> None:
        """The bad readings become refusals, one for each reason; the good ones are kept."""
        taken.refused = len(bad)
        taken.skip = tuple(sorted(one.index for one in bad))
        by_reason: dict[str, list[Bad]] = {}
        for one in bad:
            by_reason.setdefault(one.reason, []).append(one)
        taken.refusals = [
            Refusal(
                reason,
                _shortened("; ".join(one.detail for one in ones)),
                str(taken.station),
                _part(pack, ones, taken.payload),
                taken.received_at,
                len(ones),
            )
            for reason, ones in by_reason.items()
        ]
        # A pack without one good reading is told of by its quarantine and its number alone.
        taken.keep = taken.good > 0
        if self._quarantine.is_full():
            taken.written_off, taken.refused, taken.refusals = taken.refused, 0, ()
            self._counters.turned_away["quarantine_full"] += taken.written_off

    def _whole(self, station: StationId, payload: bytes, error: Rejected, now: int) -> Taken:
        """Nothing of this pack can be used; its labels, if they can be read, say which one it was."""
        header, count = header_in(payload)
        body, detail = payload, error.detail
        if len(payload) > MAX_BODY:
            body = payload[:CUT_BYTES]
            detail = f"{detail}; {CUT_BYTES} of {len(payload)} bytes are kept"
        # Without labels it is not known how many readings a station counted; then it stays pending over there.
        count = count if header is not None else 0
        refusal = Refusal(error.reason, _shortened(detail), str(station), body, now, count)
        return Taken(station, now, header, payload, keep=False, refused=count, refusals=[refusal])

    def _turn_away(self, reason: str, topic: str) -> None:
        self._counters.turned_away[reason] += 1
        if reason in {"foreign_topic", "unregistered"}:
            self.strangers.note(topic)

    def _learn(self, topic: str) -> tuple[StationId, str] | None:
        try:
            station, leaf = parse_topic(topic)
        except ValueError:
            return None
        if leaf not in {"obs", "status"}:
            return None
        if len(self._topics) >= _MAX_TOPICS:
            self._topics.clear()
        self._topics[topic] = (station, leaf)
        return station, leaf


def _check(header: Header) -> None:
    if header.base > header.seq:
        raise Rejected("bad_field", f"[0].hn_base is {header.base}, above hn_seq {header.seq}")


def _shortened(text: str) -> str:
    return text if len(text) <= 1000 else text[:999] + "…"


def _part(pack: Pack, bad: list[Bad], payload: bytes) -> bytes:
    """The bad readings as a pack of their own, which can be replayed; else the whole pack."""
    try:
        return encode(Pack(None, [pack.records[one.index] for one in bad]))
    except Rejected:
        return payload
