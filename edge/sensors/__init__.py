"""Sensors that the agent asks: one file pair each (``x.py`` and its sample ``x.toml``), and one row here.

A row is a string, so that a driver is imported only when a configuration names it.
"""

SENSORS: dict[str, str] = {
    "bme280": "edge.sensors.bme280:Config",
    "contact": "edge.sensors.contact:Config",
    "ds18b20": "edge.sensors.ds18b20:Config",
    "host": "edge.sensors.host:Config",
    "modbus_level": "edge.sensors.modbus_level:Config",
    "motion": "edge.sensors.motion:Config",
    "pms5003": "edge.sensors.pms5003:Config",
    "rain_gauge": "edge.sensors.rain_gauge:Config",
    "scd4x": "edge.sensors.scd4x:Config",
    "sds011": "edge.sensors.sds011:Config",
    "ultrasonic": "edge.sensors.ultrasonic:Config",
}
