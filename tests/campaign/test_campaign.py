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
from support.campaign_copies import copy, held_on, put_back
from support.campaign_faults import Chaos
from support.campaign_load import Device, expected, judge_device, judge_fleet, of_station, rows_of

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
        town.until(
            lambda name=name: town.totals(name)["pending"] == 0, seconds, lambda name=name: town.status(name)
        )
    town.until(lambda: settled(town), seconds, town.live)
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


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(200, 203))
@pytest.mark.parametrize("what", ["card", "cloud"])
def test_restores_amid_faults(tmp_path: Path, what: str, seed: int) -> None:
    """The card, or the cloud's journal, is put back to earlier states while all else goes on and fails.

    A reading may then be missing that was only on a card that is no more, or that the cloud had acknowledged after
    the copy was made; the loss meter counts at least the latter. Everything else is there, once, with its value.
    """
    restores(tmp_path, seed, what, rounds=6, faults=15)


def restores(folder: Path, seed: int, what: str, *, rounds: int, faults: int) -> None:
    rng = random.Random(seed)
    gone: set[int] = set()
    with Town(folder, seed=seed, agents=AGENTS[:1], fleet=0) as town:
        town.wait_until_up()
        device = Device(AGENTS[0], folder, random.Random(rng.random()))
        device.start()
        # A killed broker forgets the retained acknowledgement from which a card learns that it is an older copy.
        chaos = Chaos(town, rng, longest_s=1.0, spared=["broker"])
        try:
            for _ in range(rounds):
                chaos.run(faults, gap_s=0.3)
                gone |= copies(town, rng, what, chaos.story)
            device.end()
            town.wait_until_up()
            town.until(lambda: town.totals(AGENTS[0])["pending"] == 0, 400)
            town.until(lambda: town.meter().get("on_its_way") == 0, 30, town.meter)
            time.sleep(1.5)
            judge_after_restores(town, device, gone)
        except BaseException:
            print("\n".join(chaos.story))
            raise


PLACES = {"card": (AGENTS[0], AGENTS[0], "edge.db.lock"), "cloud": ("cloud", "arrival", "arrival.db.lock")}


def copies(town: Town, rng: random.Random, what: str, story: list[str]) -> set[int]:
    """Back up or put back a folder; returns the numbers that only a lost card held."""
    name, folder, mark = PLACES[what]
    part, live, backup = town.parts[name], town.folder / folder, town.folder / f"{folder}.backup"
    part.kill()
    gone: set[int] = set()
    if not backup.exists() or rng.random() < 0.4:
        story.append(f"       back {name} up")
        copy(live, backup)
    else:
        marked = rng.random() < 0.3
        story.append(f"       put {name} back{' but its mark' if marked else ''}")
        if name != "cloud":
            gone = held_on(live)
        put_back(backup, live, mark if marked else "")
    part.start()
    return gone


def judge_after_restores(town: Town, device: Device, gone: set[int]) -> None:
    meter = town.meter()
    rows = of_station(rows_of(town.influx, town.folder / "hinomi.db"), device.station)
    oracle = expected(device.oracle)
    values = [int(value) for value in rows.values()]
    missing = oracle.accepted - set(values) - gone
    print(f"{len(values)} rows, {len(oracle.accepted)} accepted, {len(gone)} on lost cards; {meter}")
    assert len(values) == len(set(values)), "stored twice"
    assert set(values) <= oracle.tried.keys(), "nobody pushed that"
    assert len(missing) <= meter["lost"], f"lost and not told: {sorted(missing)[:20]}"
    parts = ("stored", "on_its_way", "quarantined", "dropped", "written_off", "lost")
    assert meter["accepted"] == sum(meter[part] for part in parts), meter
    assert meter["on_its_way"] == meter["quarantined"] == meter["dropped"] == 0, meter
    for name in (AGENTS[0], "cloud"):
        assert "Traceback" not in town.parts[name].text, town.parts[name].text[-3000:]
