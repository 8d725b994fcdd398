"""Which packs of which station are durable here, and how many readings they held; pure.

For each stream (life of a station's journal): every pack up to ``upto``, and ``ranges`` above it. The states are
committed as notes in the same append as the packs they tell of, so they can neither run ahead nor lag behind.
"""

import bisect
from collections.abc import Iterator, Mapping

import msgspec

from sensing.senml import Header
from sensing.topic import StationId

# A station that sends newest first makes one range. More holes than this is no station of ours.
MAX_RANGES = 1024
MAX_STREAMS = 16
PREFIX = "track/"

# Pseudo streams: what came without labels, and what is left of streams long closed.
PLAIN = ""
FOLDED = "/"

Key = tuple[StationId, str]


class Stream(msgspec.Struct, array_like=True):
    """What is known of one stream; counts are readings unless they say otherwise.

    Attributes:
        opened_at: when its first pack came, cloud's time, ms.
        upto: every pack from 1 to here is durable (or written off).
        ranges: further durable packs, inclusive, rising, with holes between them.
        accepted: what the station said it has accepted.
        dropped: what it said it has given up.
        good: in order, of packs counted once.
        refused: in quarantine, of packs counted once.
        skipped: packs below the station's base that never came: acknowledged by us and then lost (a restored
            backup), or deleted over there.
        lost: readings of skipped packs, known once no other pack is missing; -1: not known yet.
        bytes: size of the packs that went into the arrival journal.
        written_off: refused readings that a person deleted from the quarantine.
    """

    opened_at: int = 0
    upto: int = 0
    ranges: list[tuple[int, int]] = []
    accepted: int = 0
    dropped: int = 0
    good: int = 0
    refused: int = 0
    skipped: int = 0
    lost: int = -1
    bytes: int = 0
    written_off: int = 0

    def copy(self) -> "Stream":
        """A state of its own."""
        twin = msgspec.structs.replace(self)
        twin.ranges = self.ranges.copy()
        return twin

    def has(self, seq: int) -> bool:
        """Whether this pack is durable already."""
        if seq <= self.upto:
            return True
        index = bisect.bisect_right(self.ranges, (seq, seq)) - 1
        if index >= 0 and self.ranges[index][1] >= seq:
            return True
        return index + 1 < len(self.ranges) and self.ranges[index + 1][0] == seq

    def has_room(self, seq: int) -> bool:
        """Whether one more hole can be remembered."""
        return len(self.ranges) < MAX_RANGES or seq == self.upto + 1

    def take(self, header: Header, *, good: int, refused: int, written_off: int = 0) -> bool:
        """Count a pack; True when it is fresh. Only fresh packs are counted, all of them tell of their station."""
        self.accepted = max(self.accepted, header.accepted)
        self.dropped = max(self.dropped, header.dropped)
        self._skip_to(header.base - 1)
        seq = header.seq
        fresh = True
        if seq == self.upto + 1:
            self.upto = seq
            self._absorb()
        elif self.has(seq):
            fresh = False
        else:
            self._insert(seq)
        if fresh:
            self.good += good
            self.refused += refused
            self.written_off += written_off
        if self.skipped and not self.ranges:
            self._settle()
        return fresh

    @property
    def missing(self) -> int:
        """Accepted and not declared as dropped, but not here; negative: more came than was accepted."""
        return self.accepted - self.dropped - self.good - self.refused - self.written_off

    def _skip_to(self, last: int) -> None:
        """The station holds nothing up to ``last`` any more: what is missing there will not come."""
        if last <= self.upto:
            return
        present = 0
        while self.ranges and self.ranges[0][0] <= last:
            low, high = self.ranges.pop(0)
            present += min(high, last) - low + 1
            if high > last:
                self.ranges.insert(0, (last + 1, high))
                break
        skipped = last - self.upto - present
        self.upto = last
        self._absorb()
        if skipped:
            self.skipped += skipped
            self.lost = -1

    def _absorb(self) -> None:
        while self.ranges and self.ranges[0][0] <= self.upto + 1:
            self.upto = max(self.upto, self.ranges.pop(0)[1])

    def _insert(self, seq: int) -> None:
        index = bisect.bisect_left(self.ranges, (seq, seq))
        low = high = seq
        if index < len(self.ranges) and self.ranges[index][0] == seq + 1:
            high = self.ranges.pop(index)[1]
        if index > 0 and self.ranges[index - 1][1] == seq - 1:
            index -= 1
            low = self.ranges.pop(index)[0]
        self.ranges.insert(index, (low, high))

    def _settle(self) -> None:
        """No hole is left, so what is missing was in the skipped packs.

        A pack so new that it has not come yet is counted too; it shrinks the number when it does.
        """
        missing = max(self.missing, 0)
        self.lost = missing if self.lost < 0 else min(self.lost, missing)


