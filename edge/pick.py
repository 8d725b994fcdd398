"""Which records go next: live ones first, then backlog, from its newest and its oldest end in turn."""

from collections.abc import Callable

import msgspec

from edge.outbox import Outbox
from edge.wire import Stand
from hinomi.journal.protocol import Journal, Record

# How much one turn takes, so that a live pack never waits behind many old ones.
A_TURN = 32
A_TURN_BYTES = 128 * 1024


class Ask(msgspec.Struct, frozen=True):
    """What may be chosen; made in the event loop, used in the writer thread.

    Attributes:
        under_way: packs that wait for the cloud's acknowledgement.
        resends: those of them that go again now.
        room: how many live packs may follow.
        room_for_backlog: how many others may follow.
        live_from: packs from this number on are live.
        scanned: up to where the old end of the backlog was looked through.
        hold_fresh: what was just measured may not go yet.
    """

    under_way: frozenset[int]
    resends: list[int]
    room: int
    room_for_backlog: int
    live_from: int
    scanned: int
    hold_fresh: bool

    @classmethod
    def of(cls, outbox: Outbox, now: float, *, live_from: int, scanned: int, hold_fresh: bool) -> "Ask":
        """What the window allows at ``now`` (s of the pace)."""
        return cls(
            under_way=outbox.under_way,
            resends=outbox.due(now, A_TURN),
            room=min(outbox.room, A_TURN),
            room_for_backlog=min(outbox.room_for_backlog, A_TURN),
            live_from=live_from,
            scanned=scanned,
            hold_fresh=hold_fresh,
        )


class Turn(msgspec.Struct, frozen=True):
    """What to send now.

    Attributes:
        records: in this order.
        stand: how the journal stands, for the headers.
        scanned: as in ``Ask``, for the next turn.
        more: the old end was not reached.
        vanished: resends whose records are gone.
    """

    records: list[Record]
    stand: Stand
    scanned: int
    more: bool
    vanished: list[int]


def pick(journal: Journal, ask: Ask, sendable: Callable[[Record], bool]) -> Turn:
    """Choose, and remember durably which of them never went before: from now on they may not be thinned.

    Args:
        journal: the backlog.
        ask: what may be chosen.
        sendable: whether the time of a record is settled, so that it may go.

    Raises:
        Transient: the disk is full or failing.
    """
    again = [record for seq in ask.resends for record in journal.read(seq - 1, limit=1) if record.seq == seq]
    newest = _newest(journal, ask, sendable)
    old = sum(record.seq < ask.live_from for record in newest)
    room = min(ask.room - len(newest), ask.room_for_backlog - old)
    passed = journal.read(ask.scanned, limit=room, max_bytes=A_TURN_BYTES) if room > 0 else []
    oldest = [record for record in passed if record.seq not in ask.under_way and sendable(record)]
    first = _in_turn(newest, oldest)
    journal.mark_sent(sorted(record.seq for record in first if not record.sent))
    return Turn(
        # A live pack goes before resends, resends before the backlog.
        records=[*first[:1], *again, *first[1:]],
        stand=Stand(journal.stream, journal.stats()),
        scanned=passed[-1].seq if passed else ask.scanned,
        more=bool(passed),
        vanished=sorted(set(ask.resends) - {record.seq for record in again}),
    )


def _newest(journal: Journal, ask: Ask, sendable: Callable[[Record], bool]) -> list[Record]:
    """The newest that never went: live ones as far as there is room, of the backlog half of what may go."""
    if ask.hold_fresh or ask.room <= 0:
        return []
    records = journal.newest_unsent((ask.room + 1) // 2)
    free = [record for record in records if record.seq not in ask.under_way and sendable(record)]
    live = [record for record in free if record.seq >= ask.live_from]
    return live + free[len(live) :][: max(0, (ask.room_for_backlog + 1) // 2)]


def _in_turn(newest: list[Record], oldest: list[Record]) -> list[Record]:
    """One from each end at a time, no record twice."""
    mixed: dict[int, Record] = {}
    for index in range(max(len(newest), len(oldest))):
        for records in (newest, oldest):
            if index < len(records):
                mixed.setdefault(records[index].seq, records[index])
    return list(mixed.values())
