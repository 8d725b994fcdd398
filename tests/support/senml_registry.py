"""SenML's registries of units, written down from RFC 8428 (12.1) and RFC 8798 (2 and 3); no later additions."""

# fmt: off
PRIMARY = frozenset({
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm",
    "S", "Wb", "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "l", "m/s", "m/s2", "m3/s",
    "l/s", "W/m2", "cd/m2", "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW", "Bspl", "count", "/", "%", "%RH",
    "%EL", "EL", "1/s", "1/min", "beat/min", "beats", "S/m",
    "B", "VA", "VAs", "var", "vars", "J/m", "kg/m3", "deg",
})
# fmt: on

# secondary unit: (primary unit, scale, offset); primary = scale * secondary + offset
SECONDARY = {
    "ms": ("s", 1 / 1000, 0),
    "min": ("s", 60, 0),
    "h": ("s", 3600, 0),
    "MHz": ("Hz", 1e6, 0),
    "kW": ("W", 1e3, 0),
    "kVA": ("VA", 1e3, 0),
    "kvar": ("var", 1e3, 0),
    "Ah": ("C", 3600, 0),
    "Wh": ("J", 3600, 0),
    "kWh": ("J", 3.6e6, 0),
    "varh": ("vars", 3600, 0),
    "kvarh": ("vars", 3.6e6, 0),
    "kVAh": ("VAs", 3.6e6, 0),
    "Wh/km": ("J/m", 3.6, 0),
    "KiB": ("B", 1024, 0),
    "GB": ("B", 1e9, 0),
    "Mbit/s": ("bit/s", 1e6, 0),
    "B/s": ("bit/s", 8, 0),
    "MB/s": ("bit/s", 8e6, 0),
    "mV": ("V", 1 / 1000, 0),
    "mA": ("A", 1 / 1000, 0),
    "dBm": ("dBW", 1, -30),
    "ug/m3": ("kg/m3", 1e-9, 0),
    "mm/h": ("m/s", 1 / 3600000, 0),
    "m/h": ("m/s", 1 / 3600, 0),
    "ppm": ("/", 1e-6, 0),
    "/100": ("/", 1 / 100, 0),
    "/1000": ("/", 1 / 1000, 0),
    "hPa": ("Pa", 100, 0),
    "mm": ("m", 1 / 1000, 0),
    "cm": ("m", 1 / 100, 0),
    "km": ("m", 1000, 0),
    "km/h": ("m/s", 1 / 3.6, 0),
}
