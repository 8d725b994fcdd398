"""What campaigns found, each reduced to the smallest test that fails without its repair."""

import asyncio
import socket
from pathlib import Path

from support.journals import open_sqlite

from edge.acked import settle
from edge.config import BrokerSection
from edge.link import Link
from edge.outbox import Ack
from hinomi.journal.protocol import Entry
from sensing.topic import StationId


def test_an_acknowledgement_of_what_was_never_sent_deletes_nothing(tmp_path: Path) -> None:
    """The card is an older copy and has gathered more packs than it lacks: its numbers are all issued again."""
    journal = open_sqlite(tmp_path / "journal.db")
    journal.append([Entry(bytes([number]), 1) for number in range(5)])
    journal.mark_sent([1, 2, 4])
    before = journal.stream
    assert settle(journal, Ack(before, 4, [], 0))
    assert journal.stream != before
    assert [record.body for record in journal.read(0, limit=10)] == [bytes([number]) for number in range(5)]
    journal.mark_sent([1, 2, 5])
    assert not settle(journal, Ack(journal.stream, 2, [(5, 5)], 0))
    assert [record.seq for record in journal.read(0, limit=10)] == [3, 4]
    assert settle(journal, Ack(journal.stream, 2, [(4, 5)], 0))
    assert journal.stats().pending_readings == 2
    journal.close()


async def test_a_socket_that_was_closed_meanwhile_is_not_watched() -> None:
    """The loop was asked to watch a number that is nobody's by then, or already another connection's."""
    link = Link(BrokerSection(host="127.0.0.1"), StationId("town", "bridge"), clock_known=True)
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    one, other = socket.socketpair()
    link._on_socket_register_write(link._client, None, one)
    one.close()
    other.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert faults == []
