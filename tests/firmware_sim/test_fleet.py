"""The fleet on a real broker: what its log says was accepted arrives."""

import asyncio
from itertools import pairwise

import pytest
from support.fleet_acker import Acker
from support.fleets import REAL, accepted, delivered, make, running
from support.servers import Mosquitto

from firmware_sim.fleet.log import read_packs
from firmware_sim.fleet.plan import alike, scenario
from hinomi.clock import ClockSection, ScaledClock
from hinomi.errors import ConfigError


@pytest.fixture
def broker(tmp_path):
    """Makes a mosquitto of a configuration of one's own, not yet started."""
    made = []

    def broker_of(config="allow_anonymous true\n"):
        made.append(Mosquitto(tmp_path / "broker", config))
        return made[-1]

    yield broker_of
    for server in made:
        server.kill()


@pytest.mark.parametrize(("form", "deflate"), [("json", False), ("cbor", True)])
async def test_what_is_accepted_arrives(mosquitto, tmp_path, form, deflate):
    log = tmp_path / "fleet.jsonl"
    with Acker(mosquitto.port) as acker:
        plans = alike(6, "town", seed=3, interval_s=0.1)
        async with running(make(plans, mosquitto.port, log, form=form, deflate=deflate)) as fleet:
            assert await fleet.connected(10)
            await asyncio.sleep(1.0)
            assert await fleet.drained(10)
            totals = fleet.totals()
        assert delivered(log, acker) == totals.accepted == totals.acked > 50
        assert {content for _, _, content in acker.payloads} == {f"application/senml+{form}"}
        assert sum(fleet.totals(plan.id).accepted for plan in plans) == totals.accepted


async def test_headers_number_every_pack_and_tell_what_was_accepted(mosquitto, tmp_path):
    log = tmp_path / "fleet.jsonl"
    with Acker(mosquitto.port) as acker:
        async with running(make(alike(1, "town", seed=3, interval_s=0.05), mosquitto.port, log)) as fleet:
            await asyncio.sleep(0.6)
            assert await fleet.drained(10)
        headers = sorted(acker.headers, key=lambda header: header["hn_seq"])
        assert [header["hn_seq"] for header in headers] == list(range(1, len(headers) + 1))
        assert {header["hn_stream"] for header in headers} == {acker.headers[0]["hn_stream"]}
        assert all(header["hn_base"] <= header["hn_seq"] for header in headers)
        assert max(header["hn_accepted"] for header in headers) == len(accepted(log))


async def test_status_tells_what_is_measured_and_when_it_ends(mosquitto, tmp_path):
    with Acker(mosquitto.port) as acker:
        fleet = make(alike(1, "town", seed=3), mosquitto.port, tmp_path / "log")
        async with running(fleet):
            assert await asyncio.to_thread(acker.wait, lambda: bool(acker.statuses))
            status = acker.statuses["town/fleet-0001"]
            assert status["status"] == "online"
            assert {"sensor": "gauge", "quantity": "water_level", "interval_s": 60.0} in status["datastreams"]
            assert set(status) >= {"version", "boot_id", "serial", "config_hash", "counters"}
        gone = {"status": "offline"}
        assert await asyncio.to_thread(acker.wait, lambda: acker.statuses["town/fleet-0001"] == gone)


async def test_nothing_is_let_go_of_before_the_acknowledgement(mosquitto, tmp_path):
    """The broker took every pack; as long as the cloud is silent, all of it is pending."""
    log = tmp_path / "fleet.jsonl"
    with Acker(mosquitto.port) as acker:
        acker.silent.set()
        async with running(make(alike(3, "town", seed=3, interval_s=0.2), mosquitto.port, log)) as fleet:
            await asyncio.sleep(0.6)
            assert not await fleet.drained(1.0)
            totals = fleet.totals()
            assert totals.pending == totals.accepted == len(accepted(log)) > 0
            acker.speak()
            assert await fleet.drained(10)
        assert delivered(log, acker) == totals.accepted


async def test_a_small_window_is_respected(broker, tmp_path):
    """A broker that takes two at a time, a backlog of a hundred packs: gmqtt would raise OverflowError."""
    log = tmp_path / "fleet.jsonl"
    server = broker("allow_anonymous true\nmax_inflight_messages 4\n")
    plans = alike(1, "town", seed=3, interval_s=0.01)
    async with running(make(plans, server.port, log, readings_per_pack=1)) as fleet:
        await asyncio.sleep(0.7)
        fleet.stop()
        await asyncio.to_thread(server.start)
        with Acker(server.port) as acker:
            assert await fleet.drained(20)
            assert delivered(log, acker) > 100


