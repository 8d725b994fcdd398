"""Readings pushed to us: one module each, and one row here (a string: imported only when it is configured)."""

INTAKES: dict[str, str] = {
    "mqtt": "edge.intake.mqtt:Config",
    "sensor_community": "edge.intake.sensor_community:Config",
    "socket": "edge.intake.socket:Config",
}
