"""A station that was without network for thirty days: ten channels every ten seconds, in virtual time."""

import itertools
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from support.clock import ManualClock

from edge.clock import StationClock
from edge.collect import NOTE_CLOCK
from edge.group import Group
from hinomi.journal.protocol import Entry
from hinomi.journal.sqlite import SqliteJournal
from sensing.observation import Kind, Reading

DAYS = 30
EVERY_S = 10
TICKS = DAYS * 86_400 // EVERY_S
CHANNELS = (
    ("gauge", "water_level", 1.2, 0.001),
    ("gauge", "battery_voltage", 12.6, 0.01),
    ("weather", "temperature", 18.0, 0.01),
    ("weather", "humidity", 60.0, 0.01),
    ("weather", "pressure", 1008.0, 0.01),
    ("rain", "rain_increment", 0.0, 0.2),
    ("air", "pm2_5", 12.0, 0.1),
    ("air", "pm10", 20.0, 0.1),
    ("room", "co2", 600.0, 1.0),
    ("pi", "cpu_temperature", 48.0, 0.1),
)


def packs(
    clock: ManualClock,
    station: StationClock,
    rng: random.Random,
    *,
    ticks: int = TICKS,
    every_s: int = EVERY_S,
    ticks_a_pack: int = 1,
) -> Iterator[Entry]:
    """One group, as the collector makes it, every ``ticks_a_pack`` readings of all channels."""
    values = [start for _, _, start, _ in CHANNELS]
    group = Group()
    for tick in range(ticks):
        readings = group.sampled.setdefault((Kind.READING, station.setting.number), [])
        tide = math.sin(tick / 1400)
        for index, (sensor, quantity, start, resolution) in enumerate(CHANNELS):
            values[index] += resolution * rng.choice((-2, -1, 0, 0, 0, 1, 2)) - 0.001 * (values[index] - start)
            value = round(round((values[index] + tide * 20 * resolution) / resolution) * resolution, 4)
            readings.append(Reading(sensor, quantity, station.stamp(sensor, quantity), value))
        clock.tick(every_s)
        if (tick + 1) % ticks_a_pack == 0:
            yield from group.entries()
            group = Group()


def fill(path: Path) -> SqliteJournal:
    """The journal of a station that was alone for a month; its last reading is of just now."""
    clock = ManualClock(time.time_ns() // 1_000_000 - TICKS * EVERY_S * 1000)
    station = StationClock(clock, boot="a-month-ago", synced=lambda: True, saved=[], known_ms=0)
    journal = SqliteJournal.open(path, cap_bytes=200_000_000, new_stream=lambda: "month")
    journal.append([], notes={NOTE_CLOCK: msgspec.json.encode(station.dump())})
    entries = packs(clock, station, random.Random(6))
    while chunk := list(itertools.islice(entries, 2000)):
        journal.append(chunk)
    return journal
