"""What campaigns found, each reduced to the smallest test that fails without its repair."""

import asyncio
import json
import random
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.clock import ManualClock
from support.ingest import BRIDGE, NOW, header, item, pack, running_ingest
from support.ingest import Outbox as Published
from support.journals import open_sqlite

from cloud.ingest.ack import MAX_ALSO
from cloud.link import BrokerSection as CloudBroker
from cloud.link import Link as CloudLink
from cloud.link.client import Connection as CloudConnection
from edge.acked import settle
from edge.config import BrokerSection
from edge.link import Link
from edge.outbox import Ack, Outbox
from edge.uplink import Uplink
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
    link = Link(BrokerSection(host="127.0.0.1"), StationId("town", "bridge"), None)
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    one, other = socket.socketpair()
    link._on_socket_register_write(link._client, None, one)
    one.close()
    other.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert faults == []


async def test_a_line_that_breaks_again_and_again_does_not_keep_a_station_away(clock: ManualClock) -> None:
    """Each connection lives for 15 s and delivers; the waits between them must not grow to minutes."""
    opened: list[float] = []

    class Flapping(Uplink):
        async def _connection(self) -> None:
            opened.append(clock.monotonic())
            await clock.sleep(15)

    anything: Any = SimpleNamespace(
        failed=lambda *_: None, count=lambda *_: None, uplink=SimpleNamespace(window=8, resend_s=1.0), changed=None
    )
    uplink = Flapping(anything, anything, anything, anything, clock, anything, random.Random(1), status=bytes)
    task = asyncio.create_task(uplink.run())
    await clock.advance(600)
    task.cancel()
    assert len(opened) > 30, opened


async def test_what_just_came_is_acknowledged_however_many_holes_lie_below(
    tmp_path: Path, clock: ManualClock
) -> None:
    """A station that holds every second pack back got no acknowledgement any more; so it never learnt the time."""
    journal = open_sqlite(tmp_path / "arrival.db", cap_bytes=1 << 24)
    async with running_ingest(journal, clock=clock) as ingest:
        published = ingest.acker.publisher = Published()
        count = 3 * MAX_ALSO
        seqs = [2 * number for number in range(1, count + 1)]

        async def send(*seqs: int) -> list[list[int]]:
            for seq in seqs:
                taken = ingest.accept.receive(BRIDGE.topic("obs"), pack(header(seq), item(at=NOW + seq)), {})
                assert taken is not None
                assert await taken
            published.sent.clear()
            await ingest.acker.flush()
            ((_, body),) = published.sent
            return json.loads(body)["also"]

        told = await send(*seqs)
        assert len(told) == MAX_ALSO
        told += await send()
        told += await send()
        assert sorted(told) == [[seq, seq] for seq in seqs], "what found no room is told the next time"
        assert [seqs[-1]] * 2 in await send(seqs[-1]), "also when it is sent again"
        published.sent.clear()
        await ingest.acker.flush()
        assert published.sent == [], "and then there is nothing more to say"
    journal.close()


def test_an_acknowledgement_that_was_held_up_until_after_a_resend_does_not_look_fresh() -> None:
    """The time it tells is older than the resend; a station without a clock would have taken it for the present."""
    box = Outbox(8, 1.0, random.Random(1))
    box.sent(1, 100, 10.0)
    box.sent(1, 100, 40.0)
    assert box.acknowledged(Ack("s", 1, [], 0)) == 10.0


class Waiting:
    """A connection whose opening hangs after the broker has sent what it kept for us."""

    def __init__(self, _section: object, handler: Any, _gate: object) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._handler = handler
        self.answers: list[asyncio.Task[int]] = []

    async def open(self, *_: object) -> None:
        self.answers.append(asyncio.create_task(self._handler("topic", b"pack", {})))
        OPENED.append(self)
        await asyncio.Event().wait()


OPENED: list[Waiting] = []


async def test_what_came_before_the_connection_was_open_is_let_go_of_at_the_end(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending the service at that moment filled the log with hundreds of cancelled handlers."""
    monkeypatch.setattr("cloud.link.link.Connection", Waiting)
    committed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    lifecycle: Any = SimpleNamespace(lost=lambda: committed.set_result(False))
    link = CloudLink(CloudBroker(), [], lambda *_: committed, lifecycle, pace=clock, rng=random.Random(1))
    task = asyncio.create_task(link.run())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (answer,) = OPENED.pop().answers
    assert await asyncio.wait_for(answer, 1) == 0


async def test_what_was_read_before_a_connection_ended_is_not_taken_in_any_more() -> None:
    taken: list[str] = []

    async def handler(topic: str, *_: object) -> int:
        taken.append(topic)
        return 0

    connection = CloudConnection(CloudBroker(), handler, asyncio.Event())
    assert await connection._on_message(None, "before", b"", 1, {}) == 0
    connection.end("over")
    assert await connection._on_message(None, "after", b"", 1, {}) == 0
    assert taken == ["before"]
