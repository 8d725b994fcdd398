"""What an acknowledgement does to the journal, and how one is asked for; runs in the writer thread."""

from edge.outbox import Ack
from edge.wire import Stand
from hinomi.journal.protocol import Entry, Journal, Record

# How many records are looked at together.
A_READ = 100


def settle(journal: Journal, ack: Ack) -> bool:
    """Delete what is acknowledged; True, and a new stream, when some of that never went out from here.

    A card that was put back to an earlier state gives numbers out again. It may have gathered more packs than it
    lacks before it hears from the cloud: then only that they were never sent tells them from those acknowledged.

    Raises:
        Transient: the disk is full or failing.
    """
    if ack.highest >= journal.stats().next_seq or any(_never_sent(journal, *each) for each in ack.ranges):
        journal.renew(f"pack {ack.highest} was acknowledged and never sent")
        return True
    journal.remove(ack.upto, ack.also)
    return False


def append_nothing(journal: Journal) -> int:
    """A pack of nothing: its acknowledgement tells the time, and what the cloud knows of us; returns its number."""
    (seq,) = journal.append([Entry(b"")])
    journal.entomb([seq])
    return seq


def ask(journal: Journal) -> tuple[Record, Stand]:
    """A pack of nothing that goes out now, before all others.

    Raises:
        Transient: the disk is full or failing.
    """
    seq = append_nothing(journal)
    journal.mark_sent([seq])
    (record,) = journal.read(seq - 1, limit=1)
    return record, Stand(journal.stream, journal.stats())


def _never_sent(journal: Journal, low: int, high: int) -> bool:
    """Whether a record that is held within the inclusive range was never sent."""
    after = low - 1
    while records := journal.read(after, limit=A_READ):
        if any(not record.sent for record in records if record.seq <= high):
            return True
        after = records[-1].seq
        if after >= high:
            break
    return False
