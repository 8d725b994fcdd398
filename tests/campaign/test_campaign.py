"""The whole flow on real processes, killed, frozen and cut off from each other at random moments.

Two agents fed by devices with an oracle, a fleet with its log, mosquitto with the shipped configuration, the cloud,
InfluxDB. Nothing that was answered as accepted is lost, nothing is stored twice, nothing is stored that nobody
measured, and the loss meter says so.
"""

import os
import random
import time
from pathlib import Path

import pytest
from support.campaign import AGENTS, Town
from support.campaign_faults import Chaos
from support.campaign_load import Device, judge_device, judge_fleet, rows_of

from hinomi.journal.sqlite import SqliteJournal


def seed_of_run(default: int) -> int:
    seed = int(os.environ.get("HINOMI_SEED", default))
    print(f"HINOMI_SEED={seed}")
    return seed


def campaign(folder: Path, seed: int, *, faults: int, gap_s: float, longest_s: float, drain_s: float) -> Chaos:
    rng = random.Random(seed)
    with Town(folder, seed=seed) as town:
        town.wait_until_up()
        devices = [Device(name, folder, random.Random(rng.random())) for name in AGENTS]
        for device in devices:
            device.start()
        chaos = Chaos(town, rng, longest_s=longest_s)
        try:
            chaos.run(faults, gap_s=gap_s)
            for device in devices:
                device.end()
            drain(town, drain_s)
            judge(town, devices)
        except BaseException:
            print("\n".join(chaos.story))
            raise
    print(dict(chaos.done))
    return chaos


def drain(town: Town, seconds: float) -> None:
    """Nobody measures any more: everything must find its way to the store by itself."""
    began = time.monotonic()
    fleet = town.parts["fleet"]
    fleet.kill()
    fleet.start_with(town.fleet_command("--for", "0", "--drain", str(seconds)))
    assert fleet.wait(seconds + 20) == 0, fleet.text[-2000:]
    for name in AGENTS:
        town.until(lambda name=name: town.totals(name)["pending"] == 0, seconds, f"{name}: {town.status(name)}")
    town.until(lambda: settled(town), seconds, f"{town.live()}")
    print(f"drained in {time.monotonic() - began:.1f} s")


def settled(town: Town) -> bool:
    meter = town.meter()
    return bool(meter) and meter["accepted"] == meter["stored"]


def judge(town: Town, devices: list[Device]) -> None:
    meters = {community: town.meter(community) for community in ("", "town", "village")}
    health = town.health()
    notices = [notice for name in AGENTS for notice in town.status(name)["notices"]]
    told = {name: town.totals(name) for name in AGENTS}
    for name in (*AGENTS, "cloud"):
        town.parts[name].stop()
    town.parts["store"].stop()
    town.parts["store"].start()
    town.until(lambda: answers(town), 20)
    rows = rows_of(town.influx, town.folder / "hinomi.db")
    counts = [judge_device(device, rows) for device in devices]
    counts.append(judge_fleet(town.fleet_log, rows))
    print(f"{len(rows)} rows, {counts} accepted")
    assert min(counts) > 50, "there must be something to lose"
    for community, meter in meters.items():
        stored = sum(key[0].startswith(f"{community}/") or not community for key in rows)
        assert meter["accepted"] == meter["stored"] == stored, (community, meter, stored)
        rest = ("on_its_way", "quarantined", "dropped", "written_off", "lost")
        assert {key: meter[key] for key in rest} == dict.fromkeys(rest, 0), (community, meter)
    assert sum(each["accepted"] for each in told.values()) == meters["town"]["accepted"]
    assert health["ok"], health
    assert notices == [], "a false alarm about the card"
    for name in (*AGENTS, "cloud", "fleet"):
        assert "Traceback" not in town.parts[name].text, town.parts[name].text[-3000:]
    for name in AGENTS:
        assert SqliteJournal.peek(town.folder / name / "edge.db").records == 0


def answers(town: Town) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"{town.influx.url}/ping", timeout=1) as answer:
            return answer.status == 204
    except OSError:
        return False


def test_quick(tmp_path: Path) -> None:
    chaos = campaign(tmp_path, seed_of_run(1), faults=12, gap_s=0.7, longest_s=1.0, drain_s=40)
    assert sum(chaos.done.values()) >= 12


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 106))
def test_hundreds_of_faults(tmp_path: Path, seed: int) -> None:
    campaign(tmp_path, seed, faults=200, gap_s=0.6, longest_s=3.0, drain_s=400)
