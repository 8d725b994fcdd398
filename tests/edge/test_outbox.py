"""Which packs go, in which order, and which again: pure decisions."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.journals import ModelJournal

from edge.outbox import FOR_FRESH, WINDOW_BYTES, Ack, Outbox
from edge.pick import A_TURN, Ask, Turn, pick
from hinomi.journal.protocol import Entry


def outbox(window: int = 40) -> Outbox:
    return Outbox(window, 10.0, random.Random(1))


def ack(upto: int, *also: tuple[int, int]) -> Ack:
    return Ack("s", upto, list(also), 0)


def journal(packs: int) -> ModelJournal:
    model = ModelJournal()
    model.append([Entry(b"x", 1) for _ in range(packs)])
    return model


def turn(model: ModelJournal, box: Outbox, *, now: float = 0.0, live_from: int = 10**9, **settings) -> Turn:
    values = {"scanned": 0, "hold_fresh": False, **settings}
    return pick(model, Ask.of(box, now, live_from=live_from, **values), lambda _: True)


def send(turn_: Turn, box: Outbox, now: float = 0.0) -> list[int]:
    for record in turn_.records:
        box.sent(record.seq, 100, now)
    return [record.seq for record in turn_.records]


def test_the_backlog_is_taken_from_both_ends_in_turn() -> None:
    assert send(turn(journal(100), outbox()), outbox())[:6] == [100, 1, 99, 2, 98, 3]


def test_a_part_of_the_window_is_kept_for_live_packs() -> None:
    model, box = journal(100), outbox(40)
    scanned = 0
    while (step := turn(model, box, scanned=scanned)).records:
        send(step, box)
        scanned = step.scanned
    assert len(box) == 40 - int(40 * FOR_FRESH)
    model.append([Entry(b"x", 1)] * 20)
    live = []
    while (step := turn(model, box, scanned=scanned, live_from=101)).records:
        live += send(step, box)
    assert live == [*range(120, 110, -1)] or set(live) == set(range(111, 121))
    assert len(box) == 40


def test_live_packs_go_before_resends_and_resends_before_the_backlog() -> None:
    model, box = journal(50), outbox()
    model.mark_sent([5])
    box.sent(5, 100, 0.0)
    model.append([Entry(b"x", 1)])
    step = turn(model, box, now=1000.0, live_from=51)
    assert [record.seq for record in step.records[:2]] == [51, 5]


def test_what_goes_is_remembered_before_it_goes() -> None:
    model, box = journal(100), outbox()
    step = turn(model, box)
    assert {record.seq for record in step.records} == {r.seq for r in model.read(0, limit=1000) if r.sent}


def test_while_the_time_is_unknown_nothing_fresh_goes() -> None:
    model = journal(10)
    ask = Ask.of(outbox(), 0.0, live_from=1, scanned=0, hold_fresh=True)
    step = pick(model, ask, lambda record: record.seq <= 3)
    assert [record.seq for record in step.records] == [1, 2, 3]
    assert not any(record.sent for record in model.read(3, limit=100))


def test_a_resend_of_what_is_gone_is_forgotten() -> None:
    model, box = journal(3), outbox()
    box.sent(2, 100, 0.0)
    model.remove(0, [(2, 2)])
    step = turn(model, box, now=1000.0)
    assert step.vanished == [2]
    box.forget(step.vanished)
    assert len(box) == 0


def test_the_window_is_limited_in_bytes_too() -> None:
    box = outbox(1000)
    for seq in range(10):
        box.sent(seq, WINDOW_BYTES // 10 + 1, 0.0)
    assert box.room == 0
    box.acknowledged(ack(0))
    assert box.room > 0


def test_waits_before_a_resend_double_up_to_ten_times_with_jitter() -> None:
    box, now, waits = outbox(), 0.0, []
    for _ in range(8):
        box.sent(1, 100, now)
        due = box.next_due
        assert due is not None
        waits.append(due - now)
        now = due
    for wait, factor in zip(waits, [1, 2, 4, 8, 10, 10, 10, 10], strict=True):
        assert 0.75 * 10 * factor <= wait <= 1.25 * 10 * factor
    assert len(set(waits)) == len(waits)


def test_when_the_cloud_is_back_what_it_misses_goes_soon() -> None:
    box = outbox()
    now = 0.0
    for _ in range(6):
        box.sent(1, 100, now)
        now = box.next_due or 0.0
    box.sent(1, 100, now)
    assert (box.next_due or 0) - now > 50
    box.cloud_is_there(now)
    assert (box.next_due or 0) - now <= 12.5


def test_a_lost_connection_resends_only_what_the_broker_did_not_take() -> None:
    box = outbox()
    box.sent(1, 100, 0.0)
    box.sent(2, 100, 0.0)
    box.taken(1)
    box.connection_lost(1.0)
    assert box.due(1.0, A_TURN) == [2]


@pytest.mark.parametrize(
    "text",
    [
        b'{"stream":"s","upto":-1,"also":[],"now":0}',
        b'{"stream":"s","upto":1,"also":[[3,2]],"now":0}',
        b'{"stream":"s","upto":1,"also":[[0,2]],"now":0}',
        b'{"stream":"s","upto":1.5,"also":[],"now":0}',
        b'{"stream":"s","also":[],"now":0}',
    ],
)
def test_a_senseless_acknowledgement_is_none(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Ack)


RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10)), max_size=5)


@given(st.integers(0, 60), RANGES)
def test_what_an_acknowledgement_covers(upto: int, ranges: list[tuple[int, int]]) -> None:
    also = [(low, low + length) for low, length in ranges]
    covered = set(range(1, upto + 1)) | {seq for low, high in also for seq in range(low, high + 1)}
    answer = ack(upto, *also)
    assert {seq for seq in range(1, 100) if answer.covers(seq)} == covered
    assert answer.highest == max(covered, default=0)


@given(st.integers(1, 200), st.integers(4, 64), st.integers(0, 1 << 32))
def test_whatever_is_lost_on_the_way_everything_arrives_once_acknowledged(
    packs: int, window: int, seed: int
) -> None:
    """A lossy line, a forgetful cloud that acknowledges some of what came: the journal runs empty."""
    rng = random.Random(seed)  # its draws are too many for hypothesis to keep
    model, box = journal(packs), Outbox(window, 10.0, rng)
    arrived: set[int] = set()
    now, scanned = 0.0, 0
    for _ in range(5000):
        step = turn(model, box, now=now, scanned=scanned)
        scanned = step.scanned
        box.forget(step.vanished)
        assert len(box) <= window
        arrived |= {seq for seq in send(step, box, now) if rng.random() < 0.7}
        known = {seq for seq in arrived if rng.random() < 0.8}
        upto = next((seq for seq in range(packs + 1) if seq + 1 not in known), packs)
        answer = ack(upto, *((seq, seq) for seq in sorted(known) if seq > upto))
        box.acknowledged(answer)
        model.remove(answer.upto, answer.also)
        now += 5.0
        if not model.stats().records:
            break
    assert arrived == set(range(1, packs + 1))
    assert len(box) == 0
