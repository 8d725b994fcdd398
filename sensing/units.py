"""Units: one table from UCUM to SenML and to what data loggers write, and linear conversion between them.

Every spelling is a linear function of the base unit of its dimension: ``base = scale * value + offset``. Scales are
those of the SI brochure; the international foot, inch, mile, knot and the US gallon are exact by definition; the
secondary units of SenML are those of RFC 8798.

One spelling means two things: ``%`` is a hundredth in UCUM and everywhere else, but in SenML an old name of the
ratio 1. Here it is the hundredth; SenML advises against the other, and our own packs never carry it.
"""

import functools
import math

from hinomi.errors import Rejected

# RFC 8798's registry of units derived by scaling; a pack that uses one says so by its version (RFC 9100).
SENML_SECONDARY = frozenset(
    {"ms", "min", "h", "MHz", "kW", "kVA", "kvar", "Ah", "Wh", "kWh", "varh", "kvarh", "kVAh", "Wh/km", "KiB", "GB"}
    | {
        "Mbit/s",
        "B/s",
        "MB/s",
        "mV",
        "mA",
        "dBm",
        "ug/m3",
        "mm/h",
        "m/h",
        "ppm",
        "/100",
        "/1000",
        "hPa",
        "mm",
        "cm",
    }
    | {"km", "km/h"}
)

_FOOT = 0.3048
_INCH = 0.0254
_MILE = 1609.344
_GALLON = 231 * _INCH**3

# dimension -> {UCUM spelling: (scale, offset, other spellings: SenML, then those of files and data sheets)}
_TABLE: dict[str, dict[str, tuple[float, float, tuple[str, ...]]]] = {
    "length": {
        "m": (1.0, 0.0, ()),
        "mm": (1e-3, 0.0, ()),
        "cm": (1e-2, 0.0, ()),
        "km": (1e3, 0.0, ()),
        "[ft_i]": (_FOOT, 0.0, ("ft", "feet")),
        "[in_i]": (_INCH, 0.0, ("in", "inch")),
        "[mi_i]": (_MILE, 0.0, ("mi", "mile")),
    },
    "temperature": {
        "K": (1.0, 0.0, ()),
        "Cel": (1.0, 273.15, ("degC", "°C", "C")),
        "[degF]": (5 / 9, 273.15 - 32 * 5 / 9, ("degF", "°F", "F")),
    },
    "pressure": {
        "Pa": (1.0, 0.0, ()),
        "hPa": (1e2, 0.0, ()),
        "kPa": (1e3, 0.0, ()),
        "mbar": (1e2, 0.0, ("mb",)),
        "bar": (1e5, 0.0, ()),
        "[in_i'Hg]": (3386.389, 0.0, ("inHg",)),
        "mm[Hg]": (133.322387415, 0.0, ("mmHg",)),
    },
    "speed": {
        "m/s": (1.0, 0.0, ()),
        "m/h": (1 / 3600, 0.0, ()),
        "km/h": (1 / 3.6, 0.0, ("kph",)),
        "mm/h": (1 / 3.6e6, 0.0, ()),
        "mm/min": (1 / 6e4, 0.0, ()),
        "[in_i]/h": (_INCH / 3600, 0.0, ("in/h",)),
        "[ft_i]/s": (_FOOT, 0.0, ("ft/s",)),
        "[mi_i]/h": (_MILE / 3600, 0.0, ("mph", "mi/h")),
        "[kn_i]": (1852 / 3600, 0.0, ("kn", "kt", "knot")),
    },
    "flow": {
        "m3/s": (1.0, 0.0, ()),
        "m3/h": (1 / 3600, 0.0, ()),
        "l/s": (1e-3, 0.0, ("L/s",)),
        "l/min": (1e-3 / 60, 0.0, ("L/min",)),
        "[cft_i]/s": (_FOOT**3, 0.0, ("cfs", "ft3/s")),
        "[gal_us]/min": (_GALLON / 60, 0.0, ("gpm",)),
    },
    "angle": {
        "rad": (1.0, 0.0, ()),
        "deg": (math.pi / 180, 0.0, ("°",)),
    },
    "ratio": {
        "1": (1.0, 0.0, ("/", "count")),
        "%": (1e-2, 0.0, ("/100", "%RH", "%EL")),
        "[ppth]": (1e-3, 0.0, ("/1000",)),
        "[ppm]": (1e-6, 0.0, ("ppm",)),
        "[ppb]": (1e-9, 0.0, ("ppb",)),
    },
    "mass concentration": {
        "kg/m3": (1.0, 0.0, ()),
        "g/m3": (1e-3, 0.0, ()),
        "mg/m3": (1e-6, 0.0, ()),
        "ug/m3": (1e-9, 0.0, ("µg/m3", "μg/m3", "µg/m³", "μg/m³")),
    },
    "acceleration": {
        "m/s2": (1.0, 0.0, ()),
        "Gal": (1e-2, 0.0, ("gal",)),
    },
    "irradiance": {"W/m2": (1.0, 0.0, ())},
    "illuminance": {"lx": (1.0, 0.0, ("lux",)), "klx": (1e3, 0.0, ())},
    "voltage": {"V": (1.0, 0.0, ()), "mV": (1e-3, 0.0, ())},
    "power level": {"dB[W]": (1.0, 0.0, ("dBW",)), "dB{mW}": (1.0, -30.0, ("dBm",))},
    "sound level": {"dB[SPL]{A}": (1.0, 0.0, ("dB", "dBA", "dB(A)", "dB[SPL]")), "B[SPL]": (10.0, 0.0, ("Bspl",))},
    "dose rate": {
        "Sv/s": (1.0, 0.0, ()),
        "uSv/h": (1e-6 / 3600, 0.0, ("µSv/h", "μSv/h")),
        "mSv/h": (1e-3 / 3600, 0.0, ()),
        "nSv/h": (1e-9 / 3600, 0.0, ()),
    },
}

