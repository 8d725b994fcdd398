"""Heat: the wet bulb globe temperature (暑さ指数) and its classes."""

# Classes of daily life (日常生活に関する指針, 日本生気象学会; used by 環境省), WBGT in Cel, lowest first.
HEAT_CLASSES = ((25.0, "警戒"), (28.0, "厳重警戒"), (31.0, "危険"))


def wbgt_ono(temperature: float, humidity: float, irradiance: float, wind_speed: float) -> float:
    """WBGT estimated from a weather station without a globe.

    Ono and Tonouchi, 通常観測気象要素を用いたWBGT(湿球黒球温度)の推定, 日生気誌 50 (2014): the formula that 環境省
    publishes estimates by. A regression over Japanese summers: not for cold weather, where it means nothing.
    Without a pyranometer ``irradiance`` 0 understates in the sun: say 推定・日射なし.

    Args:
        temperature: air, Cel.
        humidity: relative, %.
        irradiance: global solar, W/m2.
        wind_speed: mean, m/s.

    Returns:
        Cel, to be shown with one decimal.
    """
    ta, rh, sr, ws = temperature, humidity, irradiance / 1000.0, wind_speed
    return 0.735 * ta + 0.0374 * rh + 0.00292 * ta * rh + 7.619 * sr - 4.557 * sr**2 - 0.0572 * ws - 4.064


def wbgt_outdoor(wet_bulb: float, globe_temperature: float, temperature: float) -> float:
    """WBGT in the sun by its definition (ISO 7243): natural wet bulb, globe and air temperature, all Cel."""
    return 0.7 * wet_bulb + 0.2 * globe_temperature + 0.1 * temperature


def wbgt_indoor(wet_bulb: float, globe_temperature: float) -> float:
    """WBGT without sun by its definition (ISO 7243): natural wet bulb and globe temperature, Cel."""
    return 0.7 * wet_bulb + 0.3 * globe_temperature


def heat_class(wbgt: float) -> str | None:
    """The class of a WBGT (Cel): 警戒, 厳重警戒, 危険, or None below 25."""
    return next((name for low, name in reversed(HEAT_CLASSES) if wbgt >= low), None)
