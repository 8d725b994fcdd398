"""``hinomi sim fleet`` as a process: killed, interrupted, refused."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
from support.fleet_acker import Acker
from support.fleets import accepted, delivered
from support.servers import Mosquitto, die_with_parent, free_port


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


def test_a_killed_fleet_is_reported_by_its_will(start, mosquitto, tmp_path):
    with Acker(mosquitto.port) as acker:
        process = start(mosquitto.port, tmp_path / "log", "-n", "2")
        assert acker.wait(lambda: len(acker.statuses) == 2)
        process.kill()
        process.communicate(timeout=10)
        assert acker.wait(lambda: all(status == {"status": "offline"} for status in acker.statuses.values()))


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
