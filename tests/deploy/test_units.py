"""The systemd units: what systemd says of them (nothing here runs under systemd), and whether they fit us."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.containers import ROOT

from cloud.cli import main as cloud_cli
from edge import cli as edge_cli

DEPLOY = ROOT / "deploy"
UNITS = ("hinomi-edge.service", "hinomi-cloud.service")
PROGRAM = "/opt/hinomi/bin/hinomi"


def settings(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / unit).read_text(), re.MULTILINE))


@pytest.fixture
def analyze():
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(unit, analyze, tmp_path):
    here = Path(sys.executable).with_name("hinomi")
    text = (DEPLOY / unit).read_text()
    assert f"ExecStart={PROGRAM} " in text
    (tmp_path / unit).write_text(text.replace(PROGRAM, str(here)))
    done = analyze("verify", str(tmp_path / unit))
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(("unit", "worst"), [("hinomi-edge.service", 2.5), ("hinomi-cloud.service", 2.0)])
def test_they_have_few_rights(unit, worst, analyze):
    """Systemd's own mark, from 0 (no rights) to 10 (root's)."""
    done = analyze("security", "--offline=true", str(DEPLOY / unit))
    mark = float(re.search(r"Overall exposure level for \S+ ([\d.]+)", done.stdout)[1])
    assert mark <= worst


@pytest.mark.parametrize("unit", UNITS)
def test_they_start_again_for_ever_under_a_user_of_their_own(unit):
    found = settings(unit)
    assert found["Restart"] == "always"
    assert found["StartLimitIntervalSec"] == "0"
    assert found["User"] == "hinomi"
    assert found["NoNewPrivileges"] == "yes"
    assert found["ProtectSystem"] == "strict"
    assert found["StateDirectory"] == "hinomi"


@pytest.mark.parametrize(("unit", "cli"), [(UNITS[0], edge_cli), (UNITS[1], cloud_cli)])
def test_the_command_is_one_that_hinomi_has(unit, cli):
    program, _, *arguments = shlex.split(settings(unit)["ExecStart"])
    parsed = cli._parser().parse_args(arguments)
    assert program == PROGRAM
    assert parsed.config == Path("/etc/hinomi") / ("edge.toml" if cli is edge_cli else "cloud.toml")


def test_the_agent_is_watched_and_may_ask_whether_the_clock_is_right():
    found = settings("hinomi-edge.service")
    assert found["Type"] == "notify"
    assert int(found["WatchdogSec"]) >= 60
    assert "ProtectClock" not in found
    assert {"adjtimex", "clock_adjtime", "clock_adjtime64"} <= set(found["SystemCallFilter"].split())
    assert "PrivateDevices" not in found
    # edge/intake/socket.toml shows a socket in this folder.
    assert '"/run/hinomi/' in (ROOT / "edge/intake/socket.toml").read_text()
    assert found["RuntimeDirectory"] == "hinomi"
