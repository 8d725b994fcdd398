"""Ranges behave as the set of their numbers."""

import hypothesis.strategies as st
from hypothesis import given

from hinomi.journal.ranges import Ranges, grouped

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1])))


def numbers(ranges) -> set[int]:
    return {number for low, high in ranges for number in range(low, high + 1)}


@given(pairs)
def test_it_is_the_set_of_what_was_added(added):
    ranges = Ranges(added)
    assert numbers(ranges) == numbers(added)
    assert [number in ranges for number in range(80)] == [number in numbers(added) for number in range(80)]
    assert apart(ranges)


def apart(ranges) -> bool:
    flat = [bound for pair in ranges for bound in pair]
    return all(next_low - high > 1 for high, next_low in zip(flat[1::2], flat[2::2], strict=False))


@given(pairs)
def test_each_change_says_what_it_replaces(added):
    ranges, stored = Ranges(), {}
    for low, high in added:
        swallowed, now = ranges.add(low, high)
        for gone in swallowed:
            del stored[gone]
        if now is not None:
            assert now[0] not in stored
            stored[now[0]] = now[1]
        assert sorted(stored.items()) == list(ranges)
        assert apart(ranges)


@given(pairs, st.integers(0, 60), st.integers(0, 70))
def test_gaps_are_the_rest_from_the_top_down(added, low, high):
    gaps = list(Ranges(added).gaps_down(low, high))
    assert numbers(gaps) == set(range(low, high + 1)) - numbers(added)
    assert gaps == sorted(gaps, reverse=True)


@given(pairs, st.integers(0, 70))
def test_forgetting_keeps_what_reaches_up_and_the_last(added, below):
    ranges = Ranges(added)
    before = list(ranges)
    gone = ranges.forget_below(below)
    assert [low for low, high in before if low in gone] == gone
    assert list(ranges) == before[len(gone) :]
    assert all(high < below for low, high in before[: len(gone)])
    assert list(ranges)[-1:] == before[-1:]


@given(st.lists(st.integers(-5, 30)))
def test_numbers_are_joined_to_ranges(some):
    assert numbers(grouped(some)) == set(some)
