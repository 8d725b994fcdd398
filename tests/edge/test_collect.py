"""Group commit: what is accepted is committed, what cannot be is refused honestly and counted."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.clock import ManualClock, settle
from support.journals import open_sqlite

from edge import body
from edge.backlog import Backlog
from edge.clock import StationClock
from edge.collect import MAX_DATASTREAMS, Collector
from edge.group import MAX_READINGS_A_PACK, MAX_WAITING
from edge.health import Health
from edge.intake.base import Pushed
from edge.sensors.base import Measured
from hinomi.disk import Disk
from hinomi.errors import Rejected, Transient
from hinomi.journal.protocol import Entry
from hinomi.journal.sqlite import SqliteJournal
from sensing.observation import Kind, Reading

NOW = 1_800_000_000_000


class Bench:
    """A collector over a real journal, with clocks of the test's own."""

    def __init__(self, path: Path, disk: Disk, journal: SqliteJournal, *, synced: bool = True) -> None:
        self.path = path
        self.clock = ManualClock(NOW)
        self.pace = ManualClock()
        self.health = Health(self.pace)
        self.journal = journal
        self.backlog = Backlog(journal, disk)
        self.synced = synced
        self.busy = False
        self.station = StationClock(self.clock, boot="boot-1", synced=lambda: self.synced, saved=[], known_ms=0)
        self.collector = self.collect({})

    def collect(self, notes: Mapping[str, bytes]) -> Collector:
        return Collector(
            self.backlog,
            self.station,
            self.pace,
            self.health,
            commit_s=5.0,
            maintenance=lambda: self.busy,
            notes=notes,
        )

    def add(self, value: float, *, sensor: str = "air", urgent: bool = False) -> None:
        self.collector.add(sensor, [Measured("pm2_5", value)], notes={}, urgent=urgent)

    def committed(self) -> list[Reading]:
        records = self.journal.read(0, limit=10_000)
        return [reading for record in records for reading in body.decode(record.body).readings]

    async def pass_time(self, seconds: float) -> None:
        await self.pace.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0.001)
            await settle()


@pytest.fixture
async def bench(tmp_path: Path):
    async with Disk() as disk:
        journal = open_sqlite(tmp_path / "edge.db", cap_bytes=300_000)
        bench = Bench(tmp_path / "edge.db", disk, journal)
        running = asyncio.create_task(bench.collector.run())
        yield bench
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        journal.close()


async def test_readings_are_committed_in_groups(bench: Bench) -> None:
    for second in range(10):
        bench.add(float(second))
        await bench.clock.advance(1)
        await bench.pass_time(1)
        if second == 3:
            assert not bench.committed()
    await bench.pass_time(5)
    records = bench.journal.read(0, limit=100)
    assert [record.count for record in records] == [5, 5]
    assert [reading.value for reading in bench.committed()] == [float(value) for value in range(10)]


async def test_an_urgent_reading_takes_the_group_with_it_at_once(bench: Bench) -> None:
    bench.add(1.0)
    await bench.pass_time(0.1)
    assert not bench.committed()
    bench.add(2.0, urgent=True)
    await bench.pass_time(0)
    assert [reading.value for reading in bench.committed()] == [1.0, 2.0]


async def test_a_commit_out_of_turn_does_not_make_the_next_group_wait(bench: Bench) -> None:
    bench.add(1.0)
    await bench.pass_time(1)
    await bench.collector.commit()
    accepting = asyncio.create_task(
        bench.collector.accept([Pushed("gauge", "water_level", 1.0)], wait_s=0.2, interval_s=0)
    )
    await settle()
    await bench.pass_time(0.2)
    assert accepting.done()


async def test_what_a_sensor_pushes_is_committed_when_it_returns(bench: Bench) -> None:
    await bench.collector.push("door", [Measured("door_open", 1.0)], age_s=0.5)
    (one,) = bench.committed()
    assert (one.sensor, one.value) == ("door", 1.0)
    assert abs(one.measured_at - (NOW - 500)) <= 10


async def test_staged_values_are_committed_with_their_readings(bench: Bench) -> None:
    bench.collector.add("rain", [Measured("rain_increment", 0.2)], notes={"sensor/rain/told": b"7"})
    await bench.pass_time(5)
    assert bench.journal.note("sensor/rain/told") == b"7"
    assert len(bench.committed()) == 1


