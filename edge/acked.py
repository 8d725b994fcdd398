"""What an acknowledgement does to the journal; runs in the writer thread."""

from edge.outbox import Ack
from hinomi.journal.protocol import Journal

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
