"""What the station says of itself, to the cloud and to a person at the machine."""

from typing import Any

import hinomi
from edge.clock import StationClock
from edge.config import EdgeConfig
from edge.health import Health
from hinomi.journal.protocol import Stats
from sensing.station import DatastreamInfo


def datastreams(config: EdgeConfig, pushed: list[DatastreamInfo]) -> list[dict[str, Any]]:
    """What is measured and how often: configured sensors, then what devices pushed."""
    asked = [
        DatastreamInfo(section.name, quantity, section.interval_s)
        for section in config.sensors
        for quantity in section.quantities()
    ]
    return [
        {"sensor": one.sensor, "quantity": one.quantity, "interval_s": one.interval_s} for one in [*asked, *pushed]
    ]


def online(
    config: EdgeConfig,
    clock: StationClock,
    health: Health,
    *,
    serial: str,
    maintenance_s: float,
    pushed: list[DatastreamInfo],
) -> dict[str, Any]:
    """The body of the ``status`` topic while the agent runs."""
    return {
        "status": "online",
        "version": hinomi.__version__,
        "boot_id": clock.boot,
        "serial": serial,
        "config_hash": config.hash,
        "clock": clock.setting.quality.value,
        "maintenance_s": round(maintenance_s),
        **health.summary(),
        "datastreams": datastreams(config, pushed),
    }


def journal(stats: Stats, stream: str = "") -> dict[str, Any]:
    """The journal's counters, in readings and bytes."""
    return {
        "stream": stream,
        "accepted": stats.accepted_readings,
        "acked": stats.removed_readings,
        "pending": stats.pending_readings,
        "dropped": stats.dropped_readings,
        "packs": stats.records,
        "bytes": stats.bytes,
        "file_bytes": stats.file_bytes,
    }
