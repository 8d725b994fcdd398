"""SDS011, PMS5003, ultrasonic: frames as their manuals print them, and the modes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import Settable, part

from firmware_sim.devices.pms5003 import Pms5003
from firmware_sim.devices.pms5003 import measured as pms_frame
from firmware_sim.devices.sds011 import Sds011, measured
from firmware_sim.devices.ultrasonic import MODELS, Ultrasonic, a02, maxbotix
from firmware_sim.part import Silent

GOLDEN = bytes.fromhex("AA C0 D4 04 3A 0A A1 60 1D AB")


def sds(clock: ManualClock) -> Sds011:
    return Sds011(part(clock, {"pm2_5": 123.6, "pm10": 261.8}), b"\xa1\x60")


def order(*data: int, to: str = "A160") -> bytes:
    """A command as the protocol's examples print it."""
    body = bytes(data).ljust(13, b"\0") + bytes.fromhex(to)
    return b"\xaa\xb4" + body + bytes([sum(body) & 0xFF, 0xAB])


def test_the_frame_of_the_sds011_protocol(clock: ManualClock) -> None:
    assert measured(123.6, 261.8, b"\xa1\x60") == GOLDEN
    assert sds(clock).tick() == GOLDEN
    assert order(4) == bytes.fromhex("AA B4 04 00 00 00 00 00 00 00 00 00 00 00 00 A1 60 05 AB")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (order(2, 0, 0, to="FFFF"), "AA C5 02 00 00 00 A1 60 03 AB"),
        (order(2, 1, 1), "AA C5 02 01 01 00 A1 60 05 AB"),
        (order(4), GOLDEN.hex()),
        (order(6, 1, 0), "AA C5 06 01 00 00 A1 60 08 AB"),
        (order(6, 1, 1), "AA C5 06 01 01 00 A1 60 09 AB"),
        (order(7), "AA C5 07 0F 07 0A A1 60 28 AB"),
        (order(8, 1, 1), "AA C5 08 01 01 00 A1 60 0B AB"),
        (order(4, to="1234"), ""),
    ],
)
def test_the_replies_of_the_sds011_protocol(clock: ManualClock, command: bytes, reply: str) -> None:
    assert sds(clock).receive(command) == bytes.fromhex(reply)


@given(st.floats(0.0, 999.9), st.floats(0.0, 999.9))
def test_any_concentration_is_within_a_tenth_and_its_sum_is_right(pm2_5: float, pm10: float) -> None:
    frame = measured(pm2_5, pm10, b"\xab\xaa")
    assert len(frame) == 10
    assert int.from_bytes(frame[2:4], "little") / 10 == pytest.approx(pm2_5, abs=0.0501)
    assert int.from_bytes(frame[4:6], "little") / 10 == pytest.approx(pm10, abs=0.0501)
    assert frame[8] == sum(frame[2:8]) & 0xFF


def test_the_sds011_is_pinned_at_its_greatest_number() -> None:
    assert measured(3000.0, -5.0, b"\xa1\x60")[2:6] == bytes.fromhex("0f27 0000")


def test_in_query_mode_it_speaks_only_when_asked(clock: ManualClock) -> None:
    device = sds(clock)
    device.receive(order(2, 1, 1))
    assert device.tick() == b""
    assert device.receive(order(4)) == GOLDEN
    device.power_on()
    assert device.tick() == b"", "the mode survives a power cut"


def test_asleep_it_only_hears_the_wake_up(clock: ManualClock) -> None:
    device = sds(clock)
    device.receive(order(6, 1, 0))
    assert device.tick() == b""
    assert device.receive(order(4)) == b""
    assert device.receive(order(6, 1, 1)) == bytes.fromhex("AA C5 06 01 01 00 A1 60 09 AB")
    assert device.tick() == GOLDEN


def test_with_a_working_period_it_speaks_once_after_thirty_seconds_of_work(clock: ManualClock) -> None:
    device = sds(clock)
    device.receive(order(8, 1, 2))
    spoken = []
    for second in range(1, 301):
        clock.tick(1)
        if device.tick():
            spoken.append(second)
    assert spoken == [30, 150, 270]


@given(st.binary(max_size=30), st.lists(st.integers(1, 18)))
def test_a_command_is_found_behind_noise_and_in_pieces(noise: bytes, cuts: list[int]) -> None:
    device = sds(ManualClock())
    stream = noise.replace(b"\xaa", b"\xa9") + order(4)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    answers = b"".join(device.receive(stream[a:b]) for a, b in pairwise(places))
    assert answers == GOLDEN


PASSIVE, ACTIVE, ASK, SLEEP, WAKE = (
    bytes.fromhex(text)
    for text in ("424DE100000170", "424DE100010171", "424DE200000171", "424DE400000173", "424DE400010174")
)


def test_a_frame_of_the_pms5003_by_hand() -> None:
    """Appendix I: 13 words, high byte first, behind 42 4D 00 1C; the sum counted by hand."""
    frame = pms_frame(5.0, 8.0, 10.0)
    assert frame[:16] == bytes.fromhex("424d 001c 0005 0008 000a 0005 0008 000a")
    assert len(frame) == 32
    assert int.from_bytes(frame[30:], "big") == sum(frame[:30])


def test_smoke_reads_higher_in_standard_particles_than_in_air() -> None:
    frame = pms_frame(40.0, 80.0, 100.0)
    assert frame[4:16] == bytes.fromhex("003c 0078 0096 0028 0050 0064")


def test_the_modes_of_the_pms5003(clock: ManualClock) -> None:
    device = Pms5003(part(clock, {"pm1": 5.0, "pm2_5": 8.0, "pm10": 10.0}))
    frame = pms_frame(5.0, 8.0, 10.0)
    assert device.tick() == frame
    assert device.receive(PASSIVE) == bytes.fromhex("424d0004e1000174"), "its answer, seen on many boards"
    assert device.tick() == b""
    assert device.receive(ASK) == frame
    device.receive(SLEEP)
    assert device.receive(ASK) == b""
    assert device.receive(WAKE) == b""
    assert device.receive(ASK) == frame
    device.receive(ACTIVE)
    assert device.tick() == frame
    assert device.receive(ASK[:3]) == b""
    assert device.receive(PASSIVE[:-1] + b"\x00") == b"", "a bad sum"


def test_the_frames_of_the_ultrasonic_sensors() -> None:
    assert a02(1953) == bytes.fromhex("FF 07 A1 A7"), "the example of its manual"
    assert maxbotix(1234) == b"R1234\r"
    assert maxbotix(300) == b"R0300\r"


@pytest.mark.parametrize(("metres", "frame"), [(1.953, a02(1953)), (0.001, a02(30)), (9.0, a02(4500))])
def test_beyond_its_range_it_shows_the_end_of_it(clock: ManualClock, metres: float, frame: bytes) -> None:
    assert Ultrasonic(part(clock, {"water_distance": metres}), MODELS["a02"], None).tick() == frame


def test_a_level_is_seen_from_the_mounting_height(clock: ManualClock) -> None:
    gauge = Ultrasonic(part(clock, {"water_level": 1.25}), MODELS["maxbotix"], 4.0)
    assert gauge.tick() == b"R2750\r"
    assert gauge.receive(b"hello") == b""


def test_in_a_gap_of_the_recording_nothing_is_sent(clock: ManualClock) -> None:
    with pytest.raises(Silent):
        Ultrasonic(part(clock, {"water_distance": Settable(None)}), MODELS["a02"], None).tick()
