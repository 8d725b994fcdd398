"""The agent's configuration file: one TOML, every fault at once, plug-in tables walked with the same walker."""

import difflib
import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from edge.intake import INTAKES
from edge.intake.base import IntakeSection
from edge.sensors import SENSORS
from edge.sensors.base import SensorSection
from hinomi.clock import ClockSection, measurement_clock
from hinomi.config import Secret, Section, Walker, read_toml
from hinomi.errors import ConfigError
from sensing.station import Purpose
from sensing.topic import StationId

P = TypeVar("P", bound=Section)

# Packages that are extras of their own, because each costs memory that most stations do not need.
_EXTRAS = {"aiohttp": "edge-http", "pymodbus": "edge-modbus"}


class StationSection(Section, frozen=True):
    """``[station]``.

    Attributes:
        id: ``community/station``; also the user name at the broker.
        purpose: why it measures; a weather station is public only with a notification to JMA.
        clock_trusted: something else than NTP keeps the machine's clock right (a GPS receiver, the host of a
            virtual machine), so the kernel's opinion is not asked.
    """

    id: str
    purpose: Purpose = "private"
    clock_trusted: bool = False

    def __post_init__(self) -> None:
        StationId.parse(self.id)


class BrokerSection(Section, frozen=True):
    """``[broker]``.

    Attributes:
        host: name or address.
        port: 1883, or 8883 with TLS, when left out.
        tls: encrypt, and check the broker's certificate.
        ca: the certificate authority's file; without it the system's authorities (which cost 3 MB of memory).
        certificate: the station's own certificate, instead of or beside a password.
        key: its private key.
        username: the station's id when left out.
        password: as ``hinomi station add`` printed it; or ``password_file``.
        version: of MQTT; 3.1.1 for brokers that speak nothing newer.
        keepalive_s: seconds after which a dead connection is noticed at the latest, halfway again.
    """

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str = ""
    password: Secret | None = None
    version: Literal["5", "3.1.1"] = "5"
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 30

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; one of them is missing")
        if not self.tls and (self.ca or self.certificate):
            raise ValueError("ca, certificate and key need tls = true")
        missing = [str(path) for path in (self.ca, self.certificate, self.key) if path and not path.is_file()]
        if missing:
            raise ValueError(f"no such file: {', '.join(missing)}")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or (8883 if self.tls else 1883)


class JournalSection(Section, frozen=True):
    """``[journal]``.

    Attributes:
        path: the file; its folder must exist.
        cap_mb: size of the held packs at which the oldest, never sent ones are thinned, then dropped.
        commit_s: readings are committed in groups of this many seconds.
    """

    path: Path
    cap_mb: Annotated[float, msgspec.Meta(ge=0.1, le=100_000)] = 200.0
    commit_s: Annotated[float, msgspec.Meta(ge=0.05, le=600.0)] = 5.0

    def __post_init__(self) -> None:
        if not self.path.parent.is_dir():
            raise ValueError(f"the folder {str(self.path.parent)!r} does not exist; create it for the agent's user")

    @property
    def cap_bytes(self) -> int:
        """The cap in bytes."""
        return int(self.cap_mb * 1_000_000)


class UplinkSection(Section, frozen=True):
    """``[uplink]``.

    Attributes:
        window: packs that may be on their way without the cloud's acknowledgement.
        resend_s: seconds after which an unacknowledged pack is sent again, then doubling up to ten times that.
        form: of SenML on the wire.
        deflate: compress packs.
    """

    window: Annotated[int, msgspec.Meta(ge=4, le=4000)] = 400
    resend_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600.0)] = 30.0
    form: Literal["cbor", "json"] = "cbor"
    deflate: bool = True


class _Tables(Section, frozen=True):
    """The fixed tables of the file."""

    station: StationSection
    broker: BrokerSection
    journal: JournalSection
    uplink: UplinkSection = UplinkSection()
    clock: ClockSection | None = None


class EdgeConfig(msgspec.Struct, frozen=True):
    """A configuration that can run.

    Attributes:
        station: who speaks.
        hash: short digest of the file, shown in the station's status.
    """

    station: StationId
    clock_trusted: bool
    broker: BrokerSection
    journal: JournalSection
    uplink: UplinkSection
    clock: ClockSection | None
    sensors: tuple[SensorSection, ...]
    intakes: tuple[IntakeSection, ...]
    hash: str


def load(path: Path) -> EdgeConfig:
    """Read the agent's file.

    Raises:
        ConfigError: with every fault, those of the plug-ins' tables included.
    """
    return parse(read_toml(path), base=path.parent, digest=hashlib.sha256(path.read_bytes()).hexdigest()[:12])


def parse(data: Mapping[str, Any], *, base: Path, digest: str = "") -> EdgeConfig:
    """The configuration in parsed tables.

    Raises:
        ConfigError: with every fault.
    """
    walker = Walker(base)
    fixed = {key: value for key, value in data.items() if key not in {"sensor", "intake"}}
    tables = walker.section(fixed, _Tables, "")
    sensors = _plugins(walker, data.get("sensor", []), "sensor", SENSORS, SensorSection)
    intakes = _plugins(walker, data.get("intake", []), "intake", INTAKES, IntakeSection)
    _twice(walker, sensors)
    if tables is not None:
        _clock(walker, tables)
    walker.finish()
    assert tables is not None  # noqa: S101 - finish() raised otherwise
    return EdgeConfig(
        station=StationId.parse(tables.station.id),
        clock_trusted=tables.station.clock_trusted,
        broker=tables.broker,
        journal=tables.journal,
        uplink=tables.uplink,
        clock=tables.clock,
        sensors=tuple(section for section in sensors if section),
        intakes=tuple(section for section in intakes if section),
        hash=digest,
    )


def _plugins(walker: Walker, tables: object, what: str, rows: Mapping[str, str], base: type[P]) -> list[P | None]:
    if not isinstance(tables, list):
        walker.fault(what, f"expected tables written as [[{what}]]")
        return []
    return [_plugin(walker, table, f"{what}[{index}]", rows, base) for index, table in enumerate(tables)]


def _plugin(walker: Walker, table: object, path: str, rows: Mapping[str, str], base: type[P]) -> P | None:
    kind = table.get("type") if isinstance(table, Mapping) else None
    if not isinstance(kind, str):
        walker.fault(f"{path}.type", f"is missing, expected one of: {', '.join(sorted(rows))}")
        return None
    if kind not in rows:
        near = difflib.get_close_matches(kind, rows, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(rows))}"
        walker.fault(f"{path}.type", f"{kind!r} is not known; {advice}")
        return None
    module, _, name = rows[kind].partition(":")
    try:
        section = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0], "edge")
        walker.fault(f"{path}.type", f"{kind!r} needs the package {error.name!r}: pip install 'hinomi[{extra}]'")
        return None
    assert issubclass(section, base)  # noqa: S101 - a plug-in's row is wrong: a bug
    return walker.section(table, section, path)


def _twice(walker: Walker, sensors: list[SensorSection | None]) -> None:
    seen: dict[str, int] = {}
    for index, section in enumerate(sensors):
        if section is None:
            continue
        if section.name in seen:
            walker.fault(
                f"sensor[{index}].name", f"{section.name!r} is sensor[{seen[section.name]}]'s name already"
            )
        seen.setdefault(section.name, index)


def _clock(walker: Walker, tables: _Tables) -> None:
    try:
        measurement_clock(tables.clock, broker_host=tables.broker.host)
    except ConfigError as error:
        walker.faults.extend(error.faults)
