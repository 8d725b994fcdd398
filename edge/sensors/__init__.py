"""Sensors that the agent asks: one file pair each (``x.py`` and its sample ``x.toml``), and one row here.

A row is a string, so that a driver is imported only when a configuration names it.
"""

SENSORS: dict[str, str] = {
    "host": "edge.sensors.host:Config",
}
