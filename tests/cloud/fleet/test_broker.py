"""What is written for mosquitto, tried on the real mosquitto: a station speaks and hears only as itself."""

import asyncio
import base64
import contextlib
import subprocess
from pathlib import Path

import aiomqtt
import pytest
from support.servers import Mosquitto, need

from cloud.fleet.broker import BrokerFiles, new_password, password_hash, write_files
from hinomi.config import Secret
from hinomi.errors import ConfigError

CLOUD = "hinomi-cloud"


@pytest.fixture
def secured(tmp_path: Path):
    """A mosquitto with our files, two stations and the cloud; yields (server, passwords, files)."""
    passwords = {name: new_password() for name in (CLOUD, "town/bridge", "town/school")}
    files = BrokerFiles(passwords=tmp_path / "passwords", acl=tmp_path / "acl")
    write_files(files, {name: password_hash(secret) for name, secret in passwords.items()}, CLOUD)
    config = f"allow_anonymous false\npassword_file {files.passwords}\nacl_file {files.acl}\n"
    server = Mosquitto(tmp_path / "mosquitto", config)
    server.start()
    yield server, passwords, files
    server.kill()


def client(server: Mosquitto, user: str, password: Secret) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        server.port,
        username=user,
        password=password.reveal(),
        identifier=user.replace("/", "."),
        protocol=aiomqtt.ProtocolVersion.V5,
    )


async def heard(listener: aiomqtt.Client, seconds: float = 0.3) -> list[str]:
    topics: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for message in listener.messages:
                topics.append(str(message.topic))  # noqa: PERF401 - what was heard outlives the time-out
    return topics


async def test_a_station_writes_only_its_own_leaves(secured):
    server, passwords, _ = secured
    async with client(server, CLOUD, passwords[CLOUD]) as cloud:
        for leaf in ("obs", "status", "cmd/result"):
            await cloud.subscribe(f"hinomi/v1/+/+/{leaf}", qos=1)
        async with client(server, "town/bridge", passwords["town/bridge"]) as station:
            for topic in (
                "hinomi/v1/town/bridge/obs",
                "hinomi/v1/town/bridge/cmd/result",
                "hinomi/v1/town/school/obs",
                "hinomi/v1/city/bridge/obs",
                "hinomi/v1/town/bridge/ack",
                "hinomi/v1/town/bridge/obs/more",
                "anything",
            ):
                await station.publish(topic, b"x", qos=1)
        assert await heard(cloud) == ["hinomi/v1/town/bridge/obs", "hinomi/v1/town/bridge/cmd/result"]


async def test_a_station_hears_only_what_is_for_itself(secured):
    server, passwords, _ = secured
    async with (
        client(server, CLOUD, passwords[CLOUD]) as cloud,
        client(server, "town/bridge", passwords["town/bridge"]) as station,
    ):
        for pattern in ("hinomi/v1/+/+/ack", "hinomi/v1/town/bridge/ack", "hinomi/v1/town/school/config", "#"):
            try:
                await station.subscribe(pattern, qos=1)
            except aiomqtt.MqttError:
                continue
        await cloud.publish("hinomi/v1/town/school/ack", b"x")
        await cloud.publish("hinomi/v1/town/school/config", b"x")
        await cloud.publish("hinomi/v1/town/bridge/ack", b"x")
        assert set(await heard(station)) == {"hinomi/v1/town/bridge/ack"}


@pytest.mark.parametrize(("user", "password"), [("town/bridge", "wrong"), ("town/nobody", "x"), (CLOUD, "")])
async def test_a_wrong_password_is_refused(secured, user, password):
    server, _, _ = secured
    with pytest.raises(aiomqtt.MqttError, match="Not authorized"):
        async with client(server, user, Secret(password)):
            pass


def test_the_hash_is_the_one_mosquitto_writes(tmp_path):
    """The same salt gives the same line as Debian's mosquitto_passwd."""
    path = tmp_path / "passwords"
    path.touch()
    subprocess.run([need("mosquitto_passwd"), "-b", path, "town/bridge", "hush"], check=True, capture_output=True)
    user, _, hashed = path.read_text().strip().partition(":")
    salt = base64.b64decode(hashed.split("$")[3])
    assert (user, hashed) == ("town/bridge", password_hash(Secret("hush"), salt))


def test_files_keep_their_mode_and_are_swapped_whole(tmp_path):
    files = BrokerFiles(passwords=tmp_path / "p", acl=tmp_path / "a")
    write_files(files, {"town/a": "h"}, CLOUD)
    assert files.passwords.read_text() == "town/a:h\n"
    assert files.passwords.stat().st_mode & 0o777 == 0o640
    files.passwords.chmod(0o600)
    write_files(files, {"town/b": "h", "town/a": "g"}, CLOUD)
    assert files.passwords.read_text() == "town/a:g\ntown/b:h\n"
    assert files.passwords.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "p"]


def test_no_wildcard_stands_in_a_stations_line(tmp_path):
    files = BrokerFiles(passwords=tmp_path / "p", acl=tmp_path / "a")
    write_files(files, {}, CLOUD)
    patterns = [line for line in files.acl.read_text().splitlines() if line.startswith("pattern")]
    assert len(patterns) == 8
    assert not any(sign in line for line in patterns for sign in "+#")


def test_a_missing_folder_and_a_failing_reload_say_what_to_do(tmp_path):
    gone = BrokerFiles(passwords=tmp_path / "no" / "p", acl=tmp_path / "no" / "a")
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        write_files(gone, {}, CLOUD)
    failing = BrokerFiles(passwords=tmp_path / "p", acl=tmp_path / "a", reload=("false",))
    with pytest.raises(ConfigError, match="the files are written, but 'false' failed"):
        write_files(failing, {}, CLOUD)
