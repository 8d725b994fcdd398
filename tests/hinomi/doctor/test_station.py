"""The doctor at a station, with the real broker: what is wrong, what to do about it, and nobody is disturbed."""

import asyncio
import contextlib
import os
import shutil
import socket
from pathlib import Path

import pytest
from support.certificates import make_authority, make_certificate
from support.doctor import TODAY, around, doctor, look, secured
from support.servers import free_port
from support.small_disk import small_disk
from support.stations import SocketClient, agent_process, eventually, reading, write_config

from hinomi.doctor import station as station_doctor

# paho leaves the socket of a failed handshake to the garbage collector.
HANDSHAKE = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """A broker on loopback sends what it has retained within milliseconds."""
    monkeypatch.setattr(station_doctor, "_RETAINED_S", 0.2)


@pytest.fixture
def broker(tmp_path):
    with secured(tmp_path / "broker") as server:
        yield server


@pytest.fixture
def config(tmp_path, broker):
    """A station that has everything it needs."""
    return write_config(tmp_path, broker.port, broker=f'password = "{broker.password("town/bridge")}"')


async def test_a_station_in_order_and_not_yet_running_will_work(config):
    found = await look(config)
    verdicts = {what: finding.verdict for what, finding in found.items()}
    assert verdicts == {
        "configuration": "ok",
        "clock": "ok",
        "journal": "ok",
        "agent": "look",
        "broker": "ok",
        "cloud": "look",
    }
    assert found["broker"].words == "127.0.0.1 lets town/bridge in"
    assert "fine before the first reading" in found["cloud"].words


async def test_it_makes_and_changes_no_file(config):
    before = sorted(config.parent.iterdir())
    await look(config)
    assert sorted(config.parent.iterdir()) == before


async def test_a_wrong_password_is_told_with_the_command_that_gives_a_new_one(tmp_path, broker):
    config = write_config(tmp_path, broker.port, broker='password = "guessed"')
    finding = (await look(config))["broker"]
    assert finding.verdict == "fail"
    assert "'hinomi station add town/bridge' gives a new one" in finding.words
    assert "guessed" not in finding.words


async def test_nobody_listening(tmp_path):
    port = free_port()
    finding = (await look(write_config(tmp_path, port)))["broker"]
    assert finding.verdict == "fail"
    assert f"127.0.0.1:{port}" in finding.words
    assert "is the broker running" in finding.words


@pytest.fixture
def tls_broker(tmp_path):
    make_authority(tmp_path / "right")
    make_authority(tmp_path / "wrong")
    certificate, key = make_certificate(tmp_path / "right", "server", "localhost")
    with secured(tmp_path / "broker", f"certfile {certificate}\nkeyfile {key}\n") as server:
        yield server


@HANDSHAKE
@pytest.mark.parametrize(
    ("tls", "verdict", "words"),
    [
        ('tls = true\nca = "right/ca.crt"', "ok", "lets town/bridge in"),
        ('tls = true\nca = "wrong/ca.crt"', "fail", "is [broker] ca its issuer"),
        ("tls = false", "fail", "broker 127.0.0.1:"),
    ],
    ids=["right authority", "wrong authority", "no TLS"],
)
async def test_tls(tmp_path, tls_broker, monkeypatch, tls, verdict, words):
    monkeypatch.setattr(station_doctor, "_PATIENCE_S", 1.0)
    password = f'password = "{tls_broker.password("town/bridge")}"'
    config = write_config(tmp_path, tls_broker.port, broker=f"{password}\n{tls}")
    finding = (await look(config))["broker"]
    assert finding.verdict == verdict
    assert words in finding.words


@HANDSHAKE
async def test_a_port_that_does_not_speak_tls(tmp_path, broker, monkeypatch):
    monkeypatch.setattr(station_doctor, "_PATIENCE_S", 1.0)
    make_authority(tmp_path / "ca")
    config = write_config(tmp_path, broker.port, broker='tls = true\nca = "ca/ca.crt"')
    finding = (await look(config))["broker"]
    assert finding.verdict == "fail"
    assert f"broker 127.0.0.1:{broker.port}" in finding.words


