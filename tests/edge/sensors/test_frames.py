"""Frame parsers: in any garbage they never crash, never hoard, and find the next good frame."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sensors import config, module

from edge.sensors import ds18b20, host, pms5003, scd4x, sds011, ultrasonic
from hinomi.errors import Transient

Take = Callable[[bytearray], bytes | None]

SDS = bytes.fromhex("aac0d4043a0aa1601dab")
PMS = bytes.fromhex("424d001c0029003e0046001f002e003c19ec07bf016900360008000091" + "0004e5")
A02 = bytes.fromhex("ff07a1a7")
MAXBOTIX = b"R1234\r"
PROTOCOLS = [
    pytest.param(sds011.take, SDS, id="sds011"),
    pytest.param(pms5003.take, PMS, id="pms5003"),
    pytest.param(ultrasonic.take_a02, A02, id="a02"),
    pytest.param(ultrasonic.take_maxbotix, MAXBOTIX, id="maxbotix"),
]

# Garbage that looks like the real thing: heads, lengths, halves of frames.
pieces = st.sampled_from(
    [b"\xaa", b"\xc0", b"\xab", b"BM", b"B", b"BM\0\x1c", b"\xff", b"R12", b"\r", SDS[:7], PMS[:20]]
)
garbage = st.lists(st.one_of(st.binary(max_size=30), pieces), max_size=8).map(b"".join)


def all_of(take: Take, buffer: bytearray) -> list[bytes]:
    found = []
    while (frame := take(buffer)) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize(("take", "frame"), PROTOCOLS)
@given(before=garbage)
def test_the_true_frame_is_found_behind_any_garbage(take: Take, frame: bytes, before: bytes) -> None:
    # A single one, unless the garbage happens to contain a frame with a good checksum itself.
    assert frame in all_of(take, bytearray(before + frame)) or all_of(take, bytearray(before + frame[:-1]))
    assert frame in all_of(take, bytearray(before + frame * 5))


@pytest.mark.parametrize(("take", "frame"), PROTOCOLS)
@given(stream=garbage, cuts=st.lists(st.integers(0, 200), max_size=6))
def test_how_the_line_cuts_the_stream_changes_nothing(take: Take, frame: bytes, stream: bytes, cuts) -> None:
    stream = stream + frame + stream
    whole = all_of(take, bytearray(stream))
    buffer, found, start = bytearray(), [], 0
    for cut in [*sorted(cuts), len(stream)]:
        buffer += stream[start:cut]
        start = max(start, cut)
        found += all_of(take, buffer)
    assert found == whole


@pytest.mark.parametrize(("take", "frame"), PROTOCOLS)
@given(stream=st.one_of(garbage, st.binary(max_size=300)))
def test_what_cannot_become_a_frame_is_not_kept(take: Take, frame: bytes, stream: bytes) -> None:
    buffer = bytearray(stream)
    all_of(take, buffer)
    assert len(buffer) < len(frame)


@pytest.mark.parametrize("kind", ["sds011", "pms5003", "ultrasonic", "scd4x", "ds18b20", "modbus_level"])
@given(data=st.binary(max_size=120))
def test_decoding_anything_gives_readings_or_a_reason(kind: str, data: bytes) -> None:
    if kind == "scd4x" and len(data) != 9:
        data = data.ljust(9, b"\0")[:9]
    if kind == "modbus_level":
        data = data.ljust(6, b"\0")[:6]
    try:
        readings = module(kind).decode(data, config(kind))
    except Transient:
        return
    assert {one.quantity for one in readings} <= set(config(kind).quantities())


@given(st.binary(max_size=40))
def test_answers_of_an_scd4x_of_any_length_never_crash(data: bytes) -> None:
    try:
        assert len(scd4x.words(data)) == len(data) // 3
    except Transient:
        return


@given(st.text(max_size=200))
def test_files_of_the_kernel_of_any_content_never_crash(text: str) -> None:
    for read in (
        lambda: host.memory_free(text),
        lambda: host.signal_strength(text, "wlan0"),
        lambda: ds18b20.decode(text.encode("utf-8", "replace"), config("ds18b20")),
    ):
        try:
            read()
        except Transient:
            continue


def test_commands_are_those_of_the_protocols() -> None:
    """Laser Dust Sensor Control Protocol V1.3 and PMS5003 data manual, appendix II, byte by byte."""
    nothing = "00" * 10
    assert sds011.ONLY_WHEN_ASKED.hex() == f"aab4020101{nothing}ffff02ab"
    assert sds011.ASK.hex() == f"aab4040000{nothing}ffff02ab"
    assert sds011.SLEEP.hex() == f"aab4060100{nothing}ffff05ab"
    assert sds011.WORK.hex() == f"aab4060101{nothing}ffff06ab"
    assert sds011.WITHOUT_PAUSES.hex() == f"aab4080100{nothing}ffff07ab"
    assert pms5003.ONLY_WHEN_ASKED.hex() == "424de100000170"
    assert pms5003.ASK.hex() == "424de200000171"
    assert pms5003.SLEEP.hex() == "424de400000173"
    assert pms5003.WORK.hex() == "424de400010174"
