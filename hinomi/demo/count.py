"""The count at the end: every number read back from a file or the store after the processes have ended."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cloud.config import load_config
from cloud.ingest.loss import read_books
from cloud.ingest.tracker import Tracker
from cloud.store.section import OpenStore
from firmware_sim.fleet.log import read_packs
from hinomi.clock import ScaledClock
from hinomi.demo.report import SCHEMA, Report, StationDetail
from hinomi.demo.stage import Stage
from hinomi.demo.town import AGENTS, COMMUNITY, STATIONS
from hinomi.journal.sqlite import SqliteJournal
from sensing.topic import StationId

_DAY_MS = 86_400_000


class Accepted(msgspec.Struct):
    """What the stations' own files say, in readings.

    Attributes:
        readings: ever accepted.
        keys: of them, distinct (sensor, quantity, measured_at).
        dropped: given up and declared.
        pending: still held, and not durable in the cloud.
    """

    readings: int = 0
    keys: int = 0
    dropped: int = 0
    pending: int = 0


class Cloud(msgspec.Struct, frozen=True):
    """What the arrival journal says, in readings."""

    tracker: Tracker
    quarantined: int
    written_off: int
    pending: dict[StationId, int]


def count(stage: Stage, *, seconds: float, latency: tuple[float, float] | None) -> Report:
    """Count what became of everything; all processes but the store's have ended."""
    cloud = _cloud(stage)
    stations = {record.id: Accepted() for record in STATIONS}
    _agents(stage, cloud.tracker, stations)
    _neighbours(stage.fleet_log, cloud.tracker, stations)
    rows, datastreams, total = asyncio.run(_stored(stage))
    for station, pending in cloud.pending.items():
        stations[station].pending += pending
    accepted = sum(each.readings for each in stations.values())
    pending = sum(each.pending for each in stations.values())
    dropped = sum(each.dropped for each in stations.values())
    return Report(
        schema=SCHEMA,
        seconds=round(seconds, 1),
        speed=stage.clock.speed,
        store=stage.store,
        broker=stage.broker,
        accepted=accepted,
        stored=total,
        pending=pending,
        quarantined=cloud.quarantined,
        dropped=dropped,
        written_off=cloud.written_off,
        lost=accepted - total - pending - cloud.quarantined - dropped - cloud.written_off,
        duplicated=max(0, total - sum(each.keys for each in stations.values())),
        stations=len(stations),
        datastreams=datastreams,
        stations_detail=[
            StationDetail(
                id=str(station),
                kind="edge" if station.station in AGENTS else "fleet",
                accepted=each.readings,
                stored=rows[station],
                pending=each.pending,
            )
            for station, each in stations.items()
        ],
        p50_ms=latency and latency[0],
        p99_ms=latency and latency[1],
    )


@contextmanager
def _opened(path: Path) -> Iterator[SqliteJournal | None]:
    """A journal that nobody uses any more; None where it was never made."""
    if not path.exists():
        yield None
        return
    journal = SqliteJournal.open(path, cap_bytes=1 << 40, new_stream=lambda: "counted")
    try:
        yield journal
    finally:
        journal.close()


def _cloud(stage: Stage) -> Cloud:
    with _opened(stage.folder / "arrival.db") as journal:
        tracker, loss = (Tracker(), None) if journal is None else read_books(journal)
    rows = [] if loss is None else loss.rows(COMMUNITY)
    return Cloud(
        tracker=tracker,
        quarantined=sum(row.quarantined for row in rows),
        written_off=sum(row.written_off for row in rows),
        pending={row.station: row.pending_journal for row in rows},
    )


def _agents(stage: Stage, tracker: Tracker, stations: dict[StationId, Accepted]) -> None:
    for agent in AGENTS:
        station = StationId(COMMUNITY, agent)
        with _opened(stage.journal(agent)) as journal:
            if journal is None:
                continue
            stats = journal.stats()
            held = journal.read(0, limit=1 << 30, max_bytes=1 << 40)
            state = tracker.streams(station).get(journal.stream)
            stations[station] = Accepted(
                readings=stats.accepted_readings,
                keys=stats.accepted_readings,
                dropped=stats.dropped_readings,
                pending=sum(
                    record.count
                    for record in held
                    if not record.tombstone and (state is None or not state.has(record.seq))
                ),
            )


def _neighbours(log: Path, tracker: Tracker, stations: dict[StationId, Accepted]) -> None:
    keys: set[tuple[str, str, str, int]] = set()
    for pack in read_packs(log):
        station = StationId.parse(pack.station)
        state = tracker.streams(station).get(pack.stream)
        here = stations[station]
        here.readings += pack.count
        here.keys += len(set(pack.reading_keys()) - keys)
        keys.update(pack.reading_keys())
        if state is None or not state.has(pack.seq):
            here.pending += pack.count


async def _stored(stage: Stage) -> tuple[Counter[StationId], int, int]:
    """Rows a station, datastreams that have rows, and the store's own count of all rows."""
    store: OpenStore = await load_config(stage.cloud_config).store.open(ScaledClock(stage.clock))
    rows: Counter[StationId] = Counter()
    begin = stage.clock.origin_ms - _DAY_MS
    try:
        latest = await store.latest(COMMUNITY)
        for newest in latest:
            buckets = await store.series(newest.datastream, begin, newest.measured_at + 1, _DAY_MS)
            station = StationId(newest.datastream.community, newest.datastream.station)
            rows[station] += sum(bucket.count for bucket in buckets)
        return rows, len(latest), await store.count(COMMUNITY)
    finally:
        await store.close()