async def test_a_clock_in_1970_is_told_and_does_not_stand_in_the_way_of_tls(tmp_path, tls_broker):
    password = f'password = "{tls_broker.password("town/bridge")}"'
    config = write_config(tmp_path, tls_broker.port, broker=f'{password}\ntls = true\nca = "right/ca.crt"')
    text = config.read_text().replace("clock_trusted = true\n", "")
    config.write_text(text)
    found = await look(config, around(12_000, synced=False))
    assert found["clock"].verdict == "fail"
    assert "timedatectl set-ntp true" in found["clock"].words
    assert found["broker"].verdict == "ok"


@pytest.mark.parametrize(
    ("trusted", "synced", "verdict"), [(True, False, "ok"), (False, False, "look"), (False, True, "ok")]
)
async def test_who_keeps_the_clock(config, trusted, synced, verdict):
    if not trusted:
        config.write_text(config.read_text().replace("clock_trusted = true\n", ""))
    assert (await look(config, around(synced=synced)))["clock"].verdict == verdict


SENSORS = """
[[sensor]]
type = "bme280"
name = "roof"
interval_s = 60
bus = "/dev/i2c-77"
[[sensor]]
type = "sds011"
name = "dust"
interval_s = 60
port = "/dev/ttyUSB77"
[[sensor]]
type = "ds18b20"
name = "river"
interval_s = 60
id = "28-00000623003b"
root = "w1"
[[sensor]]
type = "host"
name = "host"
interval_s = 60
"""


async def test_missing_devices_are_told_with_what_makes_them_appear(tmp_path, broker):
    config = write_config(tmp_path, broker.port, extra=SENSORS)
    found = await look(config)
    assert found["sensor roof"].verdict == "fail"
    assert found["sensor roof"].words.startswith("/dev/i2c-77 is not there: enable I2C (sudo raspi-config")
    assert "/dev/ttyUSB77 is not there: plug the adapter in" in found["sensor dust"].words
    assert found["sensor river"].verdict == "fail"
    assert found["sensor host"].verdict == "ok"
    (tmp_path / "w1").mkdir()
    assert f"{tmp_path}/w1/28-00000623003b is not there" in (await look(config))["sensor river"].words
    (tmp_path / "w1/28-00000623003b").mkdir()
    assert (await look(config))["sensor river"].verdict == "ok"


