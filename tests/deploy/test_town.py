"""The town of docker-compose.yml without Docker: its programs in namespaces, with the mounted files as they are.

Exchanged is one thing: InfluxDB 2.7 is not to be had from Debian, so its place is taken by 1.6.7 on the same port,
and ``[store]`` of the cloud's configuration says ``type = "influx1"``. Grafana and the making of its token are left
out.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from support.containers import ROOT, Engine, engine, until
from support.servers import need

STATIONS = ("bridge", "school", "park")
CLOUD = ROOT / "deploy/compose/cloud.toml"
STORE = 'type = "influx2"\nurl = "http://influxdb:8086"\norg = "hinomi"\ntoken_file = "/secrets/influx-token"'
INFLUX = """reporting-disabled = true
[meta]
dir = "/var/lib/influxdb2/meta"
[data]
dir = "/var/lib/influxdb2/data"
wal-dir = "/var/lib/influxdb2/wal"
[monitor]
store-enabled = false
[http]
log-enabled = false
"""
NEW = """[station]
id = "town/new"
[broker]
host = "mosquitto"
password_file = "/tmp/new"
[journal]
path = "new.db"
"""
LISTENS = "import socket; print(socket.socket().connect_ex(('127.0.0.1', %d)))"
FETCH = "import urllib.request as r; print(r.urlopen(%r, timeout=5).read().decode())"
COUNT = 'SELECT count("value") FROM /.*/ GROUP BY "station"'


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """After `init`; a test that starts a service ends it, and leaves its volumes."""
    need("influxd")
    need("mosquitto")
    with engine(tmp_path_factory.mktemp("town")) as made:
        initialise(made)
        yield made


def exchanged_store(folder):
    """The cloud's configuration with the other type of store."""
    text = CLOUD.read_text()
    assert STORE in text
    path = folder / "cloud.toml"
    path.write_text(text.replace(STORE, 'type = "influx1"\nurl = "http://influxdb:8086"'))
    path.chmod(0o644)
    return {"/etc/hinomi/cloud.toml": path}


def listens(town: Engine, port: int) -> bool:
    return town.ask(LISTENS % port) == "0\n"


def initialise(town: Engine) -> None:
    init = town.start("init")
    assert init.wait(40) == 0, init.text


def start_servers(town: Engine, folder) -> None:
    config = folder / "influxdb.conf"
    config.write_text(INFLUX)
    config.chmod(0o644)
    influx = ["influxd", "-config", "/etc/influxdb.conf"]
    town.start("influxdb", command=influx, instead={"/etc/influxdb.conf": config})
    town.start("mosquitto")
    town.start("cloud", instead=exchanged_store(folder))
    until(lambda: listens(town, 1883), 20, "mosquitto listens", town)


def stored(town: Engine) -> dict[str, int]:
    """Readings in the real InfluxDB, by station."""
    query = COUNT.replace(" ", "%20").replace('"', "%22")
    answer = json.loads(town.ask(FETCH % f"http://127.0.0.1:8086/query?db=hinomi_town&q={query}"))
    found: dict[str, int] = {}
    for series in answer["results"][0].get("series", []):
        station = series["tags"]["station"]
        found[station] = found.get(station, 0) + series["values"][0][1]
    return found


def live(town: Engine) -> dict:
    return json.loads(town.ask(FETCH % "http://127.0.0.1:8080/api/live.json?lang=en"))


def test_three_stations_reach_influxdb_and_nothing_is_lost(town, tmp_path):
    for name in STATIONS:
        town.start(f"station-{name}")
    start_servers(town, tmp_path)
    until(lambda: town.is_healthy("cloud"), 25, "the cloud is healthy", town)
    until(lambda: all(stored(town).get(name, 0) >= 3 for name in STATIONS), 25, "readings of all", town)
    until(lambda: all(town.is_healthy(f"station-{name}") for name in STATIONS), 10, "stations are healthy", town)
    state = live(town)
    assert state["meters"][""]["lost"] == 0
    assert state["meters"][""]["accepted"] >= 9
    assert {station["id"] for station in state["stations"]} == {f"town/{name}" for name in STATIONS}
    secrets_are_for_whom_they_are(town)
    a_station_joins_while_all_runs(town)
    for name in STATIONS:
        an_orderly_end(town, name)
    for name in ("cloud", "mosquitto", "influxdb"):
        town.running[name].signal(signal.SIGTERM)
        assert town.running[name].wait(10) == 0, town.running[name].text
    assert (town.volume("mosquitto") / "mosquitto.db").exists(), "the broker could not keep its queues"


