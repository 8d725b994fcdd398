"""Making room when the journal nears its cap: old detail goes before new detail, and all that goes is declared.

Only packs that were never sent are touched. Held packs form zones, oldest first; a zone may take a share of the
cap, and what overflows it moves on to the next, coarser one::

    dropped <- 1 h values <- 10 min values <- 1 min values <- as measured
                 5 %            10 %             20 %            50 % of the cap

A window's value is made by the quantity's own aggregate and stands at the time of the window's last reading, a key
that was accepted and never sent. The other packs of the window become tombstones: their readings count as dropped.
Events are never thinned.
"""

from edge import body
from edge.body import LABELS, SPANS, Body
from edge.windows import merged
from hinomi.errors import Rejected
from hinomi.journal.protocol import Entry, Journal, Record
from sensing.observation import Kind, Reading

# Thinning begins when the held bodies pass this share of the cap, and aims at the lower one.
BEGIN = 0.90
AIM = 0.85
# The share of the cap that each level may take.
SHARES = (0.50, 0.20, 0.10, 0.05)
# How many records one step looks at, so that commits need not wait for long.
A_STEP = 240

_COARSEST = len(SPANS) - 1
_GONE = len(SPANS)


class Thinner:
    """Thins a journal step by step; all methods run in the writer thread.

    Args:
        cap_bytes: size of bodies at which the journal refuses.
    """

    def __init__(self, cap_bytes: int) -> None:
        self._cap = cap_bytes
        self._begun = False
        self._stream = ""
        self._forget()

    def step(self, journal: Journal) -> bool:
        """Make some room if there is need; returns whether another step should follow.

        Raises:
            Transient: the disk is full or failing.
        """
        held = journal.stats().bytes
        self._begun = held > (AIM if self._begun else BEGIN) * self._cap
        if not self._begun:
            return False
        if self._stream != journal.stream:
            self._stream = journal.stream
            self._forget()
        if not self._known:
            self._look_through(journal)
            return True
        self._held[0] = held - sum(self._held[1:])
        overflowing = [level for level in range(_GONE) if self._held[level] > SHARES[level] * self._cap]
        # Where no zone overflows, packs that were sent take the room: then the others are thinned all the same.
        self._begun = any(self._coarsen(journal, level) for level in overflowing or range(_GONE))
        return self._begun

    def _forget(self) -> None:
        # All up to _edge[level] is at that level or coarser, given up, or untouchable.
        self._edge = [0] * (_GONE + 1)
        # Bytes of what lies between _edge[level + 1] and _edge[level].
        self._held = [0] * _GONE
        self._zone = _GONE
        self._known = False

    def _look_through(self, journal: Journal) -> None:
        """After a start: find the zones, oldest first; all that follows the first detail is detail."""
        records = journal.read(self._edge[1], limit=A_STEP)
        for record in records:
            if not _untouchable(record):
                self._zone = min(self._zone, body.setting_and_level(record.body)[1])
            if self._zone == 0:
                break
            self._edge[1 : self._zone + 1] = [record.seq] * self._zone
            if self._zone < _GONE:
                self._held[self._zone] += len(record.body)
        self._known = self._zone == 0 or not records

    def _coarsen(self, journal: Journal, level: int) -> bool:
        """Move the oldest of a zone on to the next; False when the zone is empty."""
        records = journal.read(self._edge[level + 1], limit=A_STEP)
        if level > 0:
            records = [record for record in records if record.seq <= self._edge[level]]
        if not records:
            return False
        if level == _COARSEST:
            journal.entomb(record.seq for record in records if not _untouchable(record))
        else:
            records = _merge_windows(journal, records, level + 1)
        before = sum(len(record.body) for record in records)
        after = 0
        if level + 1 < _GONE:
            kept = journal.read(self._edge[level + 1], limit=len(records))
            after = sum(len(record.body) for record in kept if record.seq <= records[-1].seq)
            self._held[level + 1] += after
        self._held[level] -= before
        self._edge[level + 1] = records[-1].seq
        return True


def _untouchable(record: Record) -> bool:
    if record.sent or record.tombstone or record.kind == LABELS[Kind.EVENT]:
        return True
    try:
        body.setting_and_level(record.body)
    except Rejected:
        return True
    return False


def _merge_windows(journal: Journal, records: list[Record], level: int) -> list[Record]:
    """Thin the windows that ``records`` complete to ``level``; returns the records that are done with."""
    span_ms = SPANS[level] * 1000
    packs = [(record, _decoded(record)) for record in records]
    if len(records) == A_STEP:
        packs = _whole(packs, span_ms)
    windows: dict[tuple[str, int, int], list[tuple[Record, Body]]] = {}
    for record, pack in packs:
        if pack is not None:
            key = (record.kind, pack.setting, pack.readings[0].measured_at // span_ms)
            windows.setdefault(key, []).append((record, pack))
    left_over = [seq for window in windows.values() for seq in _merge(journal, window, level)]
    journal.entomb(left_over)
    return [record for record, _ in packs]


def _whole(packs: list[tuple[Record, Body | None]], span_ms: int) -> list[tuple[Record, Body | None]]:
    """Without the last window, which may go on in the next step; all of them when there is only one."""
    last: int | None = None
    for index in range(len(packs) - 1, -1, -1):
        pack = packs[index][1]
        if pack is None:
            continue
        window = pack.readings[0].measured_at // span_ms
        if last is not None and window != last:
            return packs[: index + 1]
        last = window
    return packs


def _decoded(record: Record) -> Body | None:
    """A pack that may be thinned, else None."""
    if _untouchable(record):
        return None
    try:
        return body.decode(record.body)
    except Rejected:
        return None


def _merge(journal: Journal, window: list[tuple[Record, Body]], level: int) -> list[int]:
    """Put the window's values in place of as few of its packs as hold them; returns the others' numbers."""
    readings = merged(reading for _, pack in window for reading in pack.readings)
    if len(window) == 1 and len(readings) == window[0][0].count:
        return []
    largest = sorted((record for record, _ in window), key=lambda record: (record.count, record.seq), reverse=True)
    for survivors in range(1, len(window) + 1):
        entries = _spread(readings, largest[:survivors], window[0][1].setting, level)
        if entries:
            for record, entry in entries:
                journal.replace(record.seq, entry)
            return [record.seq for record in largest[survivors:]]
    return []


def _spread(
    readings: list[Reading], records: list[Record], setting: int, level: int
) -> list[tuple[Record, Entry]] | None:
    """The readings in equal parts in place of ``records``; None when a part is larger than what it replaces."""
    size = -(-len(readings) // len(records))
    entries = []
    for index, record in enumerate(records):
        part = readings[index * size : (index + 1) * size]
        if not part:
            return None
        entry = Entry(body.encode(Body(setting, level, part)), len(part), record.kind)
        if entry.count > record.count or len(entry.body) > len(record.body):
            return None
        entries.append((record, entry))
    return entries
