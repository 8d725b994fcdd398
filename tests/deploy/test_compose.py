"""docker-compose.yml and what it mounts, read without an engine; Debian's docker-compose 1.29 checks its syntax."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from support.containers import HINOMI, ROOT, compose

import hinomi
from cloud.config import load_config
from edge.config import load as load_edge
from firmware_sim.scenario import load as load_scenario
from sensing import series

FILE = compose()
SERVICES = FILE["services"]
DEPLOY = ROOT / "deploy"
STATIONS = ("bridge", "school", "park")
SECRET = re.compile(r"pass|token|secret|key", re.IGNORECASE)


def mounts(service):
    """Source, target and mode of each mount."""
    for text in SERVICES[service].get("volumes", []):
        source, target, *mode = text.split(":")
        yield source, target, mode


def waits_for(service):
    return SERVICES[service].get("depends_on", {})


def awaited_to_end():
    conditions = (needed.items() for needed in map(waits_for, SERVICES))
    return {
        name
        for needed in conditions
        for name, how in needed
        if how["condition"] == "service_completed_successfully"
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_health_check_and_is_restarted_or_somebody_waits_for_its_end(service):
    settings = SERVICES[service]
    if service in awaited_to_end():
        assert "healthcheck" not in settings
        assert settings.get("restart", "no") == "no"
    else:
        assert settings["healthcheck"]["test"][0] == "CMD"
        assert settings["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_it_waits_for_services_that_are_there_and_never_in_a_circle(service):
    seen, waiting = set(), [service]
    while waiting:
        for name, how in waits_for(waiting.pop()).items():
            assert name != service
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]
            if name not in seen:
                waiting.append(name)
            seen.add(name)
    assert service == "init" or "init" in seen, "its secrets or volumes may not be there"


def test_stations_need_nothing_but_their_passwords():
    assert {name for station in STATIONS for name in waits_for(f"station-{station}")} == {"init"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_pinned_and_our_own_is_this_version(service):
    name, _, tag = SERVICES[service]["image"].rpartition(":")
    assert re.fullmatch(r"\d+\.\d+\.\d+", tag)
    if name == "hinomi":
        assert tag == hinomi.__version__
        assert SERVICES[service]["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_mounted_file_exists_and_cannot_be_written_every_volume_is_declared(service):
    for source, _, mode in mounts(service):
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in FILE["volumes"]
    used = {source for name in SERVICES for source, _, _ in mounts(name) if not source.startswith(".")}
    assert used == set(FILE["volumes"])


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_listens_beyond_the_loopback(service):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


def test_ours_run_without_root_and_without_capabilities():
    for service, settings in SERVICES.items():
        if settings["image"].startswith("hinomi:") and service != "init":
            assert settings["cap_drop"] == ["ALL"]
            assert settings["security_opt"] == ["no-new-privileges:true"]
            assert "user" not in settings
    assert f"--uid {HINOMI} " in (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_come_from_files_only(service):
    settings = SERVICES[service]
    for name, value in settings.get("environment", {}).items():
        if SECRET.search(name):
            assert name.endswith("_FILE")
            assert value.startswith("/secrets/")
    targets = [target for _, target, _ in mounts(service)]
    needs = [value for value in settings.get("environment", {}).values() if value.startswith("/secrets/")]
    assert not needs or "/secrets" in targets


@pytest.mark.parametrize("path", sorted((DEPLOY / "compose").glob("*.toml")), ids=lambda path: path.name)
def test_no_secret_stands_in_a_mounted_configuration(path):
    def walk(table):
        for name, value in table.items():
            if isinstance(value, dict):
                walk(value)
            elif SECRET.search(name) and name != "passwords":
                assert name.endswith("_file")
                assert value.startswith(("/secrets/", "/passwords/"))

    walk(tomllib.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("station", STATIONS)
def test_a_stations_files_fit_together(station, tmp_path):
    """The agent's configuration is in order, and asks for the devices that the scenario has."""
    text = (DEPLOY / f"compose/{station}.edge.toml").read_text("utf-8")
    assert 'host = "mosquitto"' in text
    (tmp_path / station).write_text("password")
    (tmp_path / "edge.toml").write_text(text.replace("/passwords/", f"{tmp_path}/"))
    config = load_edge(tmp_path / "edge.toml")
    assert str(config.station) == f"town/{station}"
    scenario = load_scenario(DEPLOY / f"compose/{station}.devices.toml")
    assert scenario.settings.clock is None
    measured = {quantity for device in scenario.devices for quantity in device.section.measures()}
    wanted = {quantity for sensor in config.sensors for quantity in sensor.quantities()}
    derived = {"rain_increment": "rain_rate", "water_distance": "water_level"}
    assert {derived.get(quantity, quantity) for quantity in wanted} <= measured
    for device in scenario.devices:
        for quantity, signal in device.signals.items():
            values = [signal.value(minute * 60_000) for minute in range(24 * 60)]
            assert None not in values, f"{quantity} has gaps: the device would be silent"


