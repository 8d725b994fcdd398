"""The demo's town: six stations, two of them real agents on simulated buses, playing recorded days."""

from pathlib import Path
from string import Template

import msgspec

from firmware_sim.fleet.station import DatastreamPlan, StationPlan
from firmware_sim.signals.recorded import RecordedSection
from hinomi.clock import ClockSection
from sensing.station import StationRecord
from sensing.topic import StationId

_FOLDER = Path(__file__).parent

COMMUNITY = "town"


def _record(station: str, name: str, kana: str, romaji: str) -> StationRecord:
    return StationRecord(id=StationId(COMMUNITY, station), name=name, kana=kana, romaji=romaji, purpose="research")


AGENTS = ("bridge", "school")

STATIONS = (
    msgspec.structs.replace(
        _record("bridge", "新橋", "しんばし", "Shinbashi"),
        marks={"water_level": (0.8, 1.2, 1.5, 1.8)},
        lowest_bank=2.4,
    ),
    _record("school", "ひのみ小学校", "ひのみしょうがっこう", "Hinomi Elementary School"),
    _record("park", "中央公園", "ちゅうおうこうえん", "Central Park"),
    _record("station-square", "駅前広場", "えきまえひろば", "Station Square"),
    _record("harbour", "港", "みなと", "Harbour"),
    _record("hill", "丘の上", "おかのうえ", "Hilltop"),
)

# Light stations: id, recording, its station, the moment it is played from, quantities, seconds between readings.
_NEIGHBOURS = (
    ("park", "fukushima", None, "2019/7/29 8:00", ("wbgt", "globe_temperature"), 300.0),
    ("station-square", "bonfire", "8554", "2018-11-05T15:00:00", ("pm2_5", "pm10"), 150.0),
    ("harbour", "bonfire", "7789", "2018-11-05T15:00:00", ("pm2_5", "pm10"), 150.0),
    ("hill", "bonfire", "15092", "2018-11-05T15:00:00", ("pm2_5", "pm10"), 150.0),
)


def neighbours(origin_ms: int) -> list[StationPlan]:
    """The light stations, their recordings played from ``origin_ms`` on."""
    return [
        StationPlan(
            id=f"{COMMUNITY}/{station}",
            datastreams=tuple(
                DatastreamPlan(
                    sensor="heat" if recording == "fukushima" else "dust",
                    quantity=quantity,
                    interval_s=interval_s,
                    signal=RecordedSection(
                        recorded=Path(recording), station=source, begin=begin, anchor_ms=origin_ms, interpolate=True
                    ).signal(quantity, 0),
                )
                for quantity in quantities
            ),
        )
        for station, recording, source, begin, quantities, interval_s in _NEIGHBOURS
    ]


def write_files(agent: str, folder: Path, *, clock: ClockSection, broker_port: int) -> tuple[Path, Path]:
    """The agent's configuration and its simulated hardware's scenario, written into ``folder``; returns both."""
    values = {
        "clock": "\n[clock]\n"
        f"speed = {clock.speed!r}\norigin_ms = {clock.origin_ms}\nanchor_s = {clock.anchor_s!r}\n",
        "origin_ms": str(clock.origin_ms),
        "broker_port": str(broker_port),
        "hardware": str(folder / "hw"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for kind in ("edge", "devices"):
        template = Template((_FOLDER / f"{agent}.{kind}.toml").read_text("utf-8"))
        path = folder / f"{kind}.toml"
        path.write_text(template.substitute(values), "utf-8")
        made.append(path)
    return made[0], made[1]