async def test_a_fleet_started_again_goes_on_from_its_log(mosquitto, tmp_path):
    """The same stream and dense numbers; what was pending is delivered, what was acknowledged is not sent again."""
    log = tmp_path / "fleet.jsonl"
    plans = alike(3, "town", seed=3, interval_s=0.1)
    with Acker(mosquitto.port) as acker:
        async with running(make(plans, mosquitto.port, log)) as fleet:
            await asyncio.sleep(0.5)
            assert await fleet.drained(10)
        acker.silent.set()
        async with running(make(plans, mosquitto.port, log)) as fleet:
            await asyncio.sleep(0.5)
            assert not await fleet.drained(0.5)
            before = fleet.totals()
            assert 0 < before.pending < before.accepted
        came = acker.messages
        acker.silent.clear()
        # One station fewer: what it left is delivered all the same.
        async with running(make(plans[:2], mosquitto.port, log)) as fleet:
            assert fleet.totals().pending == before.pending
            assert await fleet.drained(10)
        assert len({header["hn_stream"] for header in acker.headers}) == 3
        assert delivered(log, acker) >= before.accepted
        assert acker.messages - came <= sum(1 for _ in read_packs(log))
        assert all(seqs == set(range(1, len(seqs) + 1)) for seqs in acker.seqs.values())


async def test_a_clock_that_was_set_back_gives_no_moment_twice(mosquitto, tmp_path):
    """Started again a minute earlier: what was measured then is not measured a second time."""
    log = tmp_path / "fleet.jsonl"
    plans = alike(1, "town", seed=3, interval_s=1.0)
    with Acker(mosquitto.port) as acker:
        for origin in (REAL.now(), REAL.now() - 60_000):
            clock = ScaledClock(ClockSection(speed=120.0, origin_ms=origin, anchor_s=REAL.monotonic()))
            async with running(make(plans, mosquitto.port, log, clock=clock)) as fleet:
                await asyncio.sleep(1.0)
                assert await fleet.drained(10)
        keys = [key for pack in read_packs(log) for key in pack.reading_keys()]
        assert len(keys) == len(set(keys)) == delivered(log, acker) > 200
    times = [key[3] for key in keys if key[2] == "water_level"]
    assert times == sorted(times)


@pytest.mark.parametrize("lives", [3, pytest.param(20, marks=pytest.mark.soak)])
async def test_kill_minus_9_of_the_broker_loses_nothing_that_was_accepted(broker, tmp_path, lives):
    """A broker of default configuration, which acknowledges and forgets, killed under load again and again."""
    log = tmp_path / "fleet.jsonl"
    server = broker()
    server.start()
    plans = alike(10, "town", seed=3)
    settings = {"readings_per_pack": 2, "rate": 500.0}
    with Acker(server.port) as acker:
        async with running(make(plans, server.port, log, **settings)) as fleet:
            for _ in range(lives):
                assert await fleet.connected(20)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(0.2)
                await asyncio.to_thread(server.start)
            assert await fleet.drained(40)
            totals = fleet.totals()
        assert delivered(log, acker) == totals.accepted > 500
        assert totals.strange_acks == 0


async def test_a_scaled_clock_plays_a_night_in_seconds(mosquitto, tmp_path):
    """Bonfire Night at 3600 times: six neighbours, a reading each 150 s, never in the future of that clock."""
    log = tmp_path / "fleet.jsonl"
    origin = REAL.now()
    clock = ScaledClock(ClockSection(speed=3600.0, origin_ms=origin, anchor_s=REAL.monotonic()))
    plans = scenario("bonfire", "town", anchor_ms=origin)
    with Acker(mosquitto.port) as acker:
        async with running(make(plans, mosquitto.port, log, clock=clock)) as fleet:
            await asyncio.sleep(2.0)
            assert await fleet.drained(10)
            end = clock.now()
        delivered(log, acker)
        lonely = {
            key[3]: values for key, values in acker.values.items() if key[0].endswith("7789") and key[2] == "pm10"
        }
        series = sorted(lonely)
        assert {later - earlier for earlier, later in pairwise(series)} == {150_000}
        assert origin <= series[0] < origin + 3_600_000
        assert series[-1] <= end
        assert len(series) >= 40
        assert max(max(values) for values in lonely.values()) > 700


async def test_a_log_that_cannot_be_written_ends_the_fleet(mosquitto, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdatasync", full)
    async with make(alike(1, "town", seed=1, interval_s=0.01), mosquitto.port, tmp_path / "log") as fleet:
        with pytest.raises(ConfigError, match="No space left on device"):
            await fleet.run()


async def test_a_thousand_stations_in_one_process(mosquitto, tmp_path):
    log = tmp_path / "fleet.jsonl"
    with Acker(mosquitto.port) as acker:
        plans = alike(1000, "town", seed=3, interval_s=2.0)
        async with running(make(plans, mosquitto.port, log)) as fleet:
            assert await fleet.connected(30)
            await asyncio.sleep(1.0)
            assert await fleet.drained(20)
        assert delivered(log, acker) > 1000