def test_every_recording_is_given_its_beginning_by_the_script():
    script = (DEPLOY / "compose/station.sh").read_text()
    pattern = re.compile(re.search(r'"s/(\^anchor_ms = 0\$)/', script)[1], re.MULTILINE)
    for station in STATIONS:
        text = (DEPLOY / f"compose/{station}.devices.toml").read_text("utf-8")
        assert len(pattern.findall(text)) == text.count("\nrecorded = ") >= 1


def test_the_clouds_configuration_is_in_order(tmp_path):
    text = (DEPLOY / "compose/cloud.toml").read_text()
    for name in ("cloud-mqtt", "influx-token"):
        (tmp_path / name).write_text("secret")
    (tmp_path / "cloud.toml").write_text(
        text.replace("/secrets/", f"{tmp_path}/").replace("/var/lib/hinomi/", f"{tmp_path}/")
    )
    config = load_config(tmp_path / "cloud.toml")
    environment = SERVICES["influxdb"]["environment"]
    assert config.broker.host == "mosquitto"
    assert config.store.url == "http://influxdb:8086"
    assert config.store.org == environment["DOCKER_INFLUXDB_INIT_ORG"]
    assert environment["DOCKER_INFLUXDB_INIT_BUCKET"] == series.database("town")
    assert environment["DOCKER_INFLUXDB_INIT_RETENTION"] == f"{config.store.retention_days}d"
    assert SERVICES["cloud"]["ports"] == [f"127.0.0.1:{config.http.port}:{config.http.port}"]
    broker_files = config.broker_files
    conf = (DEPLOY / "mosquitto.conf").read_text()
    assert f"password_file {broker_files.passwords}\nacl_file {broker_files.acl}\n" in conf


def test_grafana_finds_its_dashboard_and_the_towns_database():
    places = {target: source for source, target, _ in mounts("grafana")}
    provisioning = ROOT / places["/etc/grafana/provisioning"]
    provider = yaml.safe_load((provisioning / "dashboards/hinomi.yml").read_text())["providers"][0]
    dashboards = list((ROOT / places[provider["options"]["path"]]).glob("*.json"))
    assert dashboards
    (source,) = yaml.safe_load((provisioning / "datasources/hinomi.yml").read_text())["datasources"]
    assert source["url"] == "http://influxdb:8086"
    assert source["jsonData"]["dbName"] == series.database("town")
    token = re.fullmatch(r"Token \$__file\{(.+)\}", source["secureJsonData"]["httpHeaderValue1"])[1]
    assert token in (DEPLOY / "compose/grafana-token.sh").read_text()
    for dashboard in dashboards:
        variables = json.loads(dashboard.read_text())["templating"]["list"]
        assert {one["query"] for one in variables if one["type"] == "datasource"} <= {source["type"]}


def test_the_image_is_made_of_what_the_package_has():
    text = (DEPLOY / "Dockerfile").read_text()
    assert all(
        re.fullmatch(r"python:3\.\d+-slim", image) for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    )
    extras = re.search(r"'\.\[(.+)\]'", text)[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert (ROOT / re.search(r"-c (\S+)", text)[1]).exists()
    # What hatchling needs is not kept out of the context.
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {"README.md", "LICENSE", "pyproject.toml", "constraints.txt"} & set(ignored)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_docker_compose_takes_the_file():
    config = ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--services"]
    done = subprocess.run(config, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(SERVICES)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    scripts = [str(path) for path in DEPLOY.rglob("*.sh")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
