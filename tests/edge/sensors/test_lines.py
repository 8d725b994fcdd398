"""Lines of the kernel's GPIO chips, and what counts as a tip or a change among their edges."""

import errno
import itertools
from pathlib import Path

import gpiod
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.buses import gpio
from edge.buses.gpio import Change
from edge.sensors.rain_gauge import Tips
from edge.sensors.switch import Debounce
from hinomi.errors import ConfigError, Transient

MS = 1_000_000


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.EBUSY, ""), Transient, "gpioinfo says by whom"),
        (OSError(errno.EACCES, ""), ConfigError, "usermod -aG gpio"),
        (ValueError("offset out of range"), ConfigError, "has no line 17"),
    ],
)
def test_errors_of_the_kernels_chip_are_put_in_words(monkeypatch, error, kind, says) -> None:
    """There is no GPIO chip here: the library's answer is replaced, not our use of it."""

    def request_lines(*args, **kwargs):
        raise error

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    with pytest.raises(kind, match=says):
        gpio.open_line(Path("/dev/gpiochip0"), 17, "up")


class Edge:
    def __init__(self, rising: bool, at_ns: int) -> None:
        self.event_type = gpiod.EdgeEvent.Type.RISING_EDGE if rising else gpiod.EdgeEvent.Type.FALLING_EDGE
        self.timestamp_ns = at_ns


def test_the_kernels_line_is_asked_for_both_edges_with_its_resistor(monkeypatch) -> None:
    asked = {}

    class Request:
        fd = 7

        def get_value(self, line):
            return gpiod.line.Value.ACTIVE

        def wait_edge_events(self, timeout):
            assert timeout == 0
            return True

        def read_edge_events(self):
            return [Edge(False, 5), Edge(True, 9)]

        def release(self):
            asked["released"] = True

    def request_lines(chip, lines, **options):
        asked.update(chip=chip, lines=lines, **options)
        return Request()

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    line, first = gpio.open_line(Path("/dev/gpiochip4"), 17, "down")
    assert first.high
    assert line.fileno() == 7
    assert line.take() == [Change(5, False), Change(9, True)]
    line.close()
    (settings,) = asked["lines"].values()
    assert asked["chip"] == "/dev/gpiochip4"
    assert list(asked["lines"]) == [17]
    assert settings.edge_detection is gpiod.line.Edge.BOTH
    assert settings.bias is gpiod.line.Bias.PULL_DOWN
    assert asked["released"]


# A closing that lasts, with its bounces; then a pause.
tips = st.lists(
    st.tuples(st.integers(20, 200), st.lists(st.integers(1, 4), max_size=3), st.integers(30, 5000)), max_size=20
)


@given(tips)
def test_however_contacts_bounce_each_tip_counts_once(closings) -> None:
    at, changes = 0, []
    for lasts_ms, bounces_ms, pause_ms in closings:
        for level, until_next in ((False, lasts_ms), (True, pause_ms)):
            for bounce in bounces_ms:
                changes += [Change(at * MS, level), Change((at + bounce) * MS, not level)]
                at += bounce + 1
            changes.append(Change(at * MS, level))
            at += until_next
    assert Tips(Change(0, True), 10 * MS).count(changes) == len(closings)


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.booleans()), max_size=60), st.integers(0, 50))
def test_any_events_at_all_never_count_more_than_there_were_openings(events, debounce_ms: int) -> None:
    changes = [Change(at, level) for at, level in events]
    tips_found = Tips(Change(0, False), debounce_ms * MS).count(changes)
    assert 0 <= tips_found <= sum(change.high for change in changes)
    debounce = Debounce(Change(0, False), debounce_ms * MS)
    told = [one for one in [*(debounce.feed(change) for change in changes), debounce.flush()] if one]
    levels = [False, *(one.high for one in told)]
    assert all(before != after for before, after in itertools.pairwise(levels))
