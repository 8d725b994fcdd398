"""What one commit will hold: packs of readings by kind and setting of the clock, and notes."""

import asyncio

from edge import body
from hinomi.journal.protocol import Entry
from sensing.observation import Kind, Reading

# Keeps a pack far below the broker's and the cloud's limit on a message (about 30 bytes a reading on the wire).
MAX_READINGS_A_PACK = 500
# How many readings wait in memory while the disk is full.
MAX_WAITING = 5000

Packs = dict[tuple[Kind, int], list[Reading]]
Key = tuple[str, str]


class Group:
    """What the next commit will hold; true when there is anything.

    Attributes:
        sampled: what asked sensors gave; kept when the commit fails.
        pushed: what somebody waits for.
        notes: small values committed with them.
        floors: the latest time that devices gave, by datastream.
        committed: what those who pushed wait for; None: nobody.
    """

    def __init__(self) -> None:
        self.sampled: Packs = {}
        self.pushed: Packs = {}
        self.notes: dict[str, bytes] = {}
        self.floors: dict[Key, int] = {}
        self.committed: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self.sampled or self.pushed or self.notes)

    def entries(self) -> list[Entry]:
        """The packs as entries of the journal."""
        packs: Packs = {}
        for source in (self.sampled, self.pushed):
            for key, readings in source.items():
                packs.setdefault(key, []).extend(readings)
        return [entry for (kind, setting), readings in packs.items() for entry in _entries(kind, setting, readings)]

    def take_back(self, earlier: "Group") -> int:
        """Keep what a failed commit had sampled, oldest first; returns how many readings no longer fit."""
        self.notes = earlier.notes | self.notes
        for key, readings in earlier.sampled.items():
            self.sampled[key] = readings + self.sampled.get(key, [])
        excess = max(0, count(self.sampled) - MAX_WAITING)
        given_up = excess
        for key in list(self.sampled):
            cut = min(excess, len(self.sampled[key]))
            self.sampled[key] = self.sampled[key][cut:]
            excess -= cut
            if not self.sampled[key]:
                del self.sampled[key]
        return given_up


def count(packs: Packs) -> int:
    """How many readings they hold."""
    return sum(len(readings) for readings in packs.values())


def _entries(kind: Kind, setting: int, readings: list[Reading]) -> list[Entry]:
    parts = (readings[at : at + MAX_READINGS_A_PACK] for at in range(0, len(readings), MAX_READINGS_A_PACK))
    return [Entry(body.encode(body.Body(setting, 0, part)), len(part), body.LABELS[kind]) for part in parts]
