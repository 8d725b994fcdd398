"""What a light station still has to deliver."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware_sim.fleet.outbox import AFTER_CONNECT_S, FIRST_RETRY_S, LAST_RETRY_S, Ack, Outbox
from firmware_sim.fleet.pack import Pack, Series


def pack(seq, count=1):
    times = [1541530800000 + 1000 * seq + index for index in range(count)]
    return Pack("town/a", "s", seq, [Series("gauge", "water_level", times, [1.0] * count)])


def outbox(packs=0):
    box = Outbox("town/a", "s", random.Random(1))
    for seq in range(1, packs + 1):
        box.add(pack(seq))
    return box


def all_due(box, now):
    found = []
    while (each := box.due(now)) is not None:
        found.append(each.seq)
    return found


def test_the_newest_goes_first():
    box = outbox(3)
    assert all_due(box, 0.0) == [3, 2, 1]
    box.add(pack(4))
    assert all_due(box, 0.0) == [4]


def test_it_is_sent_again_with_growing_pauses_until_acknowledged():
    box = outbox(1)
    sent = []
    now = 0.0
    while now < 3000.0:
        sent.extend(now for _ in all_due(box, now))
        now += 0.5
    pauses = [later - earlier for earlier, later in pairwise(sent)]
    wanted = [min(FIRST_RETRY_S * 2**index, LAST_RETRY_S) for index in range(len(pauses))]
    assert all(want <= pause <= 1.5 * want + 0.5 for want, pause in zip(wanted, pauses, strict=True))
    assert box.resent == len(sent) - 1 > 8
    assert box.acknowledge(Ack("s", 1))
    assert all_due(box, 1e9) == []
    assert (box.pending, box.acked, box.base) == (0, 1, 2)


def test_a_new_connection_sends_all_again_after_a_moment_for_the_acknowledgement():
    box = outbox(3)
    all_due(box, 0.0)
    box.connected(10.0)
    assert all_due(box, 10.0 + AFTER_CONNECT_S - 0.01) == []
    box.acknowledge(Ack("s", 1, [(3, 3)]))
    assert all_due(box, 10.0 + 1.5 * AFTER_CONNECT_S) == [2]


def test_after_a_restart_the_acknowledgement_is_awaited_first():
    box = outbox(3)
    box.recovered()
    box.connected(0.0)
    assert all_due(box, 0.5) == []
    assert sorted(all_due(box, 2.0)) == [1, 2, 3]


def test_acknowledgements_of_others_and_of_the_future_are_not_believed():
    box = outbox(2)
    assert not box.acknowledge(Ack("another stream", 2))
    assert not box.acknowledge(Ack("s", 3))
    assert not box.acknowledge(Ack("s", 0, [(2, 10**15)]))
    assert (box.pending, box.strange_acks) == (2, 2)
    assert not box.acknowledge(Ack("s", 0))


class Delivering(RuleBasedStateMachine):
    """Any order of adding, sending, losing the connection and acknowledging."""

    def __init__(self):
        super().__init__()
        self.box = outbox()
        self.held = {}
        self.sent = set()
        self.now = 0.0

    @rule(count=st.integers(1, 3))
    def measure(self, count):
        self.box.add(pack(self.box.next_seq, count))
        self.held[self.box.next_seq - 1] = count

    @rule(room=st.integers(1, 5), seconds=st.floats(0, 400))
    def send(self, room, seconds):
        self.now += seconds
        for _ in range(room):
            if (each := self.box.due(self.now)) is None:
                break
            assert each.seq in self.held
            self.sent.add(each.seq)

    @rule()
    def lose_the_connection(self):
        self.box.connected(self.now)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def acknowledge(self, data):
        """As the cloud does it: any of what was sent."""
        arrived = data.draw(st.sets(st.sampled_from(sorted(self.sent)), min_size=1))
        upto = self.box.base - 1
        while upto + 1 in arrived:
            upto += 1
        also = [(seq, seq) for seq in arrived if seq > upto]
        self.box.acknowledge(Ack("s", upto, also))
        for seq in arrived:
            self.held.pop(seq, None)

    @invariant()
    def nothing_is_lost_and_the_numbers_agree(self):
        assert self.box.pending == sum(self.held.values())
        assert self.box.base == min(self.held, default=self.box.next_seq)

    def teardown(self):
        """Whatever happened, everything held is sent in the end."""
        again = set()
        for _ in range(3):
            self.now += 1000.0
            again.update(all_due_once(self.box, self.now, len(self.held) + 5))
        assert again == set(self.held)


def all_due_once(box, now, limit):
    found = []
    while len(found) < limit and (each := box.due(now)) is not None:
        found.append(each.seq)
    return found


TestDelivering = Delivering.TestCase


@given(st.lists(st.tuples(st.integers(-5, 20), st.integers(-5, 20)), max_size=4), st.integers(-5, 20))
def test_any_acknowledgement_is_digested(ranges, upto):
    box = outbox(6)
    box.acknowledge(Ack("s", upto, ranges))
    assert box.pending + box.acked == 6
