"""Motion sensor (passive infrared, e.g. HC-SR501) on a GPIO line."""

from edge.sensors import switch
from edge.sensors.base import Context, Measured, Sensor

_QUANTITY = "motion"


class Config(switch.SwitchSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file."""

    def quantities(self) -> tuple[str, ...]:
        """1: somebody moves, 0: nobody."""
        return (_QUANTITY,)

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return switch.Switch(context, self, _QUANTITY)


def decode(events: bytes, config: Config) -> list[Measured]:
    """The states in a record of line events."""
    return switch.decode(events, config, _QUANTITY)
