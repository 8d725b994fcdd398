"""Our marks and the official levels are never taken for one another, by no eye and in no words."""

import itertools

import pytest

from sensing.level import Mark, OfficialLevel, Status, mark_of

# Machado, Oliveira and Fernandes (2009), full severity; applied to linear RGB.
VISIONS = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
OFFICIAL = {5: (12, 0, 12), 4: (170, 0, 170), 3: (255, 40, 0), 2: (242, 231, 0), 1: (255, 255, 255)}


def linear(colour: str) -> list[float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(colour: str, vision: str) -> tuple[float, float, float]:
    """CIE 1976 L*a*b* (D65) of a colour as somebody sees it."""
    rgb = linear(colour)
    r, g, b = (min(1, max(0, sum(m * c for m, c in zip(row, rgb, strict=True)))) for row in VISIONS[vision])
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, vision: str) -> float:
    pairs = zip(lab(one, vision), lab(other, vision), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def contrast(one: str, other: str) -> float:
    """WCAG 2."""
    light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def test_official_colours_are_the_governments() -> None:
    for level in OfficialLevel:
        assert level.colour == "#{:02x}{:02x}{:02x}".format(*OFFICIAL[level])


@pytest.mark.parametrize("vision", VISIONS)
def test_no_mark_looks_like_an_official_level_or_like_another_mark(vision: str) -> None:
    """20 is far: neighbours on a map are told apart from 5 on."""
    for mark, level in itertools.product(Mark, OfficialLevel):
        assert distance(mark.colour, level.colour, vision) > 20, (mark, level)
    for one, other in itertools.combinations(Mark, 2):
        assert distance(one.colour, other.colour, vision) > 20, (one, other)


def test_the_colour_test_would_see_a_blue_that_the_colour_blind_take_for_the_official_purple() -> None:
    blue = "#1d6fa5"
    assert distance(blue, OfficialLevel.FOUR.colour, "all cones") > 40
    assert min(distance(blue, OfficialLevel.FOUR.colour, vision) for vision in VISIONS) < 10


@pytest.mark.parametrize("vision", VISIONS)
def test_a_higher_mark_is_darker(vision: str) -> None:
    lightness = [lab(mark.colour, vision)[0] for mark in Mark if mark]
    assert lightness == sorted(lightness, reverse=True)


@pytest.mark.parametrize("shown", [*Mark, *OfficialLevel])
def test_text_is_readable_on_its_colour(shown: Mark | OfficialLevel) -> None:
    assert contrast(shown.colour, shown.ink) >= 4.5


def test_they_share_no_words() -> None:
    """Neither the words of the law nor the way to count them."""
    for mark in Mark:
        for word in ("レベル", "警戒", "警報", "注意報", "避難", "level", "warning", "advisory", "alert"):
            assert word not in mark.words_ja
            assert word not in mark.words_en
    for level in OfficialLevel:
        assert "目安" not in level.words_ja
        assert level.words_ja.startswith(f"警戒レベル{level.value} ")
    assert not {mark.words_ja for mark in Mark} & {level.words_ja for level in OfficialLevel}
    assert Mark.THREE.words_ja == "目安3"
    assert Mark.THREE.words_en == "town mark 3 of 4"


@pytest.mark.parametrize(
    ("value", "mark"), [(-1.0, 0), (1.49, 0), (1.5, 1), (1.99, 2), (2.0, 3), (2.79, 3), (2.8, 4), (9.0, 4)]
)
def test_a_mark_is_reached_at_its_height(value: float, mark: int) -> None:
    assert mark_of(value, (1.5, 1.8, 2.0, 2.8)) is Mark(mark)


def test_status_is_caps() -> None:
    assert [str(status) for status in Status] == ["Actual", "Exercise", "Test"]