async def test_the_port_of_an_http_intake(tmp_path, broker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        intake = f'[[intake]]\ntype = "sensor_community"\nport = {port}\ndevice = []\n'
        config = write_config(tmp_path, broker.port, extra=intake)
        finding = (await look(config))["intake sensor_community"]
        assert finding.verdict == "fail"
        assert f"ss -ltnp sport = :{port}" in finding.words
    assert (await look(config))["intake sensor_community"].verdict == "ok"


async def test_a_full_disk_fails_and_a_small_one_is_to_be_looked_at(tmp_path, broker):
    with small_disk(tmp_path, "24m") as disk:
        config = write_config(tmp_path, broker.port, journal=f'path = "{disk.path}/edge.db"')
        text = config.read_text().replace('path = "edge.db"\n', "")
        config.write_text(text)
        finding = (await look(config))["journal"]
        assert finding.verdict == "look"
        assert "lower [journal] cap_mb" in finding.words
        config.write_text(text.replace("[journal]\n", "[journal]\ncap_mb = 5.0\n"))
        assert (await look(config))["journal"].verdict == "ok"
        disk.fill(leave=1 << 20)
        finding = (await look(config))["journal"]
        assert finding.verdict == "fail"
        assert "it is full" in finding.words


async def test_a_damaged_journal_is_no_reason_to_stop(tmp_path, config):
    (tmp_path / "edge.db").write_bytes(b"SQLite format 3\0" + os.urandom(8000))
    finding = (await look(config))["backlog"]
    assert finding.verdict == "look"
    assert "salvages" in finding.words


async def test_a_running_agent_is_not_disturbed_and_speaks_for_its_sensors(tmp_path, broker):
    """The doctor signs in beside it: the broker would end the older of two sessions with one client id."""
    extra = '[[sensor]]\ntype = "bme280"\nname = "roof"\ninterval_s = 1\nbus = "no-bus"\ntimeout_s = 1\n'
    password = f'password = "{broker.password("town/bridge")}"'
    config = write_config(tmp_path, broker.port, broker=password, extra=extra)
    with agent_process(config) as agent, contextlib.closing(SocketClient(tmp_path / "in.sock")) as client:
        client.wait_until_there()
        client.push(reading())
        await eventually(lambda: "as town.bridge (" in broker.log.read_text())
        for _ in range(3):
            found = await look(config)
        assert found["broker"].verdict == "ok"
        assert found["agent"].verdict == "ok"
        assert found["agent"].words == "runs; 1 readings accepted so far"
        assert found["backlog"].words == "1 readings wait for the cloud's acknowledgement"
        assert found["sensor roof"].verdict == "fail"
        assert "so the agent, for" in found["sensor roof"].words
        client.push(reading())
        assert client.totals()["accepted"] == 2
        assert agent.process.poll() is None
    log = broker.log.read_text()
    assert log.count("as town.bridge.doctor (") == 3
    assert log.count("as town.bridge (") == 1
    assert "already connected" not in log


async def test_what_the_cloud_acknowledged_last(tmp_path, config, broker):
    import aiomqtt

    payload = f'{{"stream": "s", "upto": 41, "also": [], "now": {TODAY - 180_000}}}'
    async with aiomqtt.Client(
        "127.0.0.1", broker.port, username="hinomi-cloud", password=broker.password("hinomi-cloud")
    ) as cloud:
        await cloud.publish("hinomi/v1/town/bridge/ack", payload, retain=True, qos=1)
    finding = (await look(config))["cloud"]
    assert finding.verdict == "ok"
    assert finding.words == "has our packs up to number 41; it said so 3 minutes ago"


async def test_the_command_names_all_faults_at_once_and_ends_with_2(tmp_path):
    config = tmp_path / "edge.toml"
    config.write_text(
        '[station]\nid = "Town"\n[broker]\nport = "x"\n[journal]\npath = "no/where.db"\n'
        '[[sensor]]\ntype = "bme208"\nname = "roof"\ninterval_s = 60\n'
    )
    code, said = await doctor(config)
    assert code == 2
    for fault in ("station", "broker.host", "broker.port", "journal", "sensor[0].type", "did you mean 'bme280'?"):
        assert fault in said
    assert "Traceback" not in said


async def test_the_command_says_that_it_will_work_and_ends_with_0(config):
    code, said = await doctor(config)
    assert code == 0, said
    assert said.endswith("It will work; read what is marked LOOK.\n")


async def test_another_users_folder(tmp_path, config):
    """Not root: what cannot be written is told with its owner; root is told to ask as that user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    text = config.read_text().replace('"edge.db"', f'"{state}/edge.db"')
    config.write_text(text)
    shutil.chown(state, 1, 1)
    found = await look(config)
    assert found["user"].verdict == "look"
    assert "sudo -u daemon hinomi doctor" in found["user"].words
    shutil.chown(state, 0, 0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    config.chmod(0o644)
    state.chmod(0o755)
    await asyncio.to_thread(_as_daemon, config)


def _as_daemon(config: Path) -> None:
    """In a child, because a process cannot become root again."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(1)
            os.setuid(1)
            found = asyncio.run(look(config))
            words = found["journal"].words
            code = 0 if found["journal"].verdict == "fail" and "user daemon may not write" in words else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
