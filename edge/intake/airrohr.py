"""What the sensor.community (airrohr) firmware says: its JSON and the names of its values. Pure.

From the firmware's source, releases NRZ-2017 to NRZ-2024: P1 is PM10, P2 PM2.5 and P0 PM1, whatever the sensor;
pressure is in Pa; values are texts.
"""

import math
import re

import msgspec

from edge.intake.base import Pushed
from hinomi.errors import Rejected

_MAX_VALUES = 128
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?")

_PM = {"P0": "pm1", "P1": "pm10", "P2": "pm2_5"}
_AIR = ("temperature", "humidity", "pressure")

# prefix of the firmware's value types -> (suffix of the sensor's name, {rest: quantity})
_PARTS: dict[str, tuple[str, dict[str, str]]] = {
    "SDS_": ("sds011", _PM),
    "PMS_": ("pms", _PM),
    "HPM_": ("hpm", _PM),
    "NPM_": ("npm", _PM),
    "IPS_": ("ips", _PM),
    "SPS30_": ("sps30", _PM),
    "BME280_": ("bme280", {name: name for name in _AIR}),
    "BMP280_": ("bmp280", {name: name for name in _AIR}),
    "BMP_": ("bmp180", {name: name for name in _AIR}),
    "HTU21D_": ("htu21d", {name: name for name in _AIR}),
    "SHT3X_": ("sht3x", {name: name for name in _AIR}),
    "SCD30_": ("scd30", {"temperature": "temperature", "humidity": "humidity", "co2_ppm": "co2"}),
    "DS18B20_": ("ds18b20", {"temperature": "temperature"}),
    "DNMS_noise_": ("dnms", {"LAeq": "noise"}),
    "": ("dht22", {"temperature": "temperature", "humidity": "humidity"}),
}

# value type -> (suffix of the sensor's name, quantity)
VALUE_TYPES = {
    prefix + rest: (suffix, quantity)
    for prefix, (suffix, rests) in _PARTS.items()
    for rest, quantity in rests.items()
} | {"signal": ("wifi", "signal_strength")}

# About the device itself, or finer than what we keep: no reading, and no mistake either.
_NOT_READINGS = re.compile(
    r"samples|min_micro|max_micro|interval|GPS_.*|P1|P2|durP1|durP2|ratioP1|ratioP2"
    r"|DNMS_noise_LA_(min|max)|(SPS30|NPM|IPS)_(N[0-9]+|TS|P4|P5|P01|P03|P05)"
)

_UNITS = {"pressure": "Pa", "signal_strength": "dBm", "noise": "dB", "co2": "[ppm]"}


class Upload(msgspec.Struct, frozen=True):
    """One message of a device: the number of its chip, and its values, not yet looked at."""

    chip: str
    values: list[msgspec.Raw]


class NotTaken(msgspec.Struct, frozen=True):
    """A value that is no reading; reasons: malformed, unknown_value_type, not_finite, twice."""

    value_type: str
    reason: str
    detail: str


class _Message(msgspec.Struct, frozen=True):
    esp8266id: str | int
    sensordatavalues: list[msgspec.Raw]
    software_version: str = ""


class _Value(msgspec.Struct, frozen=True):
    value_type: str
    value: str | float


def decode(body: bytes) -> Upload:
    """The message in ``body``.

    Raises:
        Rejected: ``malformed`` (not such JSON), ``too_many`` values.
    """
    try:
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("malformed", str(error)) from error
    except RecursionError as error:
        raise Rejected("malformed", "nested too deeply") from error
    if len(message.sensordatavalues) > _MAX_VALUES:
        raise Rejected("too_many", f"{len(message.sensordatavalues)} values; at most {_MAX_VALUES}")
    return Upload(str(message.esp8266id), message.sensordatavalues)


def readings(upload: Upload, name: str) -> tuple[list[Pushed], list[NotTaken]]:
    """The readings of the device ``name``, and the values that are none; one bad value does not harm the others."""
    taken: dict[tuple[str, str], Pushed] = {}
    refused = []
    for raw in upload.values:
        value_type = "?"
        try:
            value = _value(raw)
            value_type = value.value_type[:40]
            reading = None if _NOT_READINGS.fullmatch(value.value_type) else _reading(value, name)
        except Rejected as error:
            refused.append(NotTaken(value_type, error.reason, error.detail))
            continue
        if reading and taken.setdefault((reading.sensor, reading.quantity), reading) is not reading:
            refused.append(
                NotTaken(value_type, "twice", "this quantity of this part stands in the message already")
            )
    return list(taken.values()), refused


def _value(raw: msgspec.Raw) -> _Value:
    try:
        return msgspec.json.decode(raw, type=_Value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("malformed", str(error)) from error
    except RecursionError as error:
        raise Rejected("malformed", "nested too deeply") from error


def _reading(value: _Value, name: str) -> Pushed:
    if value.value_type not in VALUE_TYPES:
        raise Rejected("unknown_value_type", "no value of the firmware that is known here")
    suffix, quantity = VALUE_TYPES[value.value_type]
    return Pushed(f"{name}-{suffix}", quantity, _number(value.value), _UNITS.get(quantity))


def _number(value: str | float) -> float:
    if isinstance(value, str):
        if value.strip().lower().lstrip("+-") in {"nan", "inf", "infinity"}:
            raise Rejected("not_finite", value.strip()[:40])
        if not _NUMBER.fullmatch(value.strip()):
            raise Rejected("malformed", f"{value[:40]!r} is no number")
    number = float(value)
    if not math.isfinite(number):
        raise Rejected("not_finite", repr(value)[:40])
    return number