async def test_pushed_readings_are_converted_and_each_bad_one_is_refused_with_its_reason(bench: Bench) -> None:
    readings = [
        Pushed("gauge", "water_level", 100.0, "[ft_i]"),
        Pushed("gauge", "water_level", 1.0, "hPa"),
        Pushed("gauge", "water_levl", 1.0),
        Pushed("gauge", "water_level", float("nan")),
        Pushed("gauge", "water_level", float("inf"), "m"),
        Pushed("Gauge", "water_level", 1.0),
        Pushed("gauge", "water_level", 1.0, None, NOW + 3_600_000),
        Pushed("gauge", "water_level", 1.0, None, 5),
        Pushed("gauge", "water_level", 2.0, None, NOW - 1000),
        Pushed("gauge", "water_level", 2.0, None, NOW - 1000),
        Pushed("gauge", "water_level", 2.0, None, NOW - 2000),
    ]
    refused = await bench.collector.accept(readings, wait_s=0.0, interval_s=0)
    assert {one.index: one.reason for one in refused} == {
        1: "wrong_unit",
        2: "unknown_quantity",
        3: "not_finite",
        4: "not_finite",
        5: "bad_name",
        6: "time_ahead",
        7: "bad_time",
        9: "not_newer",
        10: "not_newer",
    }
    assert [round(reading.value, 3) for reading in bench.committed()] == [30.48, 2.0]
    assert bench.health.counters["refused.wrong_unit"] == 1


async def test_a_resend_after_a_lost_answer_is_recognised_even_after_a_restart(bench: Bench) -> None:
    reading = Pushed("gauge", "water_level", 2.0, None, NOW - 1000)
    assert not await bench.collector.accept([reading], wait_s=0.0, interval_s=0)
    again = bench.collect(bench.journal.notes(""))
    (refused,) = await again.accept([reading], wait_s=0.0, interval_s=0)
    assert refused.reason == "not_newer"


async def test_a_device_from_the_future_does_not_block_itself_for_ever(bench: Bench) -> None:
    """Taken while the station did not know the time; forgiven once it does."""
    async with Disk() as disk:
        blind = Bench(bench.path, disk, bench.journal, synced=False)
        future = Pushed("gauge", "water_level", 1.0, None, NOW + 10**12)
        assert not await blind_accept(blind, future)
        blind.synced = True
        assert not await blind_accept(blind, Pushed("gauge", "water_level", 2.0, None, NOW))


async def blind_accept(bench: Bench, reading: Pushed) -> list:
    accepting = asyncio.create_task(bench.collector.accept([reading], wait_s=0.0, interval_s=0))
    await settle()
    await bench.collector.commit()
    return await accepting


async def test_how_far_times_ran_ahead_is_committed_with_them(bench: Bench) -> None:
    readings = [Pushed("gauge", "water_level", float(number)) for number in range(50)]
    assert not await bench.collector.accept(readings, wait_s=0.0, interval_s=0)
    latest = max(reading.measured_at for reading in bench.committed())
    assert latest > NOW + 400
    assert bench.journal.note("latest") == str(latest).encode()


async def test_devices_that_invent_names_are_stopped(bench: Bench) -> None:
    readings = [Pushed(f"s{number}", "pm2_5", 1.0) for number in range(MAX_DATASTREAMS + 5)]
    refused = await bench.collector.accept(readings, wait_s=0.0, interval_s=60)
    assert [one.reason for one in refused] == ["too_many_datastreams"] * 5
    assert len(bench.collector.datastreams) == MAX_DATASTREAMS


async def test_a_sensor_that_gives_nonsense_loses_only_the_nonsense(bench: Bench) -> None:
    measured = [Measured("pm2_5", float("nan")), Measured("pm10", 5.0), Measured("pm_5", 1.0)]
    with pytest.raises(Rejected, match="not_finite"):
        bench.collector.add("air", measured, notes={})
    await bench.pass_time(5)
    assert [(reading.quantity, reading.value) for reading in bench.committed()] == [("pm10", 5.0)]
    assert bench.health.counters["refused.unknown_quantity"] == 1


async def test_maintenance_and_devices_own_times_get_packs_of_their_own(bench: Bench) -> None:
    bench.add(1.0)
    bench.busy = True
    bench.add(2.0)
    await bench.collector.accept([Pushed("x", "pm2_5", 3.0, None, NOW - 5000)], wait_s=0.0, interval_s=0)
    records = bench.journal.read(0, limit=10)
    packs = [(body.KINDS[record.kind], body.decode(record.body)) for record in records]
    assert [(kind, pack.setting > 0, pack.readings[0].value) for kind, pack in packs] == [
        (Kind.READING, True, 1.0),
        (Kind.MAINTENANCE, True, 2.0),
        (Kind.MAINTENANCE, False, 3.0),
    ]


