"""Rain and the level of water."""

# 雨の強さと降り方 (気象庁, 2000, wording of 2017), rain in mm of one hour, lowest first.
RAIN_CLASSES = (
    (10.0, "やや強い雨"),
    (20.0, "強い雨"),
    (30.0, "激しい雨"),
    (50.0, "非常に激しい雨"),
    (80.0, "猛烈な雨"),
)


def rain_class(hourly: float) -> str | None:
    """JMA's word for the rain of one hour (mm), None below 10 mm."""
    return next((name for low, name in reversed(RAIN_CLASSES) if hourly >= low), None)


def level_from_distance(distance: float, mounting_height: float) -> float:
    """Water level from a gauge that looks down.

    Args:
        distance: from the sensor's face to the water, m.
        mounting_height: of the sensor's face above gauge zero, m.

    Returns:
        m above gauge zero.
    """
    return mounting_height - distance
