"""The doctor at a station."""

from pathlib import Path

import aiomqtt

from edge.clock import kernel_synced
from edge.config import EdgeConfig, load
from edge.link import explain, tls_context
from edge.sensors.base import SensorSection
from hinomi.clock import SystemClock
from hinomi.doctor.findings import Finding, Findings, clock, folder, tried
from hinomi.errors import Transient
from hinomi.journal.sqlite import SqliteJournal

_PATIENCE_S = 10.0


async def look(path: Path) -> Findings:
    """Everything a station needs.

    Raises:
        ConfigError: the configuration itself is at fault.
    """
    config = load(path)
    has = f"{len(config.sensors)} sensors, {len(config.intakes)} intakes"
    yield Finding("ok", "configuration", f"{config.station}: {has}")
    yield clock(SystemClock(), synced=config.clock_trusted or kernel_synced()(), replayed=config.clock is not None)
    yield folder("journal", config.journal.path, needs_bytes=config.journal.cap_bytes)
    if config.journal.path.exists():
        stats = SqliteJournal.peek(config.journal.path)
        yield Finding("ok", "backlog", f"{stats.pending_readings} readings wait for the cloud's acknowledgement")
    for section in config.sensors:
        yield _devices(section)
    yield await tried("broker", _sign_in(config), f"{config.broker.host} lets {config.station} in")


def _devices(section: SensorSection) -> Finding:
    """Whether the files behind a sensor's settings are there; only the agent may open them."""
    what = f"sensor {section.name}"
    paths = [value for name in section.__struct_fields__ if isinstance(value := getattr(section, name), Path)]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        words = f"{', '.join(missing)} is not there: is the bus enabled, the device plugged in?"
        return Finding("fail", what, words)
    return Finding("ok", what, ", ".join(map(str, paths)) or "needs no device file")


async def _sign_in(config: EdgeConfig) -> None:
    """Sign in beside the running agent: under another client id, which does not throw it out."""
    broker = config.broker
    host, port = broker.address
    try:
        context = tls_context(broker, clock_known=True) if broker.tls else None
        async with aiomqtt.Client(
            host,
            port,
            identifier=f"{config.station.client_id}.doctor",
            username=broker.username or str(config.station),
            password=broker.password.reveal() if broker.password else None,
            protocol=aiomqtt.ProtocolVersion.V5 if broker.version == "5" else aiomqtt.ProtocolVersion.V311,
            tls_context=context,
            timeout=_PATIENCE_S,
        ):
            pass
    except (aiomqtt.MqttError, OSError) as error:
        raise Transient(explain(error, broker, config.station)) from error