_UNITS: dict[str, tuple[str, str, float, float]] = {
    spelling: (dimension, ucum, scale, offset)
    for dimension, units in _TABLE.items()
    for ucum, (scale, offset, others) in units.items()
    for spelling in (ucum, *others)
}


def ucum(unit: str) -> str:
    """The UCUM spelling of a unit given in any spelling.

    Raises:
        Rejected: ``wrong_unit``, not in the table.
    """
    return _known(unit)[1]


@functools.cache
def linear(from_unit: str, to_unit: str) -> tuple[float, float]:
    """Scale and offset of ``to = scale * value + offset``; (1.0, 0.0) where both are the same size.

    Raises:
        Rejected: ``wrong_unit``, unknown or of different dimensions.
    """
    if from_unit == to_unit:
        return 1.0, 0.0
    dimension, _, scale, offset = _known(from_unit)
    other, _, to_scale, to_offset = _known(to_unit)
    if dimension != other:
        raise Rejected("wrong_unit", f"{from_unit!r} measures {dimension}, {to_unit!r} {other}")
    if (scale, offset) == (to_scale, to_offset):
        return 1.0, 0.0
    return scale / to_scale, (offset - to_offset) / to_scale


def convert(value: float, from_unit: str, to_unit: str) -> float:
    """``value`` in another unit, unchanged bit for bit where both have the same size.

    Raises:
        Rejected: ``wrong_unit``, unknown or of different dimensions.
    """
    scale, offset = linear(from_unit, to_unit)
    if scale == 1.0 and offset == 0.0:
        return value
    return scale * value + offset


def _known(unit: str) -> tuple[str, str, float, float]:
    try:
        return _UNITS[unit]
    except KeyError:
        raise Rejected("wrong_unit", f"{unit!r} is not a unit known here") from None
