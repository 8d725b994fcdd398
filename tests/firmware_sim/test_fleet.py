"""The fleet on a real broker: what its log says was accepted arrives, whoever is killed."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support.fleet_acker import Acker
from support.servers import Mosquitto, die_with_parent, free_port

from firmware_sim.fleet.fleet import Fleet
from firmware_sim.fleet.link import Broker
from firmware_sim.fleet.log import read_packs
from firmware_sim.fleet.plan import alike, scenario
from firmware_sim.fleet.station import Wire
from hinomi.clock import ClockSection, ScaledClock, SystemClock
from hinomi.errors import ConfigError

REAL = SystemClock()


def accepted(log: Path):
    found = {}
    for pack in read_packs(log):
        values = [value for series in pack.series for value in series.values]
        found.update(zip(pack.reading_keys(), values, strict=True))
    return found


def delivered(log: Path, acker: Acker):
    """Every reading of the log arrived with its value, and nothing else did."""
    wanted = accepted(log)
    assert acker.keys == set(wanted)
    assert all(acker.values[key] == {value} for key, value in wanted.items())
    return len(wanted)


def make(plans, port, log, *, clock=REAL, seed=1, **settings):
    wire = Wire(Broker("127.0.0.1", port), settings.pop("form", "json"), settings.pop("deflate", False))
    return Fleet(plans, wire, log, clock=clock, pace=REAL, rng=random.Random(seed), **settings)


@contextlib.asynccontextmanager
async def running(fleet):
    """The fleet at work; it is cancelled at the end, until when it may not fail."""
    async with fleet:
        task = asyncio.ensure_future(fleet.run())
        try:
            yield fleet
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.fixture
def start():
    """Starts the command as a process of its own, which does not outlive the test."""
    processes = []

    def started(port, log, *options):
        command = [sys.executable, "-m", "hinomi", "sim", "fleet", "--community", "town", *options]
        process = subprocess.Popen(
            [*command, "--broker", f"127.0.0.1:{port}", "--log", str(log)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        with process:
            process.kill()


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


def test_a_killed_fleet_is_reported_by_its_will(start, mosquitto, tmp_path):
    with Acker(mosquitto.port) as acker:
        process = start(mosquitto.port, tmp_path / "log", "-n", "2")
        assert acker.wait(lambda: len(acker.statuses) == 2)
        process.kill()
        process.communicate(timeout=10)
        assert acker.wait(lambda: all(status == {"status": "offline"} for status in acker.statuses.values()))


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


def test_kill_minus_9_of_the_fleet_loses_nothing_that_was_accepted(start, mosquitto, tmp_path):
    """Ten seeded kills while it measures and sends; the log of each life is the oracle."""
    log = tmp_path / "fleet.jsonl"
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    with Acker(mosquitto.port) as acker:
        for _ in range(10):
            process = start(mosquitto.port, log, "-n", "5", "--interval", "0.02")
            assert process.stdout.readline() == "ready 5 stations\n"
            time.sleep(rng.uniform(0.0, 0.3))
            process.kill()
            process.communicate(timeout=10)
        options = ("--for", "0.3", "--report", f"{tmp_path}/r")
        last = start(mosquitto.port, log, "-n", "5", "--interval", "0.02", *options)
        out, err = last.communicate(timeout=60)
        assert last.returncode == 0, out + err
        count = delivered(log, acker)
        report = json.loads((tmp_path / "r").read_text())
    assert count == report["accepted"] == report["acked"] > 100
    assert report["pending"] == 0
    assert all(seqs == set(range(1, len(seqs) + 1)) for seqs in acker.seqs.values())


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


def test_passwords_and_a_station_that_the_broker_does_not_know(start, broker, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "passwords").write_text("")
    for name in ("cloud", "town/fleet-0001"):
        command = ["mosquitto_passwd", "-b", str(folder / "passwords"), name, f"secret {name}"]
        subprocess.run(command, check=True, capture_output=True)
    server = broker(f"allow_anonymous false\npassword_file {folder}/passwords\n")
    server.start()
    secrets = tmp_path / "secrets"
    secrets.write_text("# ours\ntown/fleet-0001:secret town/fleet-0001\n\ntown/fleet-0002:wrong\n")
    options = ("--interval", "0.1", "--for", "0.5", "--drain", "1", "--password-file", str(secrets))
    with Acker(server.port, password="secret cloud") as acker:
        alone = start(server.port, tmp_path / "one", "-n", "1", *options)
        assert alone.communicate(timeout=30)[0].startswith("ready 1 stations")
        assert alone.returncode == 0
        delivered(tmp_path / "one", acker)
        both = start(server.port, tmp_path / "two", "-n", "2", *options)
        _, err = both.communicate(timeout=30)
        assert both.returncode == 1
        assert "town/fleet-0002 is not let in by the broker: Connection Refused: Not authorized" in err
        secrets.write_text("town/fleet-0001:wrong\n")
        wrong = start(server.port, tmp_path / "three", "-n", "1", *options)
        _, err = wrong.communicate(timeout=30)
        assert wrong.returncode == 2
        assert "town/fleet-0001: the broker says: Connection Refused: Not authorized" in err


def test_ctrl_c_writes_the_report_and_leaves_nothing_behind(start, mosquitto, tmp_path):
    process = start(mosquitto.port, tmp_path / "log", "-n", "3", "--interval", "0.1", "--report", f"{tmp_path}/r")
    assert process.stdout.readline() == "ready 3 stations\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    report = json.loads((tmp_path / "r").read_text())
    assert report["pending"] == report["accepted"] == len(accepted(tmp_path / "log")) > 0
    assert [path.name for path in tmp_path.glob(".r*")] == []


def test_every_fault_of_the_command_line_is_told_at_once(start, tmp_path):
    process = start(free_port(), tmp_path / "log", "--scenario", "bonfir", "--rate", "1e9", "--speed", "0")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "did you mean 'bonfire'?" in err
    assert "--speed: got 0.0" in err
    assert "--rate: is in real seconds" in err


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
