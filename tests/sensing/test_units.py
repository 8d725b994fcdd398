"""Conversion between units, refereed by the UCUM vocabulary and by SenML's registry."""

import itertools

import pytest
import ucumvert
from hypothesis import given
from hypothesis import strategies as st
from support.senml_registry import SECONDARY

from hinomi.errors import Rejected
from sensing.units import _TABLE, _UNITS, convert, linear, ucum

UCUM = ucumvert.PintUcumRegistry()
EVERY_UCUM = [name for units in _TABLE.values() for name in units]


@pytest.mark.parametrize("name", EVERY_UCUM)
def test_the_spelling_is_ucum(name: str) -> None:
    ucumvert.get_ucum_parser().parse(name)


@pytest.mark.parametrize("dimension", [name for name in _TABLE if not name.endswith("level")])
def test_every_pair_converts_as_ucum_says(dimension: str) -> None:
    """Not levels: UCUM leaves their reference to an annotation. Two names mean something else to pint."""
    names = [name for name in _TABLE[dimension] if name not in {"[in_i'Hg]", "[cft_i]/s"}]
    for one, other in itertools.permutations(names, 2):
        a, b = UCUM.from_ucum(one), UCUM.from_ucum(other)
        expected = UCUM.Quantity(12.5 * a.magnitude, a.units).to(b.units).magnitude / b.magnitude
        assert convert(12.5, one, other) == pytest.approx(expected, rel=1e-9), (one, other)


@pytest.mark.parametrize("unit", sorted(SECONDARY.keys() & _UNITS.keys()))
def test_secondary_units_convert_as_the_registry_says(unit: str) -> None:
    primary, scale, offset = SECONDARY[unit]
    assert convert(10.0, unit, primary) == pytest.approx(10.0 * scale + offset, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "one", "other", "expected"),
    [
        (6.17, "[ft_i]", "m", 1.880616),
        (6.17, "ft", "m", 1.880616),
        (1000.0, "cfs", "m3/s", 28.316846592),
        (1000.0, "[cft_i]/s", "m3/s", 28.316846592),
        (98.6, "degF", "Cel", 37.0),
        (-40.0, "[degF]", "Cel", -40.0),
        (25.0, "°C", "K", 298.15),
        (1013.25, "mb", "hPa", 1013.25),
        (29.92, "inHg", "hPa", 1013.21),
        (760.0, "mmHg", "kPa", 101.325),
        (36.0, "km/h", "m/s", 10.0),
        (10.0, "mph", "m/s", 4.4704),
        (10.0, "kn", "m/s", 5.14444),
        (0.5, "in", "mm", 12.7),
        (1.0, "in/h", "mm/h", 25.4),
        (60.0, "mm/h", "mm/min", 1.0),
        (980.665, "gal", "m/s2", 9.80665),
        (0.12, "/", "%", 12.0),
        (420.0, "ppm", "[ppb]", 420_000.0),
        (5e-8, "kg/m3", "ug/m3", 50.0),
        (-60.0, "dBm", "dBW", -90.0),
        (3.5, "Bspl", "dB[SPL]{A}", 35.0),
        (180.0, "deg", "rad", 3.141592653589793),
        (100.0, "nSv/h", "uSv/h", 0.1),
        (60.0, "L/min", "l/s", 1.0),
        (10.0, "gpm", "l/min", 37.85411784),
    ],
)
def test_spellings_of_loggers_and_files(value: float, one: str, other: str, expected: float) -> None:
    assert convert(value, one, other) == pytest.approx(expected, rel=1e-5)
    assert convert(expected, other, one) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("one", "other"), [("mb", "hPa"), ("%RH", "%"), ("ppm", "[ppm]"), ("lux", "lx")])
@given(value=st.floats(allow_nan=False))
def test_another_spelling_of_the_same_size_changes_no_bit(value: float, one: str, other: str) -> None:
    assert convert(value, one, other) == value
    assert linear(one, other) == (1.0, 0.0)


def test_spellings_have_one_meaning() -> None:
    spellings = [
        spelling for units in _TABLE.values() for name, row in units.items() for spelling in (name, *row[2])
    ]
    assert len(set(spellings)) == len(spellings)
    assert ucum("mph") == "[mi_i]/h"


@pytest.mark.parametrize(
    ("one", "other", "told"), [("m", "s", "'s'"), ("m", "hPa", "length"), ("", "m", "''"), ("EL", "1", "'EL'")]
)
def test_what_cannot_be_converted_is_a_wrong_unit(one: str, other: str, told: str) -> None:
    with pytest.raises(Rejected) as caught:
        convert(1.0, one, other)
    assert caught.value.reason == "wrong_unit"
    assert told in caught.value.detail
