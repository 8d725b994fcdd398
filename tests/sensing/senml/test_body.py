"""The body that a journal keeps: exact, small, and never more than malformed."""

import json
import random
import struct
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinomi.errors import Rejected
from sensing.observation import Reading
from sensing.senml.body import pack_body, unpack_body

BODIES = Path(__file__).parent / "bodies"
NOW_MS = 1_700_000_000_000
CHANNELS = [
    ("weather", "temperature", 21.53, 0.01, 2),
    ("weather", "humidity", 55.1, 0.05, 2),
    ("weather", "pressure", 1013.25, 0.03, 2),
    ("air", "pm2_5", 12.3, 0.4, 1),
    ("air", "pm10", 20.1, 0.6, 1),
    ("gauge", "water_level", 1.234, 0.003, 3),
    ("gauge", "water_distance", 3.766, 0.003, 3),
    ("rain", "rain_increment", 0.0, 0.0, 1),
    ("room", "co2", 612.0, 2.0, 0),
    ("host", "cpu_temperature", 51.2, 0.2, 1),
]

decimals = st.builds(lambda number, places: number / 10**places, st.integers(-(10**7), 10**7), st.integers(0, 5))
readings = st.builds(
    Reading,
    st.sampled_from(["air", "weather", "a-1", "x" * 32]),
    st.sampled_from(["pm2_5", "temperature", "rain_increment"]),
    st.integers(-(2**62), 2**62) | st.integers(NOW_MS, NOW_MS + 10**6),
    decimals | st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 0.1 + 0.2, 1e9, 9.1e9, 5e-324]),
)


def bits(reading: Reading) -> tuple[str, str, int, bytes]:
    return reading.sensor, reading.quantity, reading.measured_at, struct.pack("<d", reading.value)


def grouped(given_: list[Reading]) -> list[tuple[str, str, int, bytes]]:
    keys = dict.fromkeys((r.sensor, r.quantity) for r in given_)
    return [bits(r) for key in keys for r in given_ if (r.sensor, r.quantity) == key]


def five_seconds(seed: int, *, jitter_ms: int, places: bool = True) -> list[Reading]:
    """Ten channels at 1 Hz, as the sampler gives them."""
    rng = random.Random(seed)
    values = [channel[2] for channel in CHANNELS]
    result = []
    for second in range(5):
        for i, (sensor, quantity, _, spread, digits) in enumerate(CHANNELS):
            values[i] += rng.gauss(0, spread)
            at = NOW_MS + second * 1000 + i * 3 + rng.randint(-jitter_ms, jitter_ms)
            result.append(Reading(sensor, quantity, at, round(values[i], digits) if places else values[i]))
    return result


@given(st.lists(readings, max_size=30))
def test_every_reading_comes_back_bit_for_bit(given_: list[Reading]) -> None:
    """Grouped by datastream, within it in the order given; also minus zero and times that run backwards."""
    assert [bits(r) for r in unpack_body(pack_body(given_))] == grouped(given_)


@pytest.mark.parametrize(("jitter_ms", "most"), [(0, 4.5), (2, 5.0), (20, 5.3)])
def test_a_reading_costs_about_five_bytes(jitter_ms: int, most: float) -> None:
    """50 readings of 10 channels, means of 40 packs; the journal's promise is 10 with all its overhead."""
    sizes = [len(pack_body(five_seconds(seed, jitter_ms=jitter_ms))) / 50 for seed in range(40)]
    assert sum(sizes) / len(sizes) <= most


def test_doubles_of_full_length_cost_what_they_must() -> None:
    assert len(pack_body(five_seconds(1, jitter_ms=2, places=False))) / 50 <= 12


def test_bodies_of_old_journals_stay_readable() -> None:
    """A journal may hold a body for years: these bytes are version 1 for ever."""
    rows = json.loads((BODIES / "v1.json").read_text())
    assert [bits(r) for r in unpack_body((BODIES / "v1.bin").read_bytes())] == [bits(Reading(*row)) for row in rows]


def readable_or_malformed(body: bytes) -> None:
    try:
        unpack_body(body)
    except Rejected as error:
        reason = error.reason
    else:
        return
    assert reason == "malformed"


@given(st.binary(max_size=60))
def test_any_bytes_are_readings_or_malformed(body: bytes) -> None:
    readable_or_malformed(body)
    readable_or_malformed(b"\x01" + body)


@given(st.lists(readings, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_damaged_body_is_readings_or_malformed(given_: list[Reading], rng: random.Random) -> None:
    body = bytearray(pack_body(given_))
    for _ in range(rng.randint(1, 3)):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    readable_or_malformed(bytes(body))


@given(st.recursive(st.integers() | st.floats() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=5)))
def test_any_contents_are_readings_or_malformed(contents: object) -> None:
    """Deflate and MessagePack may be sound and yet say nothing sensible."""
    for value in (
        contents,
        [NOW_MS, contents],
        [0, [["a", "b", 0, contents, contents]]],
        [0, [["a", "b", 400, [1], [1]]]],
    ):
        stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        try:
            packed = msgspec.msgpack.encode(value)
        except OverflowError:
            continue
        readable_or_malformed(b"\x01" + stream.compress(packed) + stream.flush())


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x02abc"])
def test_an_unknown_version_is_malformed(body: bytes) -> None:
    with pytest.raises(Rejected, match="version"):
        unpack_body(body)


def test_a_body_that_is_cut_is_malformed() -> None:
    body = pack_body(five_seconds(1, jitter_ms=2))
    for end in (1, 10, len(body) - 1):
        with pytest.raises(Rejected):
            unpack_body(body[:end])
    with pytest.raises(Rejected):
        unpack_body(body + b"x")
