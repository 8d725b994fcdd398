"""Words and numbers of the page."""

import pytest

from cloud.portal import words
from sensing.quantity import QUANTITIES


def test_every_text_is_there_in_both_languages_with_the_same_places_to_fill():
    import re

    for key, both in words.TEXT.items():
        assert len(both) == len(words.LANGS), key
        assert all(both), key
        assert len({tuple(sorted(re.findall(r"{(\w+)}", one))) for one in both}) == 1, key


@pytest.mark.parametrize(
    ("quantity", "value", "shown"),
    [
        ("water_level", 2.0449, "2.04"),
        ("water_level", -0.001, "0.00"),
        ("water_level", -0.3, "-0.30"),
        ("temperature", 22.5149, "22.5"),
        ("co2", 1092.4, "1,092"),
        ("radiation_dose_rate", 0.0451, "0.045"),
        ("rain_increment", 0.0, "0.0"),
        ("pressure", 1004.96, "1,005.0"),
    ],
)
def test_a_number_has_the_decimals_a_reader_can_use(quantity, value, shown):
    assert words.number(value, QUANTITIES[quantity]) == shown


def test_units_are_written_for_people():
    for quantity in QUANTITIES.values():
        shown = words.unit(quantity)
        assert not set(shown) & set("[]{}"), quantity.name
        assert shown not in {"Cel", "1"}


@pytest.mark.parametrize(
    ("milliseconds", "ja", "en"),
    [
        (-5000, "0秒前", "0 s ago"),
        (0, "0秒前", "0 s ago"),
        (119_999, "119秒前", "119 s ago"),
        (120_000, "2分前", "2 min ago"),
        (7_199_999, "119分前", "119 min ago"),
        (7_200_000, "2時間前", "2 h ago"),
        (400_000_000, "4日前", "4 d ago"),
    ],
)
def test_an_age_has_one_number_and_one_unit(milliseconds, ja, en):
    assert words.age(milliseconds, "ja") == ja
    assert words.age(milliseconds, "en") == en