class Tracker:
    """All streams of all stations: the committed states, and one set of changes on its way to the disk."""

    def __init__(self) -> None:
        self._stations: dict[StationId, dict[str, Stream]] = {}
        self._changed: dict[Key, Stream] = {}
        self._came: dict[Key, set[int]] = {}
        self._folded: list[Key] = []

    def load(self, notes: Mapping[str, bytes]) -> None:
        """Take over what the journal remembers (its notes that begin with ``PREFIX``)."""
        decoder = msgspec.msgpack.Decoder(Stream)
        for key, body in notes.items():
            if not body:
                continue
            community, station, stream = key.removeprefix(PREFIX).split("/", 2)
            self._stations.setdefault(StationId(community, station), {})[stream] = decoder.decode(body)

    def stations(self) -> Iterator[StationId]:
        """Every station that ever sent something."""
        return iter(self._stations)

    def streams(self, station: StationId) -> Mapping[str, Stream]:
        """Committed states of a station, pseudo streams included."""
        return self._stations.get(station, {})

    def brought(self, station: StationId) -> tuple[int, int]:
        """Good readings that ever came, and bytes that went into the arrival journal."""
        states = self.streams(station).values()
        return sum(state.good for state in states), sum(state.bytes for state in states)

    def current(self, station: StationId) -> str | None:
        """The stream that the station opened last."""
        real = [
            (state.opened_at, name) for name, state in self.streams(station).items() if name not in {PLAIN, FOLDED}
        ]
        return max(real)[1] if real else None

    def has_room(self, station: StationId, header: Header) -> bool:
        """Whether a pack of this number can be remembered (told from committed states)."""
        state = self._stations.get(station, {}).get(header.stream)
        return state is None or state.has_room(header.seq)

    def take(
        self,
        station: StationId,
        header: Header | None,
        *,
        good: int,
        refused: int,
        size: int,
        at: int,
        written_off: int = 0,
    ) -> bool:
        """Count one pack among the changes; True when it is fresh. ``size`` goes into the arrival journal."""
        if header is not None:
            state = self.change(station, header.stream, at)
            state.bytes += size
            self._came.setdefault((station, header.stream), set()).add(header.seq)
            return state.take(header, good=good, refused=refused, written_off=written_off)
        state = self.change(station, PLAIN, at)
        state.accepted += good + refused + written_off
        state.good += good
        state.refused += refused
        state.written_off += written_off
        state.bytes += size
        return True

    def replay(self, station: StationId, count: int, good: int, refused: int, size: int) -> None:
        """``count`` readings left the quarantine: ``good`` of them are in order, ``refused`` went back to it.

        The stream that they came in is not known any more; a station's streams are only ever summed.
        """
        state = self.change(station, PLAIN, 0)
        state.refused += refused - count
        state.good += good
        state.written_off += count - good - refused
        state.bytes += size

    def change(self, station: StationId, stream: str, at: int) -> Stream:
        """The state among the changes; made, or copied from the committed one, at the first call."""
        key = (station, stream)
        state = self._changed.get(key)
        if state is None:
            known = self._stations.get(station, {}).get(stream)
            state = Stream(opened_at=at) if known is None else known.copy()
            self._changed[key] = state
            if known is None and stream not in {PLAIN, FOLDED}:
                self._fold(station, at)
        return state

    def notes(self) -> dict[str, bytes]:
        """The changes as notes for the append."""
        encode = msgspec.msgpack.encode
        notes = {_note(key): encode(state) for key, state in self._changed.items()}
        notes.update(dict.fromkeys(map(_note, self._folded), b""))
        return notes

    def committed(self) -> dict[Key, set[int]]:
        """The append succeeded: the changes are the truth now; returns what changed, and which packs came."""
        changed, self._changed = self._changed, {}
        came, self._came = self._came, {}
        folded, self._folded = self._folded, []
        for (station, stream), state in changed.items():
            self._stations.setdefault(station, {})[stream] = state
        for station, stream in folded:
            self._stations[station].pop(stream, None)
        return {key: came.get(key, set()) for key in changed}

    def _fold(self, station: StationId, at: int) -> None:
        """Keep the number of a station's streams bounded: the oldest become one sum."""
        streams = self._stations.get(station, {})
        taken = {*self._changed, *self._folded}
        opened = sum(1 for of, _ in self._changed if of == station)
        real = sorted(
            (state.opened_at, name)
            for name, state in streams.items()
            if name not in {PLAIN, FOLDED} and (station, name) not in taken
        )
        if not real or len(real) + opened <= MAX_STREAMS:
            return
        name = real[0][1]
        old, total = streams[name], self.change(station, FOLDED, at)
        for field in ("accepted", "dropped", "good", "refused", "skipped", "bytes", "written_off"):
            setattr(total, field, getattr(total, field) + getattr(old, field))
        total.lost = max(total.lost, 0) + max(old.lost, 0)
        self._folded.append((station, name))


def _note(key: Key) -> str:
    station, stream = key
    return f"{PREFIX}{station.community}/{station.station}/{stream}"
