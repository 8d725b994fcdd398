"""What is durable, told from every order of arrival; and that the loss meter always adds up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ingest import BRIDGE, header

from cloud.ingest.accounts import Account, Accounts
from cloud.ingest.loss import LossMeter, StationLoss
from cloud.ingest.tracker import MAX_RANGES, MAX_STREAMS, Stream, Tracker


def take(tracker: Tracker, seq: int, *, good: int = 1, refused: int = 0, at: int = 1, **labels) -> bool:
    fresh = tracker.take(BRIDGE, header(seq, **labels), good=good, refused=refused, size=10, at=at)
    tracker.committed()
    return fresh


def row(tracker: Tracker, accounts: Accounts | None = None) -> StationLoss:
    return LossMeter(tracker, accounts or Accounts()).row(BRIDGE)


def adds_up(loss: StationLoss) -> bool:
    parts = (
        loss.stored,
        loss.pending_station,
        loss.pending_journal,
        loss.quarantined,
        loss.dropped,
        loss.written_off,
        loss.unaccounted,
    )
    return loss.accepted == sum(parts)


@given(st.lists(st.integers(1, 40), max_size=80))
def test_a_stream_is_the_set_of_what_came(seqs: list[int]) -> None:
    state, seen = Stream(), set()
    for seq in seqs:
        assert state.has(seq) == (seq in seen)
        assert state.take(header(seq, accepted=0), good=0, refused=0) == (seq not in seen)
        seen.add(seq)
    covered = set(range(1, state.upto + 1))
    for low, high in state.ranges:
        assert low > max(covered, default=0) + 1
        covered |= set(range(low, high + 1))
    assert covered == seen


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 29)), max_size=40).map(
        lambda pairs: [(seq, min(base, seq - 1) + 1) for seq, base in pairs]
    )
)
def test_a_base_above_closes_what_lies_below_it(packs: list[tuple[int, int]]) -> None:
    state, seen, gone = Stream(), set(), set()
    skipped = 0
    for seq, base in packs:
        new_gone = set(range(1, base)) - seen - gone
        skipped += len(new_gone)
        gone |= new_gone
        fresh = state.take(header(seq, base=base, accepted=0), good=0, refused=0)
        assert fresh == (seq not in seen | gone)
        seen.add(seq)
    assert state.skipped == skipped
    covered = {n for n in range(1, 31) if state.has(n)}
    assert covered == {n for n in seen | gone if n <= 30}


def test_notes_give_the_same_state_back() -> None:
    tracker = Tracker()
    for seq in (1, 2, 5, 9):
        tracker.take(BRIDGE, header(seq), good=3, refused=1, size=100, at=7)
    notes = tracker.notes()
    tracker.committed()
    again = Tracker()
    again.load(notes)
    assert dict(again.streams(BRIDGE)) == dict(tracker.streams(BRIDGE))
    assert again.streams(BRIDGE)["s1"].ranges == [(5, 5), (9, 9)]


def test_changes_are_not_the_truth_before_their_commit() -> None:
    tracker = Tracker()
    take(tracker, 1)
    tracker.take(BRIDGE, header(2), good=1, refused=0, size=1, at=1)
    tracker.take(BRIDGE, header(7), good=1, refused=0, size=1, at=1)
    assert tracker.streams(BRIDGE)["s1"].upto == 1
    assert tracker.streams(BRIDGE)["s1"].ranges == []
    tracker.committed()
    assert tracker.streams(BRIDGE)["s1"].upto == 2


def test_the_same_pack_twice_in_one_commit_counts_once() -> None:
    tracker = Tracker()
    assert tracker.take(BRIDGE, header(1, accepted=4), good=4, refused=0, size=1, at=1)
    assert not tracker.take(BRIDGE, header(1, accepted=4), good=4, refused=0, size=1, at=1)
    tracker.committed()
    assert row(tracker).pending_journal == 4


def test_a_pending_reading_is_in_the_station_in_the_journal_or_in_the_store() -> None:
    tracker, accounts = Tracker(), Accounts()
    take(tracker, 1, good=4, refused=1, accepted=20, dropped=3)
    loss = row(tracker)
    assert (loss.pending_station, loss.pending_journal, loss.quarantined, loss.dropped) == (12, 4, 1, 3)
    after, _ = accounts.prepared({BRIDGE: Account(3, 1, 10)})
    accounts.committed(after)
    loss = row(tracker, accounts)
    assert (loss.stored, loss.pending_journal, loss.quarantined, loss.unaccounted) == (3, 0, 2, 0)
    assert adds_up(loss)


def test_packs_that_the_cloud_forgot_are_unaccounted_once_nothing_else_is_missing() -> None:
    """A restored cloud: packs 1..3 (2 readings each) were acknowledged and are gone; 4 and 6 come, then 5."""
    tracker = Tracker()
    take(tracker, 6, good=2, base=4, accepted=12)
    assert tracker.streams(BRIDGE)["s1"].skipped == 3
    assert row(tracker).pending_station == 10
    take(tracker, 4, good=2, base=4, accepted=12)
    take(tracker, 5, good=2, base=4, accepted=14)
    assert row(tracker).unaccounted == 8
    take(tracker, 7, good=2, base=7, accepted=14)
    loss = row(tracker)
    assert (loss.unaccounted, loss.pending_station) == (6, 0)
    take(tracker, 9, good=2, base=8, accepted=18)
    loss = row(tracker)
    assert (loss.unaccounted, loss.pending_station) == (6, 2)
    assert adds_up(loss)


def test_what_a_given_up_journal_still_held_is_written_off() -> None:
    tracker = Tracker()
    take(tracker, 1, good=2, accepted=10, at=1)
    take(tracker, 1, good=2, accepted=5, stream="s2", at=2)
    loss = row(tracker)
    assert (loss.written_off, loss.pending_station, loss.accepted) == (8, 3, 15)
    take(tracker, 2, good=3, accepted=10, at=3)
    assert row(tracker).written_off == 5, "what comes late after all is not written off"
    assert tracker.current(BRIDGE) == "s2"


def test_more_than_was_accepted_is_shown() -> None:
    tracker = Tracker()
    take(tracker, 1, good=5, accepted=3)
    assert row(tracker).unaccounted == -2


def test_old_streams_become_one_sum_and_nothing_of_it_is_lost() -> None:
    tracker = Tracker()
    for number in range(3 * MAX_STREAMS):
        tracker.take(BRIDGE, header(1, stream=f"s{number}"), good=1, refused=0, size=1, at=number)
        notes = tracker.notes()
        tracker.committed()
    assert len(tracker.streams(BRIDGE)) <= MAX_STREAMS + 1
    loss = row(tracker)
    assert (loss.accepted, loss.pending_journal) == (3 * MAX_STREAMS, 3 * MAX_STREAMS)
    assert b"" in notes.values()


def test_holes_are_bounded() -> None:
    tracker = Tracker()
    for seq in range(3, 3 + 2 * MAX_RANGES, 2):
        take(tracker, seq, accepted=0)
    assert not tracker.has_room(BRIDGE, header(9_999))
    assert tracker.has_room(BRIDGE, header(1))
    assert tracker.has_room(BRIDGE, header(1, stream="other"))


@pytest.mark.parametrize("seed", range(20))
def test_it_adds_up_whatever_comes(seed: int) -> None:
    rng = random.Random(seed)
    tracker = Tracker()
    for _ in range(200):
        stream = f"s{rng.randrange(3)}"
        seq = rng.randrange(1, 60)
        take(
            tracker,
            seq,
            good=rng.randrange(3),
            refused=rng.randrange(2),
            stream=stream,
            base=rng.randrange(1, seq + 1),
            accepted=rng.randrange(300),
            dropped=rng.randrange(20),
            at=rng.randrange(100),
        )
        if rng.random() < 0.1:
            tracker.replay(BRIDGE, 1, rng.randrange(2), 0, 1)
            tracker.committed()
        assert adds_up(row(tracker))
