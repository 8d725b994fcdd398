"""``hinomi station`` as a person at a terminal meets it, and a station that joins with what it printed."""

import re
from pathlib import Path

import aiomqtt
import pytest
from support.servers import Mosquitto

from hinomi.cli import main

CONFIG = """
[broker]
username = "hinomi-cloud"
password = "only-in-tests"

[broker_files]
passwords = "passwords"
acl = "acl"

[journal]
path = "arrival.db"

[database]
url = "sqlite:///{folder}/hinomi.db"

[store]
type = "sqlite"
path = "readings.db"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cloud.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def run(config: Path, *arguments: str) -> int:
    return main(["station", *arguments, "--config", str(config)])


async def test_a_station_joins_with_the_password_that_was_shown_once(config, tmp_path, capsys):
    arguments = ("add", "town/bridge", "--name", "新橋", "--kana", "しんばし", "--romaji", "Shinbashi")
    assert run(config, *arguments) == 0
    said = capsys.readouterr().out
    password = re.search(r"^ {4}(\S+)$", said, re.MULTILINE).group(1)
    assert password not in (tmp_path / "passwords").read_text()
    assert {line.partition(":")[0] for line in (tmp_path / "passwords").read_text().splitlines()} == {
        "hinomi-cloud",
        "town/bridge",
    }
    broker = Mosquitto(
        tmp_path / "broker",
        f"allow_anonymous false\npassword_file {tmp_path}/passwords\nacl_file {tmp_path}/acl\n",
    )
    broker.start()
    try:
        for user, secret in (("town/bridge", password), ("hinomi-cloud", "only-in-tests")):
            async with aiomqtt.Client("127.0.0.1", broker.port, username=user, password=secret) as client:
                await client.publish("hinomi/v1/town/bridge/obs", b"x", qos=1)
    finally:
        broker.kill()


def test_adding_listing_removing(config, capsys):
    assert run(config, "add", "town/bridge", "--name", "新橋", "--mark", "water_level=1.5,1.8,2.0,2.8") == 0
    assert run(config, "add", "town/bridge") == 2
    assert "town/bridge: is registered already" in capsys.readouterr().err
    assert run(config, "list") == 0
    assert re.search(r"town/bridge +never seen +新橋", capsys.readouterr().out)
    assert run(config, "remove", "town/bridge") == 0
    assert "town/bridge" not in (config.parent / "passwords").read_text()
    assert run(config, "remove", "town/bridge") == 2


def test_the_password_goes_to_a_file_that_only_its_owner_reads(config, tmp_path, capsys):
    path = tmp_path / "secret"
    assert run(config, "add", "town/bridge", "--password-to", str(path)) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() not in capsys.readouterr().out


def test_a_station_whose_password_could_not_be_kept_is_not_registered(config, tmp_path, capsys):
    (tmp_path / "secret").touch()
    assert run(config, "add", "town/bridge", "--password-to", str(tmp_path / "secret")) == 2
    assert "cannot be made: File exists" in capsys.readouterr().err
    assert run(config, "add", "town/bridge") == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("Town/bridge",), "'Town' is not an identifier"),
        (("bridge",), "is not COMMUNITY/STATION"),
        (("town/bridge/x",), "is not an identifier"),
        (("town/bridge", "--mark", "water_level=3,2,1,4"), "must rise from mark 1 to mark 4"),
        (("town/bridge", "--mark", "water_level=1,2"), "expected QUANTITY=H1,H2,H3,H4"),
        (("town/bridge", "--mark", "waterlevel=1,2,3,4"), "'waterlevel' is no quantity"),
        (("town/bridge", "--latitude", "91"), "latitude must be within -90 and 90"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_registered(config, capsys, arguments, expected):
    assert run(config, "add", *arguments) == 2
    assert expected in capsys.readouterr().err
    run(config, "list")
    assert "bridge" not in capsys.readouterr().out
    assert not (config.parent / "passwords").exists()


def test_without_the_brokers_files_it_says_what_is_missing(config, capsys):
    config.write_text(re.sub(r"\[broker_files\]\n.*\n.*\n", "", config.read_text()))
    assert run(config, "add", "town/bridge") == 2
    assert "broker_files: is missing" in capsys.readouterr().err
