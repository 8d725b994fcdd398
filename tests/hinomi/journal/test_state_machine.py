"""Any story told to the journal ends as it does in the plain model, over restarts and crashes."""

import shutil
from contextlib import ExitStack

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.journals import ModelJournal, counters, everything, memory_folder, open_sqlite

from hinomi.errors import Transient
from hinomi.journal import Entry, Refusal
from hinomi.journal.sqlite import SqliteJournal

CAP = 30_000

sizes = st.one_of(st.integers(0, 40), st.integers(0, 6000))
entries = st.lists(
    st.builds(
        lambda size, fill, count, kind: Entry(bytes([fill]) * size, count, kind),
        sizes,
        st.integers(0, 255),
        st.integers(0, 60),
        st.sampled_from(["", "reading", "event", "事"]),
    ),
    max_size=6,
)
refusals = st.lists(
    st.builds(Refusal, st.sampled_from(["a", "b"]), st.text(max_size=5), st.just("t/s"), st.binary(max_size=9),
              st.integers(0, 1 << 41), st.integers(0, 9)),
    max_size=2,
)  # fmt: skip
keys = st.sampled_from(["tracker/a", "tracker/b", "boot"])
numbers = st.integers(0, 40)


class Story(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()
        self.folder = self.resources.enter_context(memory_folder())
        self.path = self.folder / "journal.db"
        self.crashes = 0
        self.model = ModelJournal(CAP)
        self.real = self.opened()
        self.streams = {self.model.stream: self.real.stream}

    def opened(self) -> SqliteJournal:
        journal = open_sqlite(self.path, cap_bytes=CAP, machine="m")
        assert journal.recovery is None
        return journal

    def both(self, name: str, *args, **kwargs) -> None:
        """The same call on both gives the same answer, or the same family of error."""
        answers = []
        for journal in (self.model, self.real):
            try:
                answers.append(getattr(journal, name)(*args, **kwargs))
            except (Transient, ValueError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]

    def held(self, fraction: int) -> int:
        """A number at about ``fraction`` fortieths of what is held, and a little beyond."""
        stats = self.model.stats()
        return stats.base - 1 + (stats.next_seq - stats.base + 2) * fraction // 40

    @rule(entries=entries, refusals=refusals, notes=st.dictionaries(keys, st.binary(max_size=9), max_size=2))
    def append(self, entries, refusals, notes):
        self.both("append", entries, refusals=refusals, notes=notes)

    @rule(fractions=st.lists(numbers, max_size=5))
    def mark_sent(self, fractions):
        self.both("mark_sent", [self.held(number) for number in fractions])

    @rule(upto=numbers, also=st.lists(st.tuples(numbers, st.integers(-1, 4)), max_size=3))
    def remove(self, upto, also):
        ranges = [(self.held(low), self.held(low) + length) for low, length in also]
        self.both("remove", self.held(upto) if upto % 2 else 0, ranges)

    @rule(fractions=st.lists(numbers, max_size=5))
    def entomb(self, fractions):
        self.both("entomb", [self.held(number) for number in fractions])

    @rule(fraction=numbers, size=st.integers(0, 50), count=st.integers(0, 30))
    def replace(self, fraction, size, count):
        self.both("replace", self.held(fraction), Entry(b"t" * size, count, "thin"))

    @rule(name=st.sampled_from(["store", "judge"]), fraction=numbers)
    def advance(self, name, fraction):
        self.both("advance", name, self.held(fraction))

    @rule()
    def trim(self):
        self.both("trim")

    @precondition(lambda self: self.model.refusals())
    @rule(number=st.integers(1, 10))
    def forget(self, number):
        self.both("forget_refusals", [number])

    @rule(limit=st.integers(1, 20), after=numbers, size=sizes)
    def read(self, limit, after, size):
        self.both("read", self.held(after), limit=limit, max_bytes=size)
        self.both("newest_unsent", limit)

    @rule()
    def renew(self):
        self.both("renew", "a test")
        assert self.streams.setdefault(self.model.stream, self.real.stream) == self.real.stream
        assert len(set(self.streams.values())) == len(self.streams)

    @rule()
    def reopen(self):
        self.real.close()
        self.real = self.opened()

    @rule()
    def crash(self):
        """The files as they are, without an orderly end."""
        self.crashes += 1
        copy = self.folder / f"after-crash-{self.crashes}"
        copy.mkdir()
        for suffix in ("", "-wal", ".lock"):
            if (file := self.path.with_name(self.path.name + suffix)).exists():
                shutil.copy(file, copy / file.name)
        self.real.close()
        self.path = copy / self.path.name
        self.real = self.opened()

    @invariant()
    def the_same(self):
        assert counters(self.real) == counters(self.model)
        assert everything(self.real) == everything(self.model)
        assert self.real.refusals() == self.model.refusals()
        assert self.real.notes("") == self.model.notes("")
        for name in ("store", "judge"):
            assert self.real.cursor(name) == self.model.cursor(name)
        assert self.streams[self.model.stream] == self.real.stream

    def teardown(self) -> None:
        self.real.close()
        self.resources.close()


TestStory = Story.TestCase
TestStory.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
