"""What follows from readings by a formula: heat, moisture, pressure, rain, level."""

from sensing.derive.air import dew_point, saturation_pressure, sea_level_pressure
from sensing.derive.heat import HEAT_CLASSES, heat_class, wbgt_indoor, wbgt_ono, wbgt_outdoor
from sensing.derive.water import RAIN_CLASSES, level_from_distance, rain_class

__all__ = [
    "HEAT_CLASSES",
    "RAIN_CLASSES",
    "dew_point",
    "heat_class",
    "level_from_distance",
    "rain_class",
    "saturation_pressure",
    "sea_level_pressure",
    "wbgt_indoor",
    "wbgt_ono",
    "wbgt_outdoor",
]
