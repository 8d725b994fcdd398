"""Maxim DS18B20: temperature of air, water, soil or a black globe, over 1-Wire through the kernel's w1_therm.

File: Linux, Documentation/w1/slaves/w1_therm. Scratchpad and power-on value: Maxim, DS18B20 data sheet 19-7487.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge.buses import trouble
from edge.sensors.base import Context, Measured, Sensor, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.errors import ConfigError, Transient

_POWER_ON = 0x0550  # 85 Cel: what the scratchpad holds before the first conversion
_LINE = re.compile(rb"\s*((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)\s")


class Config(SensorSection, frozen=True, kw_only=True):
    """Settings, see the sample beside this file.

    Attributes:
        id: the thermometer's own number, ``28-`` and twelve digits.
        quantity: what it hangs in.
        root: the kernel's folder of 1-Wire devices.
    """

    id: Annotated[str, msgspec.Meta(pattern="^28-[0-9a-f]{12}$")]
    quantity: Literal["temperature", "water_temperature", "soil_temperature", "globe_temperature"] = "temperature"
    root: Path = Path("/sys/bus/w1/devices")

    def quantities(self) -> tuple[str, ...]:
        """The one temperature."""
        return (self.quantity,)

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _Ds18b20(context, self)


def decode(text: bytes, config: Config) -> list[Measured]:
    """The reading in a ``w1_slave`` file.

    Raises:
        Transient: bad CRC, no conversion, a shorted line, or not such a file at all.
    """
    found = _LINE.match(text)
    if found is None:
        raise Transient(f"DS18B20: {text[:60]!r} is no w1_slave file; was it unplugged?")
    scratchpad = bytes.fromhex(found[1].decode())
    if found[2] == b"NO":
        raise Transient("DS18B20: bad CRC; check the 4.7 kohm pull-up, the length of the cable and its branches")
    if not any(scratchpad):
        raise Transient("DS18B20: the line reads 0 in every bit; it is shorted or its pull-up is missing")
    raw = int.from_bytes(scratchpad[:2], "little", signed=True)
    if raw == _POWER_ON:
        raise Transient("DS18B20: 85 Cel is its power-on value: it lost its supply and has not measured")
    return [Measured(config.quantity, raw / 16.0)]


class _Ds18b20(Blocking):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self._config = config

    def start(self) -> None:
        self._text()

    def measure(self) -> list[Measured]:
        return decode(self._text(), self._config)

    def stop(self) -> None:
        pass

    def _text(self) -> bytes:
        """Reading the file makes the kernel convert: 0.75 s."""
        path = self._config.root / self._config.id / "w1_slave"
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise self._absent() from error
        except OSError as error:
            raise Transient(f"{path}: {trouble.words(error)}") from error

    def _absent(self) -> ConfigError:
        found = sorted(path.name for path in self._config.root.glob("28-*"))
        if found:
            return ConfigError.of(self._config.id, f"is not on the line; found: {', '.join(found)}")
        return ConfigError.of(
            self._config.id,
            f"nothing in {self._config.root}; enable 1-Wire (sudo raspi-config nonint do_onewire 0, reboot) and"
            " check wiring and pull-up",
        )
