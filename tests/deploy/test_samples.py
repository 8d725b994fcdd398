"""The sample configurations of deploy/, with the settings that stand in them as comments as well."""

import re

import pytest
from support.containers import ROOT

from cloud.config import load_config

TEXT = (ROOT / "deploy/cloud.toml").read_text()
STORES = re.split(r"^# (?:InfluxDB 2\.7 instead|None at all):\n", TEXT, flags=re.MULTILINE)


def variants():
    """The file as it is, and with each store of the comments instead."""
    yield TEXT
    head, rest = re.split(r"^\[store\]\n", TEXT, flags=re.MULTILINE)
    tail = rest[rest.index("\n# The page") :]
    for block in STORES[1:]:
        lines = [line.removeprefix("# ") for line in block.splitlines() if re.match(r"# \w+ = ", line)]
        yield "\n".join([head, "[store]", *lines, tail])


@pytest.mark.parametrize(("text", "kind"), list(zip(variants(), ("influx1", "influx2", "sqlite"), strict=True)))
def test_a_towns_configuration_is_in_order(text, kind, tmp_path):
    (tmp_path / "broker-password").write_text("x")
    (tmp_path / "influx-token").write_text("x")
    text = text.replace("/etc/hinomi/", f"{tmp_path}/").replace("/var/lib/hinomi/", f"{tmp_path}/")
    (tmp_path / "cloud.toml").write_text(text)
    config = load_config(tmp_path / "cloud.toml")
    assert config.store.type == kind
    assert config.http.host == "127.0.0.1"
    conf = (ROOT / "deploy/mosquitto.conf").read_text()
    assert f"password_file {config.broker_files.passwords}\nacl_file {config.broker_files.acl}\n" in conf
