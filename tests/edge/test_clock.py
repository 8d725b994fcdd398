"""Promise 12 at its root: a clock that jumps, was never set, or is set late; keys never shared, order kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock

from edge.clock import EPOCH_MS, Setting, StationClock, boot_id, kernel_synced
from hinomi.errors import Rejected
from sensing.observation import ClockQuality

DAY_MS = 86_400_000
TRUE_MS = EPOCH_MS + 30 * DAY_MS


class Machine:
    """A station's machine: its clock, whether NTP answers, and what survives a restart of the agent."""

    def __init__(self, wall_ms: int = TRUE_MS, *, synced: bool = False, booted_s: float = 20.0) -> None:
        self.clock = ManualClock(wall_ms, booted_s)
        self.synced = synced
        self.boot = "boot-1"
        self.saved: list[Setting] = []
        self.known_ms = 0
        self.latest = 0
        self.station = self.start()

    def start(self) -> StationClock:
        self.station = StationClock(
            self.clock,
            boot=self.boot,
            synced=lambda: self.synced,
            saved=self.saved,
            known_ms=self.known_ms,
            latest=self.latest,
        )
        return self.station

    def reboot(self, wall_ms: int) -> StationClock:
        self.save()
        number = int(self.boot.partition("-")[2])
        self.boot, self.synced = f"boot-{number + 1}", False
        self.clock = ManualClock(wall_ms, 15.0)
        return self.start()

    def save(self) -> None:
        self.saved, self.known_ms = self.station.dump(), self.station.now()
        self.latest = self.station.latest

    def stamp(self) -> tuple[int, int]:
        self.station.check()
        return self.station.stamp("air", "pm2_5"), self.station.setting.number

    def sent(self, stamp: tuple[int, int]) -> tuple[int, ClockQuality]:
        correction = self.station.correction(stamp[1])
        assert correction is not None
        return stamp[0] + correction.shift_ms, correction.quality


def test_a_synced_clock_is_the_time_to_five_milliseconds() -> None:
    machine = Machine(synced=True)
    at, quality = machine.sent(machine.stamp())
    assert abs(at - machine.clock.now()) <= 5
    assert quality is ClockQuality.SYNCED


@pytest.mark.parametrize("wall_ms", [0, TRUE_MS - 3 * DAY_MS, TRUE_MS + 3 * DAY_MS])
def test_what_was_measured_before_a_sync_after_six_hours_is_corrected_within_a_second(wall_ms: int) -> None:
    machine = Machine(wall_ms)
    true_at_start = TRUE_MS
    stamps, truth = [], []
    for minute in range(360):
        stamps.append(machine.stamp())
        truth.append(true_at_start + minute * 60_000)
        assert machine.station.correction(stamps[-1][1]) is None, "not sent before the clock is known"
        machine.clock.tick(60)
    machine.clock.step(TRUE_MS + 360 * 60_000 - machine.clock.now())
    machine.synced = True
    stamps.append(machine.stamp())
    truth.append(TRUE_MS + 360 * 60_000)
    sent = [machine.sent(stamp) for stamp in stamps]
    assert all(abs(at - true) < 1000 for (at, _), true in zip(sent, truth, strict=True))
    assert [at for at, _ in sent] == sorted({at for at, _ in sent})
    assert {quality for _, quality in sent[:-1]} == {ClockQuality.CORRECTED}
    assert sent[-1][1] is ClockQuality.SYNCED


@pytest.mark.parametrize("jump_days", [-3, 3])
def test_a_jump_of_an_undisciplined_clock_changes_nothing(jump_days: int) -> None:
    machine = Machine(synced=True)
    before = machine.stamp()
    machine.synced = False
    machine.clock.step(jump_days * DAY_MS)
    machine.clock.tick(10)
    after = machine.stamp()
    assert machine.sent(after)[0] - machine.sent(before)[0] == 10_000
    assert machine.sent(after)[1] is ClockQuality.HOLDOVER


