"""The writer: effect first, cursor after it; patience; one batch in hand and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

import pytest
from support.clock import settle
from support.feeds import ListFeed, away, until
from support.observations import ramp, stream

from cloud.store.protocol import RefusedPoint
from cloud.store.sqlite import SqliteStore
from cloud.store.writer import BACKOFF_MAX_S, BACKOFF_S, BATCH, Writer

T0 = 1_700_000_000_000


class Unreliable:
    """The real store behind a door that opens when a test says so."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.failures: list[Exception] = []
        self.attempts = 0
        self.refuse: set[float] = set()

    async def write(self, batch):
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        bad = [RefusedPoint(o, "type_conflict", "the server's text") for o in batch if o.value in self.refuse]
        await self.store.write([o for o in batch if o.value not in self.refuse])
        return bad


@pytest.fixture
async def door(tmp_path) -> AsyncIterator[Unreliable]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield Unreliable(store)
    await store.close()


@pytest.fixture
def feed() -> ListFeed:
    return ListFeed()


def writer_of(feed: ListFeed, door: Unreliable, clock) -> Writer:
    return Writer(feed, door, pace=clock, random=Random(7))


async def test_what_is_in_the_feed_is_stored_and_the_cursor_follows(feed, door, clock):
    for number in range(5):
        feed.put(ramp(stream(), T0 + number * 600_000, 10))
    writer = writer_of(feed, door, clock)
    await writer.step()
    assert feed.cursor == 5
    assert await door.store.count("town") == 50
    assert (writer.written, writer.refused, writer.batches) == (50, 0, 1)


async def test_the_cursor_does_not_move_before_the_effect(feed, door, clock):
    feed.put(ramp(stream(), T0, 10))
    door.failures = [away()] * 3
    writer = writer_of(feed, door, clock)
    task = asyncio.create_task(writer.step())
    await clock.advance(0)
    assert (door.attempts, feed.cursor) == (1, 0)
    await clock.advance(60)
    await asyncio.wait_for(task, 10)
    assert feed.cursor == 1
    assert await door.store.count("town") == 10


async def test_a_crash_between_effect_and_cursor_repeats_harmlessly(feed, door, clock):
    feed.put(ramp(stream(), T0, 10))
    feed.failures = []
    writer = writer_of(feed, door, clock)

    async def crash(*_args, **_more):
        raise KeyboardInterrupt

    done, feed.done = feed.done, crash
    with suppress(KeyboardInterrupt):
        await writer.step()
    assert (feed.cursor, await door.store.count("town")) == (0, 10)
    feed.done = done
    await writer_of(feed, door, clock).step()
    assert (feed.cursor, await door.store.count("town")) == (1, 10)


async def test_refused_points_go_to_quarantine_with_the_cursor_and_the_good_are_stored(feed, door, clock):
    good, bad = ramp(stream(), T0, 9), ramp(stream("school"), T0, 2, first=500.0)
    feed.put([*good[:4], bad[0], *good[4:], bad[1]])
    door.refuse = {500.0, 501.0}
    writer = writer_of(feed, door, clock)
    await writer.step()
    assert [r.observation for r in feed.refused] == bad
    assert all(any(r.observation is o for o in feed.packs[0].observations) for r in feed.refused)
    assert {r.detail for r in feed.refused} == {"the server's text"}
    assert await door.store.count("town") == 9
    assert (writer.written, writer.refused) == (9, 2)


async def test_a_pack_without_readings_is_passed(feed, door, clock):
    feed.put([])
    await writer_of(feed, door, clock).step()
    assert feed.cursor == 1


async def test_a_journal_that_cannot_be_written_is_asked_again_with_the_same(feed, door, clock):
    feed.put(ramp(stream(), T0, 3))
    writer = writer_of(feed, door, clock)
    write = door.write

    async def then_the_disk_is_full(batch):
        feed.failures = [away("the disk is full")]
        return await write(batch)

    door.write = then_the_disk_is_full
    task = asyncio.create_task(writer.step())
    await until(lambda: writer.problem == "the disk is full")
    assert await door.store.count("town") == 3
    await clock.advance(BACKOFF_S)
    await asyncio.wait_for(task, 10)
    assert (feed.done_calls, door.attempts) == ([1], 1)
    assert writer.problem is None


async def test_it_waits_longer_after_each_failure_up_to_a_limit_and_never_in_step_with_others(feed, door, clock):
    waits: list[float] = []

    class Pace:
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)

    feed.put(ramp(stream(), T0, 1))
    door.failures = [away()] * 12
    await Writer(feed, door, pace=Pace(), random=Random(1)).step()
    assert len(waits) == 12
    for index, wait in enumerate(waits):
        ceiling = min(BACKOFF_S * 2**index, BACKOFF_MAX_S)
        assert ceiling / 2 <= wait <= ceiling
    assert len(set(waits)) == 12
    waits.clear()
    feed.put(ramp(stream(), T0, 1))
    door.failures = [away()]
    await Writer(feed, door, pace=Pace(), random=Random(1)).step()
    assert waits[0] <= BACKOFF_S


async def test_after_success_it_begins_anew(feed, door, clock):
    writer = writer_of(feed, door, clock)
    for _ in range(3):
        feed.put(ramp(stream(), T0, 1))
        door.failures = [away()]
        task = asyncio.create_task(writer.step())
        await clock.advance(BACKOFF_S)
        await asyncio.wait_for(task, 10)
    assert writer.retries == 3


async def test_it_waits_as_long_as_the_store_asks_for(feed, door, clock):
    feed.put(ramp(stream(), T0, 1))
    door.failures = [away(retry_after=40.0)]
    task = asyncio.create_task(writer_of(feed, door, clock).step())
    await clock.advance(39.9)
    assert not task.done()
    await clock.advance(0.2)
    await asyncio.wait_for(task, 10)


async def test_what_is_wrong_is_said_while_it_is_wrong(feed, door, clock):
    feed.put(ramp(stream(), T0, 1))
    door.failures = [away("the store at x does not answer")]
    writer = writer_of(feed, door, clock)
    task = asyncio.create_task(writer.step())
    await clock.advance(0)
    assert writer.problem == "the store at x does not answer"
    await clock.advance(10)
    await asyncio.wait_for(task, 10)
    assert writer.problem is None


async def test_a_bug_is_not_patience(feed, door, clock):
    feed.put(ramp(stream(), T0, 1))
    door.failures = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await writer_of(feed, door, clock).step()
    assert feed.cursor == 0


async def test_however_much_waits_one_batch_is_in_hand(feed, door, clock):
    for number in range(400):
        feed.put(ramp(stream(), T0 + number * 100_000, 60, step=1000))
    writer = writer_of(feed, door, clock)
    task = asyncio.create_task(writer.run())
    async with asyncio.timeout(20):
        while feed.behind:
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert feed.largest < BATCH + 60
    assert await door.store.count("town") == 24_000
    assert writer.batches == 5


async def test_cancelled_at_any_moment_it_leaves_nothing_half(feed, door, clock):
    """A hundred cancellations at random turns of the loop; then one undisturbed run."""
    rng = Random(3)
    for number in range(100):
        feed.put(ramp(stream(), T0 + number * 100_000, 20, step=1000))
        task = asyncio.create_task(writer_of(feed, door, clock).run())
        await settle(rng.randrange(12))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    while feed.behind:
        await writer_of(feed, door, clock).step()
    assert await door.store.count("town") == 2000
