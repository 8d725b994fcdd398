"""Readings pushed to us: one module each, and one row here (a string: imported only when it is configured)."""

INTAKES: dict[str, str] = {
    "socket": "edge.intake.socket:Config",
}