def test_a_disciplined_clock_is_followed_and_its_new_setting_shares_no_key_with_the_old_one() -> None:
    machine = Machine(synced=True)
    keys = []
    for _ in range(100):
        keys.append(machine.sent(machine.stamp())[0])
        machine.clock.tick(1)
    machine.clock.step(-100_000)
    for _ in range(100):
        keys.append(machine.sent(machine.stamp())[0])
        machine.clock.tick(1)
    assert abs(keys[100] - keys[0]) < 10, "the same seconds are passed through again"
    assert len(set(keys)) == 200


def test_a_boot_that_never_learnt_the_time_goes_on_from_the_last_known_and_is_flagged() -> None:
    machine = Machine(synced=True)
    last = machine.sent(machine.stamp())[0]
    machine.clock.tick(50)
    machine.reboot(wall_ms=0)
    blind = machine.stamp()
    assert blind[0] >= last + 50_000
    machine.reboot(wall_ms=0)
    at, quality = machine.sent(blind)
    assert (at, quality) == (blind[0], ClockQuality.UNSYNCED)


def test_a_first_boot_in_1970_is_never_before_this_software() -> None:
    machine = Machine(wall_ms=0)
    assert machine.stamp()[0] >= EPOCH_MS


def test_the_cloud_tells_the_time_where_ntp_is_blocked() -> None:
    machine = Machine(wall_ms=0)
    early = machine.stamp()
    machine.clock.tick(100)
    assert machine.station.anchor(TRUE_MS, waited_s=0.5)
    late = machine.stamp()
    assert abs(machine.sent(early)[0] - (TRUE_MS - 100_000)) < 1000
    assert machine.sent(early)[1] is ClockQuality.CORRECTED
    assert machine.sent(late)[1] is ClockQuality.SYNCED
    assert not machine.station.check(), "that NTP stays silent does not take the time away again"


def test_an_acknowledgement_that_took_long_says_nothing_about_the_time() -> None:
    machine = Machine(wall_ms=0)
    assert not machine.station.anchor(TRUE_MS, waited_s=30.0)


def test_an_acknowledgement_does_not_overrule_ntp() -> None:
    machine = Machine(synced=True)
    assert not machine.station.anchor(TRUE_MS + DAY_MS, waited_s=0.1)


def test_a_drifting_clock_is_set_again_by_acknowledgements_but_not_by_slow_ones() -> None:
    machine = Machine(wall_ms=0)
    machine.station.anchor(TRUE_MS, waited_s=0.1)
    now = machine.station.now()
    assert not machine.station.anchor(now - 2000, waited_s=3.0), "within what the waiting explains"
    assert machine.station.anchor(now + 2000, waited_s=0.1)
    assert abs(machine.station.now() - now - 2000) < 20


def test_a_restart_of_the_agent_in_the_same_boot_goes_on_under_the_same_setting() -> None:
    machine = Machine(synced=True)
    before = machine.stamp()
    machine.save()
    machine.start()
    machine.clock.tick(1)
    after = machine.stamp()
    assert after[1] == before[1]
    assert after[0] == before[0] + 1000


def test_readings_of_one_moment_get_times_of_their_own() -> None:
    machine = Machine(synced=True)
    stamps = [machine.stamp()[0] for _ in range(10)]
    assert stamps == [stamps[0] + 10 * index for index in range(10)]


def test_readings_that_run_ahead_of_the_time_are_refused_after_a_second() -> None:
    machine = Machine(synced=True)
    for _ in range(101):
        machine.stamp()
    with pytest.raises(Rejected, match="too_fast"):
        machine.stamp()
    machine.clock.tick(0.1)
    machine.stamp()


def test_what_ran_ahead_is_not_given_again_after_a_restart() -> None:
    machine = Machine(synced=True)
    before = [machine.stamp()[0] for _ in range(50)]
    machine.save()
    machine.start()
    assert machine.stamp()[0] == before[-1] + 10


