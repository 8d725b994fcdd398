"""What every journal does; another implementation is one more row of ``support.journals.KINDS``."""

import random

import pytest
from support.journals import CAP, KINDS, JournalFixture, counters, entry, everything, journal_fixture, refusal

from hinomi.errors import Transient
from hinomi.journal import Entry, Record


@pytest.fixture(params=KINDS)
def fixture(request, tmp_path):
    made = journal_fixture(request.param, tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def journal(fixture):
    return fixture.journal


def five(journal) -> None:
    journal.append([Entry(b"body%d" % n, n, "reading") for n in range(1, 6)])


def seqs(records: list[Record]) -> list[int]:
    return [record.seq for record in records]


def test_an_append_gives_dense_numbers_from_1_and_reads_back_the_same(journal):
    assert journal.append([Entry(b"a", 3, "reading"), Entry(b"", 0)]) == range(1, 3)
    assert journal.append([Entry(b"c", 1, "event")]) == range(3, 4)
    assert everything(journal) == [
        Record(1, b"a", 3, "reading"),
        Record(2, b"", 0, ""),
        Record(3, b"c", 1, "event"),
    ]


def test_everything_outlives_reopening(fixture):
    journal = fixture.journal
    rng = random.Random(1)
    five(journal)
    journal.append([], refusals=[refusal(rng)], notes={"anchor": b"1", "also": b""})
    journal.mark_sent([2, 3])
    journal.entomb([4])
    journal.cursor("store")
    journal.advance("store", 2)
    journal.remove(1)
    before = (
        journal.stream,
        everything(journal),
        counters(journal),
        journal.refusals(),
        journal.notes(""),
        journal.cursor("store"),
    )
    journal = fixture.reopen()
    assert before == (
        journal.stream,
        everything(journal),
        counters(journal),
        journal.refusals(),
        journal.notes(""),
        journal.cursor("store"),
    )
    assert journal.append([Entry(b"x")]) == range(6, 7)


def test_numbers_stay_dense_over_an_emptied_and_reopened_journal(fixture):
    five(fixture.journal)
    assert fixture.journal.remove(5) == 5
    assert counters(fixture.journal).base == 6
    journal = fixture.reopen()
    assert journal.append([Entry(b"x", 2)]) == range(6, 7)
    stats = counters(journal)
    assert (stats.base, stats.next_seq, stats.accepted_readings, stats.removed_readings) == (6, 7, 17, 15)


def test_an_append_of_nothing_changes_nothing(journal):
    five(journal)
    assert journal.append([]) == range(6, 6)
    assert counters(journal).next_seq == 6


def test_reading_stops_at_the_limits_but_never_before_the_first(journal):
    journal.append([Entry(b"x" * 100) for _ in range(10)])
    assert seqs(journal.read(0, limit=3)) == [1, 2, 3]
    assert seqs(journal.read(7, limit=100)) == [8, 9, 10]
    assert seqs(journal.read(0, limit=100, max_bytes=250)) == [1, 2]
    assert seqs(journal.read(0, limit=100, max_bytes=1)) == [1]
    assert journal.read(10, limit=5) == []


def test_the_newest_never_sent_come_first(journal):
    five(journal)
    journal.mark_sent([5, 3])
    assert seqs(journal.newest_unsent(10)) == [4, 2, 1]
    assert seqs(journal.newest_unsent(2)) == [4, 2]
    journal.entomb([2])
    assert [record.tombstone for record in journal.newest_unsent(10)] == [False, True, False]
    assert [record.sent for record in everything(journal)] == [False, False, True, False, True]


def test_marking_what_is_not_there_is_harmless(journal):
    five(journal)
    journal.remove(2)
    journal.mark_sent([1, 2, 6, 99])
    assert journal.append([Entry(b"new")]) == range(6, 7)
    assert seqs(journal.newest_unsent(10)) == [6, 5, 4, 3]


def test_removal_takes_all_up_to_a_number_and_ranges_beyond(journal):
    five(journal)
    assert journal.remove(1, [(3, 4), (3, 3), (9, 4)]) == 3
    assert seqs(everything(journal)) == [2, 5]
    assert counters(journal).removed_readings == 1 + 3 + 4
    assert journal.remove(1, [(3, 4)]) == 0
    assert journal.remove(99) == 2
    assert counters(journal).next_seq == 6


def test_tombstones_keep_the_number_and_declare_the_readings(journal):
    five(journal)
    journal.mark_sent([5])
    assert journal.entomb([3, 4, 5, 99, 3]) == 7
    records = everything(journal)
    assert records[2] == Record(3, b"", 3, "reading", tombstone=True)
    assert not records[4].tombstone
    stats = counters(journal)
    assert (stats.dropped_readings, stats.pending_readings, stats.records) == (7, 8, 5)
    assert journal.remove(5) == 5
    stats = counters(journal)
    assert (stats.dropped_readings, stats.removed_readings, stats.bytes) == (7, 8, 0)


def test_thinning_gives_up_the_difference(journal):
    five(journal)
    assert journal.replace(5, Entry(b"b", 2, "thin")) == 3
    assert everything(journal)[4] == Record(5, b"b", 2, "thin")
    assert counters(journal).dropped_readings == 3
    assert journal.entomb([5]) == 2
    assert counters(journal).dropped_readings == 5


def test_what_was_sent_or_is_gone_is_never_thinned(journal):
    five(journal)
    journal.mark_sent([2])
    journal.entomb([3])
    journal.remove(1)
    before = everything(journal)
    assert [journal.replace(seq, Entry(b"", 0)) for seq in (1, 2, 3, 6)] == [0, 0, 0, 0]
    assert everything(journal) == before


def test_thinning_never_makes_more(journal):
    five(journal)
    with pytest.raises(ValueError, match=r"larger|more"):
        journal.replace(2, Entry(b"body2", 3))
    with pytest.raises(ValueError, match=r"larger|more"):
        journal.replace(2, Entry(b"body2+", 1))
    assert everything(journal)[1] == Record(2, b"body2", 2, "reading")


def test_a_cursor_begins_at_0_and_moves_only_forward(journal):
    five(journal)
    assert journal.cursor("store") == 0
    journal.advance("store", 3)
    journal.advance("store", 2)
    assert journal.cursor("store") == 3
    journal.advance("judge", 1)
    assert (journal.cursor("judge"), journal.cursor("store")) == (1, 3)


def test_what_a_consumer_says_is_committed_with_its_cursor_and_only_once(fixture):
    journal, rng = fixture.journal, random.Random(4)
    five(journal)
    first, again = refusal(rng), refusal(rng)
    journal.advance("store", 3, notes={"done": b"3"}, refusals=[first])
    journal.advance("store", 3, notes={"done": b"again"}, refusals=[again])
    journal.advance("store", 2, notes={"done": b"2"}, refusals=[again])
    journal = fixture.reopen()
    assert journal.cursor("store") == 3
    assert journal.note("done") == b"3"
    assert [row.body for row in journal.refusals()] == [first.body]
    assert counters(journal).quarantined_readings == first.count


def test_a_cursor_cannot_pass_what_is_not_issued(journal):
    """It would skip what comes later under that number."""
    five(journal)
    with pytest.raises(ValueError, match="issued"):
        journal.advance("store", 6)
    assert journal.cursor("store") == 0


def test_trimming_goes_behind_the_slowest_cursor(journal):
    five(journal)
    assert journal.trim() == 0
    journal.advance("store", 4)
    journal.cursor("judge")
    assert journal.trim() == 0
    journal.advance("judge", 2)
    assert journal.trim() == 2
    assert seqs(everything(journal)) == [3, 4, 5]
    assert counters(journal).removed_readings == 3


def test_notes_commit_with_an_append_and_are_found_by_prefix(journal):
    journal.append([Entry(b"x")], notes={"tracker/a": b"1", "tracker/b": b"2", "boot": b"3"})
    journal.append([], notes={"tracker/a": b"4"})
    assert journal.note("tracker/a") == b"4"
    assert journal.note("nothing") is None
    assert journal.notes("tracker/") == {"tracker/a": b"4", "tracker/b": b"2"}


def test_the_quarantine_keeps_order_and_never_gives_an_id_twice(fixture):
    rng = random.Random(2)
    journal = fixture.journal
    journal.append([Entry(b"x")], refusals=[refusal(rng), refusal(rng)])
    assert [item.id for item in journal.refusals()] == [1, 2]
    journal.forget_refusals([2, 77])
    journal = fixture.reopen()
    journal.append([], refusals=[refusal(rng)])
    assert [item.id for item in journal.refusals()] == [1, 3]
    assert [item.id for item in journal.refusals(after=1)] == [3]
    assert [item.id for item in journal.refusals(limit=1)] == [1]
    stats = counters(journal)
    assert (stats.quarantined, stats.quarantined_readings) == (2, 6)


def test_the_cap_refuses_and_nothing_of_the_call_is_there(journal):
    journal.append([Entry(b"x" * (CAP - 10), 5)])
    with pytest.raises(Transient, match="full"):
        journal.append([Entry(b"fits"), Entry(b"not any more")], notes={"a": b"1"}, refusals=[])
    stats = counters(journal)
    assert (stats.records, stats.next_seq, stats.bytes) == (1, 2, CAP - 10)
    assert journal.note("a") is None
    journal.append([Entry(b"x" * 10)], notes={"a": b"1"})
    journal.remove(1)
    assert journal.append([Entry(b"there is room again")]) == range(3, 4)


def test_a_full_quarantine_refuses_what_it_is_for_and_nothing_else(journal):
    rng = random.Random(3)
    journal.append([], refusals=[refusal(rng) for _ in range(CAP // 2 // 50)])
    with pytest.raises(Transient, match="quarantine"):
        journal.append([Entry(b"good")], refusals=[refusal(rng)])
    assert journal.append([Entry(b"good")]) == range(1, 2)


def test_renewal_numbers_from_1_unsent_and_counts_anew(fixture):
    journal = fixture.journal
    journal.append([Entry(b"body%d" % n, n, "reading") for n in range(1, 11)])
    journal.mark_sent([9, 10])
    journal.entomb([4])
    journal.replace(5, Entry(b"b", 1))
    journal.advance("store", 5)
    journal.advance("judge", 8)
    journal.cursor("late")
    journal.remove(2, [(6, 7), (10, 10)])
    old = journal.stream
    journal.renew("a test")
    assert journal.stream != old
    for _ in range(2):
        assert everything(journal) == [
            Record(1, b"body3", 3, "reading"),
            Record(2, b"", 4, "reading", tombstone=True),
            Record(3, b"b", 1, ""),
            Record(4, b"body8", 8, "reading"),
            Record(5, b"body9", 9, "reading"),
        ]
        stats = counters(journal)
        assert (stats.base, stats.next_seq, stats.records) == (1, 6, 5)
        assert (stats.accepted_readings, stats.dropped_readings, stats.removed_readings) == (29, 8, 0)
        assert [journal.cursor(name) for name in ("store", "judge", "late")] == [3, 4, 0]
        assert seqs(journal.newest_unsent(9)) == [5, 4, 3, 2, 1]
        journal = fixture.reopen()
    assert journal.append([Entry(b"on")]) == range(6, 7)


def test_renewal_closes_holes_on_both_sides_of_the_largest_run(fixture):
    journal = fixture.journal
    journal.append([Entry(b"body%d" % n, n) for n in range(1, 26)])
    journal.remove(0, [(3, 3), (6, 6), (21, 21), (24, 24)])
    journal.renew("a test")
    kept = [n for n in range(1, 26) if n not in {3, 6, 21, 24}]
    for _ in range(2):
        assert [(record.seq, record.body) for record in everything(journal)] == [
            (seq, b"body%d" % n) for seq, n in enumerate(kept, 1)
        ]
        assert counters(journal).pending_readings == sum(kept)
        journal = fixture.reopen()


def test_renewal_without_holes_forgets_what_was_sent_and_what_was_given_up_and_removed(fixture):
    journal = fixture.journal
    five(journal)
    journal.entomb([1, 4])
    journal.mark_sent([2, 3])
    journal.remove(1)
    journal.renew("a test")
    journal = fixture.reopen()
    stats = counters(journal)
    assert (stats.accepted_readings, stats.dropped_readings, stats.pending_readings) == (14, 4, 10)
    assert seqs(journal.newest_unsent(9)) == [4, 3, 2, 1]


def test_renewal_of_an_empty_journal(fixture):
    five(fixture.journal)
    fixture.journal.advance("store", 5)
    fixture.journal.trim()
    fixture.journal.renew("a test")
    journal = fixture.reopen()
    assert journal.cursor("store") == 0
    assert counters(journal).accepted_readings == 0
    assert journal.append([Entry(b"x", 4)]) == range(1, 2)
    assert counters(journal).pending_readings == 4


def test_large_bodies_come_back_whole(fixture):
    rng = random.Random(4)
    bodies = [rng.randbytes(size) for size in (0, 1, 4000, 4061, 4062, 5000, 20_000, 50_000)]
    fixture.journal.append([Entry(body) for body in bodies])
    assert [record.body for record in everything(fixture.reopen())] == bodies


def test_the_counters_add_up_whatever_comes(fixture: JournalFixture):
    rng = random.Random(5)
    journal = fixture.journal
    for _ in range(200):
        journal.append([entry(rng) for _ in range(rng.randrange(4))])
        high = counters(journal).next_seq
        journal.mark_sent(rng.sample(range(1, high + 1), min(high, 2)))
        journal.entomb(rng.sample(range(1, high + 1), min(high, 2)))
        journal.remove(rng.randrange(high), [(low := rng.randrange(high), low + rng.randrange(5))])
        counters(journal)