def secrets_are_for_whom_they_are(town: Engine) -> None:
    """Each program could read its own above; what it must not read is closed."""
    assert town.execute("mosquitto", ["cat", "/etc/mosquitto/hinomi/acl"]).returncode == 0
    for path in town.volume("secrets").iterdir():
        assert path.stat().st_mode & 0o007 == 0, path
    if town.rootless:
        return  # one user only
    denied = town.execute("cloud", ["cat", "/secrets/influx-admin", "/secrets/grafana-admin"])
    assert denied.stderr.count("Permission denied") == 2
    assert denied.stdout == ""


def a_station_joins_while_all_runs(town: Engine) -> None:
    """As the head of docker-compose.yml says: `station add` in the cloud's container, SIGHUP to the broker."""
    config = ["--config", "/etc/hinomi/cloud.toml"]
    added = town.execute("cloud", ["hinomi", "station", "add", "town/new", "--password-to", "/tmp/new", *config])
    assert added.returncode == 0, added.stderr
    (town.volume("cloud") / "new.toml").write_text(NEW)
    town.running["mosquitto"].signal(signal.SIGHUP)
    doctor = ["hinomi", "doctor", "--config", "/var/lib/hinomi/new.toml"]
    until(lambda: "lets town/new in" in town.execute("cloud", doctor).stdout, 5, "the new one may come in", town)


def an_orderly_end(town: Engine, name: str) -> None:
    """SIGTERM reaches process 1 alone, as `docker stop` sends it; agent and simulator both leave nothing behind."""
    station = town.running[f"station-{name}"]
    assert (town.volume(name) / "hw").is_dir()
    station.signal(signal.SIGTERM)
    assert station.wait(8) == 0, station.text
    assert not (town.volume(name) / "hw").exists()
    assert not (town.volume(name) / "journal.db.sock").exists()


def test_a_second_start_keeps_everything_and_makes_what_was_lost(town):
    secrets, passwords, broker = (town.volume(name) for name in ("secrets", "passwords", "broker"))
    before = {path: path.read_text() for path in [*secrets.iterdir(), *passwords.iterdir(), broker / "passwords"]}
    assert {path.name for path in passwords.iterdir()} == set(STATIONS)
    initialise(town)
    assert {path: path.read_text() for path in before} == before
    (passwords / "park").unlink()
    initialise(town)
    changed = {path for path in before if path.read_text() != before[path]}
    assert changed == {passwords / "park", broker / "passwords"}


def journal(town: Engine, name: str) -> dict:
    command = ["hinomi", "edge", "status", "--config", "/var/lib/hinomi/edge.toml", "--json"]
    state = town.execute(f"station-{name}", command)
    return json.loads(state.stdout)["journal"] if state.returncode == 0 else {"pending": 0}


def test_a_station_needs_neither_broker_nor_cloud_and_its_journal_outlives_its_container(town):
    station = town.start("station-park")
    until(lambda: journal(town, "park")["pending"] >= 2, 20, "it accepts readings", town)
    first = journal(town, "park")
    station.signal(signal.SIGTERM)
    assert station.wait(8) == 0, station.text
    station = town.start("station-park")
    until(lambda: town.is_healthy("station-park"), 20, "it goes on", town)
    again = journal(town, "park")
    assert again["stream"] == first["stream"]
    assert again["accepted"] >= first["accepted"]
    assert again["pending"] >= first["pending"]
    station.signal(signal.SIGTERM)
    assert station.wait(8) == 0, station.text


def test_when_one_program_of_a_station_dies_its_container_ends_with_an_error(town):
    for which in ("sim buses", "edge run"):
        station = town.start("station-school")
        until(lambda: town.is_healthy("station-school"), 20, "it runs", town)
        (victim,) = (pid for pid, command in station.processes().items() if f"hinomi {which}" in command)
        os.kill(victim, signal.SIGKILL)
        assert station.wait(8) == 128 + signal.SIGKILL


def catches_sigterm(pid: int) -> bool:
    if pid == 0:
        return False
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_station_that_is_stopped_while_it_starts_ends_at_once(town):
    for delay in (0.0, 0.3, 0.7):
        station = town.start("station-bridge")
        until(lambda station=station: catches_sigterm(station.pid), 5, "it hears", town)
        time.sleep(delay)
        station.signal(signal.SIGTERM)
        assert station.wait(5) == 0, station.text
