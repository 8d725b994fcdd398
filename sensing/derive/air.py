"""Moisture and pressure of the air."""

import math

# Over water: Magnus' form with the constants of Alduchov and Eskridge, J. Appl. Meteor. 35 (1996), within 0.4 % of
# the reference between -40 and 50 Cel; the first has no dimension, the second is in Cel, the third in hPa.
_A, _B, _C = 17.625, 243.04, 6.1094

_GRAVITY = 9.80665  # m/s2
_GAS_CONSTANT = 287.05  # J/(kg K), dry air
_LAPSE = 0.005  # K/m, as JMA takes it for reductions to sea level; the standard atmosphere has 0.0065


def saturation_pressure(temperature: float) -> float:
    """Water vapour's saturation pressure over water, hPa, at ``temperature`` (Cel, -40 to 50)."""
    return _C * math.exp(_A * temperature / (_B + temperature))


def dew_point(temperature: float, humidity: float) -> float:
    """The temperature at which the air would be saturated, by the inverse of Magnus' formula.

    Args:
        temperature: Cel, -40 to 50.
        humidity: relative, %; above 0.

    Returns:
        Cel.

    Raises:
        ValueError: ``humidity`` is not above 0: there is no dew point.
    """
    if humidity <= 0:
        raise ValueError(f"humidity must be above 0, got {humidity}")
    gamma = math.log(humidity / 100.0) + _A * temperature / (_B + temperature)
    return _B * gamma / (_A - gamma)


def sea_level_pressure(pressure: float, temperature: float, height: float, humidity: float = 0.0) -> float:
    """Station pressure reduced to sea level by the hypsometric equation.

    The air that is not there is taken to be warmer by 0.5 K each 100 m down and to hold the station's vapour; its
    mean virtual temperature is that at half the height. That is JMA's way (気象観測の手引き) apart from the vapour,
    which JMA takes from a table. At 500 m the choice of the lapse rate makes less than 0.1 hPa.

    Args:
        pressure: at the station, hPa.
        temperature: of the air at the station, Cel.
        height: of the barometer above sea level, m.
        humidity: relative, %; 0 where it is not known.

    Returns:
        hPa.
    """
    vapour = saturation_pressure(temperature) * humidity / 100.0
    mean = temperature + 273.15 + _LAPSE * height / 2.0
    virtual = mean / (1.0 - 0.378 * vapour / pressure)
    return pressure * math.exp(_GRAVITY * height / (_GAS_CONSTANT * virtual))
