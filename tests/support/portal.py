"""A live page with real parts below it: registry, store and clock; only the loss meter is made up."""

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from cloud.db import Database
from cloud.fleet.registry import Presence, Registry
from cloud.ingest.health import Health
from cloud.ingest.loss import StationLoss
from cloud.ingest.metrics import Counters, Metrics
from cloud.portal.live import build_app
from cloud.store.personal import PersonalStore
from cloud.store.routing import RoutedStore
from cloud.store.sqlite import SqliteStore
from hinomi.clock import Clock
from hinomi.disk import Disk
from sensing.observation import Datastream, Observation
from sensing.station import DatastreamInfo, StationRecord
from sensing.topic import StationId


class MadeUpLosses:
    """Whatever a test says."""

    def __init__(self) -> None:
        self.by_station: dict[StationId, StationLoss] = {}

    def put(self, station: StationId, **counts: int) -> None:
        names = StationLoss.__struct_fields__[1:]
        self.by_station[station] = StationLoss(station, **{name: counts.get(name, 0) for name in names})

    def rows(self, community: str) -> list[StationLoss]:
        return [row for key, row in sorted(self.by_station.items()) if key.community == community]

    def communities(self) -> list[str]:
        return sorted({key.community for key in self.by_station})


class Portal:
    """What a page is made of, and the page's address."""

    def __init__(self, registry: Registry, store: RoutedStore, clock: Clock) -> None:
        self.registry = registry
        self.store = store
        self.clock = clock
        self.losses = MadeUpLosses()
        self.health = Health()
        self.metrics = Metrics(Counters())
        self.url = ""

    def add(self, station: str, *streams: tuple[str, str, float], online: bool | None = True, **more: str) -> None:
        """Register a station with (sensor, quantity, interval_s) datastreams."""
        one = StationId.parse(station)
        infos = tuple(DatastreamInfo(*stream) for stream in streams)
        self.registry.add(StationRecord(one, datastreams=infos, **more), None, self.clock.now())
        if online is not None:
            self.registry._presence[one] = Presence(online, self.clock.now(), {}, infos)

    async def write(self, *observations: Observation) -> None:
        assert await self.store.write(observations) == []


@asynccontextmanager
async def portal(folder: Path, clock: Clock, pace: Clock) -> AsyncIterator[Portal]:
    async with Disk("database") as disk:
        database = Database(f"sqlite:///{folder}/hinomi.db", disk)
        store = RoutedStore(await SqliteStore.open(folder / "readings.db"), PersonalStore(database))
        made = Portal(Registry(database), store, clock)
        app = build_app(
            registry=made.registry,
            store=store,
            loss=made.losses,
            health=made.health,
            metrics=made.metrics,
            clock=clock,
            pace=pace,
        )
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield made
        finally:
            await runner.cleanup()
            await store.close()
            database.close()


async def fill_town(made: Portal) -> None:
    """A flood day in two communities, for the eye."""
    rng = random.Random(1)
    now = made.clock.now()
    shapes = {
        "water_level": lambda x: 0.4 + 1.9 * math.exp(-(((x - 0.82) / 0.16) ** 2)),
        "rain_increment": lambda x: max(0.0, 9 * math.exp(-(((x - 0.66) / 0.1) ** 2)) + rng.gauss(0, 0.5)),
        "temperature": lambda x: 24 + 5 * math.sin(6 * x) + rng.gauss(0, 0.1),
        "wbgt": lambda x: 26 + 4 * math.sin(6 * x),
        "humidity": lambda x: 70 - 20 * math.sin(6 * x) + rng.gauss(0, 0.6),
        "pm2_5": lambda x: 12 + 60 * math.exp(-(((x - 0.5) / 0.12) ** 2)) + rng.gauss(0, 2),
        "pm10": lambda x: 20 + 90 * math.exp(-(((x - 0.5) / 0.12) ** 2)) + rng.gauss(0, 4),
        "discharge": lambda x: 3 + 120 * math.exp(-(((x - 0.82) / 0.14) ** 2)),
        "co2": lambda x: 480 + 600 * max(0, math.sin(5 * x)) + rng.gauss(0, 9),
        "battery_voltage": lambda x: 12.6 - 0.5 * x,
        "pressure": lambda x: 1004 - 9 * x,
    }
    for record in made.registry.stations():
        accepted = 0
        for info in record.datastreams:
            d = Datastream(record.id.community, record.id.station, info.sensor, info.quantity)
            late = 3 * 3_600_000 if record.id.station == "tsutsumi" else rng.randrange(9000)
            at = [now - late - i * round(info.interval_s * 1000) for i in range(200)]
            rows = [Observation(d, t, shapes[info.quantity](1 - i / 200)) for i, t in enumerate(at)]
            await made.write(*rows)
            accepted += 40_000 + 211
        made.losses.put(
            record.id,
            accepted=accepted,
            stored=accepted - 400 - 12,
            pending_station=280,
            pending_journal=120,
            quarantined=12,
        )


def register_town(made: Portal) -> None:
    made.add(
        "hinomi/shinbashi",
        ("gauge", "water_level", 300.0),
        ("gauge", "discharge", 300.0),
        ("rain", "rain_increment", 300.0),
        ("power", "battery_voltage", 300.0),
        name="中川・新橋",
        romaji="Nakagawa at Shinbashi",
    )
    made.add(
        "hinomi/shogakko",
        ("globe", "wbgt", 60.0),
        ("air", "temperature", 60.0),
        ("air", "humidity", 60.0),
        ("air", "pressure", 60.0),
        name="ひのみ小学校",
        romaji="Hinomi Elementary School",
    )
    made.add(
        "hinomi/ekimae",
        ("dust", "pm2_5", 150.0),
        ("dust", "pm10", 150.0),
        ("hall", "co2", 60.0),
        name="駅前広場",
        romaji="Station Square",
    )
    made.add(
        "hinomi/tsutsumi",
        ("gauge", "water_level", 600.0),
        online=False,
        name="堤の水位計",
        romaji="Tsutsumi levee gauge",
    )
    made.add("hinomi/yakuba", online=None, name="役場の屋上", romaji="Town hall roof")
