"""What is stored and sent keeps its meaning."""

from sensing.observation import ClockQuality, Datastream, Flag, Kind, Observation


def test_flags_are_stored_as_these_numbers() -> None:
    """Years of points carry them."""
    assert {flag.name: int(flag) for flag in Flag} == {
        "RANGE": 1,
        "STEP": 2,
        "STUCK": 4,
        "GAP": 8,
        "CLOCK": 16,
        "MAINTENANCE": 32,
    }


def test_words_on_the_wire() -> None:
    assert [str(kind) for kind in Kind] == ["reading", "event", "maintenance", "dropped"]
    assert [str(quality) for quality in ClockQuality] == ["synced", "holdover", "corrected", "unsynced"]


def test_datastreams_are_values() -> None:
    one, same = Datastream("a", "b", "c", "pm1"), Datastream("a", "b", "c", "pm1")
    assert {one: 1}[same] == 1
    assert min(Datastream("b", "a", "c", "pm1"), one) is one
    assert Observation(one, 5, 1.0) == Observation(same, 5, 1.0, 0, 0)