async def test_a_large_group_is_split_into_packs_within_one_commit(bench: Bench) -> None:
    readings = [Pushed(f"s{number % 400}", "pm2_5", float(number)) for number in range(1300)]
    assert not await bench.collector.accept(readings, wait_s=0.0, interval_s=0)
    records = bench.journal.read(0, limit=10)
    assert [record.count for record in records] == [MAX_READINGS_A_PACK, MAX_READINGS_A_PACK, 300]


async def test_too_much_at_once_is_refused_whole(bench: Bench) -> None:
    readings = [Pushed("s", "pm2_5", 1.0)] * (MAX_WAITING + 1)
    with pytest.raises(Transient, match="send fewer"):
        await bench.collector.accept(readings, wait_s=0.0, interval_s=0)


async def test_leaving_commits_what_is_left(bench: Bench) -> None:
    async with bench.collector:
        bench.add(1.0)
    assert len(bench.committed()) == 1


async def test_the_setting_of_the_clock_is_committed_with_the_first_reading_timed_by_it(bench: Bench) -> None:
    bench.add(1.0)
    await bench.pass_time(5)
    before = bench.journal.note("clock")
    assert before is not None
    bench.clock.step(-100_000)
    bench.add(2.0, urgent=True)
    await bench.pass_time(0)
    assert bench.journal.note("clock") != before


class Full:
    """A journal at its cap refuses as a full disk does; removing everything makes room again."""

    def __init__(self, bench: Bench) -> None:
        self.journal = bench.journal

    def fill(self) -> None:
        try:
            while True:
                self.journal.append([Entry(b"x" * 1000)])
        except Transient:
            pass
        try:
            while True:
                self.journal.append([Entry(b"x")])
        except Transient:
            pass

    def free(self) -> None:
        self.journal.remove(self.journal.stats().next_seq - 1)


async def test_while_nothing_can_be_committed_sampling_goes_on_and_pushes_are_refused(bench: Bench) -> None:
    full = Full(bench)
    full.fill()
    pushing = asyncio.create_task(bench.collector.accept([Pushed("a", "pm2_5", 1.0)], wait_s=0.0, interval_s=0))
    await bench.pass_time(0)
    with pytest.raises(Transient, match="nothing was accepted"):
        await pushing
    for second in range(30):
        bench.add(float(second))
        bench.clock.tick(1)
        await bench.pass_time(1)
    accepted = bench.journal.stats().accepted_readings
    assert bench.health.summary()["troubles"][0]["part"] == "journal"
    assert bench.health.counters["refused.disk"] == 1
    full.free()
    await bench.pass_time(10)
    assert not bench.health.summary()["troubles"], "it recovers without help"
    assert [reading.value for reading in bench.committed()] == [float(second) for second in range(30)]
    assert bench.journal.stats().accepted_readings == accepted + 30
    assert not await bench.collector.accept([Pushed("a", "pm2_5", 9.0)], wait_s=0.0, interval_s=0)


async def test_a_refused_push_may_come_again_with_the_same_time(bench: Bench) -> None:
    full = Full(bench)
    full.fill()
    reading = Pushed("gauge", "water_level", 2.0, None, NOW - 1000)
    with pytest.raises(Transient):
        await bench.collector.accept([reading], wait_s=0.0, interval_s=0)
    full.free()
    assert not await bench.collector.accept([reading], wait_s=0.0, interval_s=0)


async def test_what_waits_in_memory_is_bounded_and_the_oldest_goes(bench: Bench) -> None:
    full = Full(bench)
    full.fill()
    for batch in range(70):
        for number in range(100):
            bench.add(float(100 * batch + number), sensor=f"s{number}")
        bench.clock.tick(1)
        await bench.collector.commit()
    full.free()
    await bench.collector.commit()
    kept = {reading.value for reading in bench.committed()}
    assert kept == {float(number) for number in range(7000 - MAX_WAITING, 7000)}
    assert bench.health.counters["refused.disk"] == 7000 - MAX_WAITING


async def test_a_commit_that_was_under_way_when_we_are_ended_is_seen_to_its_end(bench: Bench) -> None:
    bench.add(1.0, urgent=True)
    running = asyncio.create_task(bench.collector.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await bench.collector.commit()
    assert len(bench.committed()) == 1
