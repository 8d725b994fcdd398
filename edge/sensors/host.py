"""The Raspberry Pi itself: temperature of its processor, free disk and memory, strength of the wireless signal."""

import os
from pathlib import Path
from typing import Literal

from edge.buses import trouble
from edge.sensors.base import Context, Measured, Sensor, SensorSection
from edge.sensors.blocking import Blocking
from hinomi.errors import Transient

Name = Literal["cpu_temperature", "disk_free", "memory_free", "signal_strength"]


class Config(SensorSection, frozen=True):
    """Settings, see the sample beside this file.

    Attributes:
        report: which of the four.
        disk: the file system of this path.
        interface: the wireless interface.
        thermal_zone: the processor's among the kernel's thermal zones.
        proc: where procfs is mounted.
        sys: where sysfs is mounted.
    """

    report: tuple[Name, ...] = ("cpu_temperature", "disk_free", "memory_free")
    disk: Path = Path("/")
    interface: str = "wlan0"
    thermal_zone: str = "thermal_zone0"
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")

    def __post_init__(self) -> None:
        if not self.report or len(set(self.report)) != len(self.report):
            raise ValueError("report must name at least one of the four, and none twice")

    def quantities(self) -> tuple[str, ...]:
        """What ``report`` names."""
        return tuple(self.report)

    def open(self, context: Context) -> Sensor:
        """The sensor, not yet touched."""
        return _Host(context, self)


def memory_free(meminfo: str) -> float:
    """Percent of the memory that programs could still get, from /proc/meminfo.

    Raises:
        Transient: the two lines are not there.
    """
    sizes = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        fields = rest.split()
        if fields and fields[0].isdigit():
            sizes[name] = int(fields[0])
    try:
        return 100.0 * sizes["MemAvailable"] / sizes["MemTotal"]
    except (KeyError, ZeroDivisionError) as error:
        raise Transient("host: /proc/meminfo does not tell MemTotal and MemAvailable") from error


def signal_strength(wireless: str, interface: str) -> float:
    """Signal level in dBm from /proc/net/wireless.

    Raises:
        Transient: the interface is not there, or its driver tells no level in dBm.
    """
    for line in wireless.splitlines():
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if not colon or name.strip() != interface or len(fields) < 3:
            continue
        try:
            level = float(fields[2].rstrip("."))
        except ValueError:
            break
        if level < 0:
            return level
        break
    raise Transient(f"host: {interface} tells no signal level; is it connected? (iw dev shows the interfaces)")


class _Host(Blocking):
    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self._config = config

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def measure(self) -> list[Measured]:
        """What can be had; one missing source does not take the others with it."""
        measured, missing = [], []
        for name in self._config.report:
            try:
                measured.append(Measured(name, round(self._one(name), 2)))
            except Transient as error:
                missing.append(str(error))
            except (OSError, ValueError) as error:
                text = trouble.words(error) if isinstance(error, OSError) else str(error)
                missing.append(f"host: {name}: {text}")
        if not measured:
            raise Transient("; ".join(missing))
        return measured

    def _one(self, name: Name) -> float:
        config = self._config
        match name:
            case "cpu_temperature":
                zone = config.sys / "class/thermal" / config.thermal_zone / "temp"
                return int(zone.read_text("ascii")) / 1000.0
            case "disk_free":
                disk = os.statvfs(config.disk)
                return 100.0 * disk.f_bavail / disk.f_blocks if disk.f_blocks else 0.0
            case "memory_free":
                return memory_free((config.proc / "meminfo").read_text("ascii"))
            case "signal_strength":
                wireless = (config.proc / "net/wireless").read_text("ascii")
                return signal_strength(wireless, config.interface)