def test_a_time_of_another_setting_does_not_block_a_restart() -> None:
    machine = Machine(synced=True)
    machine.clock.step(3 * DAY_MS)
    machine.stamp()
    machine.save()
    latest = machine.latest
    machine.clock.step(-3 * DAY_MS)
    machine.stamp()
    machine.save()
    machine.latest = latest
    machine.start()
    assert abs(machine.stamp()[0] - machine.clock.now()) < 1000


def test_the_age_of_a_reading_is_taken_off() -> None:
    machine = Machine(synced=True)
    assert machine.station.stamp("a", "motion") - machine.station.stamp("b", "motion", age_s=2.5) == 2500


def test_the_kernel_is_asked() -> None:
    """Whatever it says here: the call works and agrees with itself."""
    synced = kernel_synced()
    assert synced() in {True, False}
    assert synced() == synced()
    assert len(boot_id()) == 36


STEPS = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 7200)),
    st.tuples(st.just("jump"), st.integers(-3 * 86_400, 3 * 86_400)),
    st.tuples(st.just("sync"), st.just(0)),
    st.tuples(st.just("lose"), st.just(0)),
    st.tuples(st.just("ack"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("reboot"), st.sampled_from([0, 1])),
)


class History:
    """A machine, the true time, and every reading with the truth about it."""

    def __init__(self) -> None:
        self.machine = Machine(wall_ms=0)
        self.true_ms = TRUE_MS
        self.taken: list[tuple[tuple[int, int], int, str]] = []

    def measure(self) -> None:
        self.taken += [(self.machine.stamp(), self.true_ms, self.machine.boot) for _ in range(3)]

    def known(self) -> list[tuple[tuple[int, int], int, ClockQuality, int, str]]:
        """Stamp, time as sent, quality, truth, boot of what may be sent by now."""
        return [
            (stamp, stamp[0] + correction.shift_ms, correction.quality, true, boot)
            for stamp, true, boot in self.taken
            if (correction := self.machine.station.correction(stamp[1]))
        ]

    def do_pass(self, seconds: int) -> None:
        self.machine.clock.tick(seconds)
        self.true_ms += seconds * 1000

    def do_jump(self, seconds: int) -> None:
        if not self.machine.synced:
            self.machine.clock.step(seconds * 1000)

    def do_sync(self, _: int) -> None:
        self.machine.clock.step(self.true_ms - self.machine.clock.now())
        self.machine.synced = True

    def do_lose(self, _: int) -> None:
        self.machine.synced = False

    def do_ack(self, _: int) -> None:
        self.machine.station.anchor(self.true_ms, waited_s=0.2)

    def do_restart(self, _: int) -> None:
        self.machine.save()
        self.machine.start()
        self.do_pass(1)

    def do_reboot(self, in_1970: int) -> None:
        self.machine.reboot(wall_ms=0 if in_1970 else self.true_ms - DAY_MS)
        self.true_ms += 15_000


@settings(max_examples=150)
@given(st.lists(STEPS, min_size=1, max_size=25))
def test_whatever_the_clock_does_keys_are_unique_and_known_times_are_right(steps: list[tuple[str, int]]) -> None:
    """In any history: no key twice, order within a boot, and what is called synced or corrected is true to 1 s."""
    history = History()
    sent: dict[tuple[int, int], int] = {}
    history.measure()
    for action, amount in steps:
        getattr(history, f"do_{action}")(amount)
        history.measure()
        for stamp, at, _, _, _ in history.known():
            assert sent.setdefault(stamp, at) == at, "a key never changes once it may have been sent"
    known = history.known()
    assert len({at for _, at, _, _, _ in known}) == len(known)
    for _, at, quality, true, _ in known:
        assert quality is ClockQuality.UNSYNCED or abs(at - true) < 1000
    for boot in {boot for _, _, _, _, boot in known}:
        times = [at for _, at, _, _, of in known if of == boot]
        assert times == sorted(times)
