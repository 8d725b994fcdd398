"""Moisture and pressure of the air."""

import math

# Over water, August-Roche-Magnus with the constants of Alduchov and Eskridge, J. Appl. Meteor. 35 (1996): saturation
# pressure within 0.4 % between -40 and 50 Cel. E in hPa.
_A, _B, _C = 17.625, 243.04, 6.1094

_GRAVITY = 9.80665  # m/s2
_GAS_CONSTANT = 287.05  # J/(kg K), dry air
_LAPSE = 0.0065  # K/m, standard atmosphere


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

    The air column below the station is taken to have the standard lapse rate and the station's vapour, as in the
    manual for weather observers of JMA (気象観測の手引き): virtual temperature at half the height.

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
