"""Recorded CSV files through real agents and a real broker."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import psutil
import pytest
from support.certificates import make_authority, make_certificate
from support.fleet_acker import Acker
from support.servers import Mosquitto, die_with_parent, free_port

from firmware_sim.recordings import RECORDINGS
from firmware_sim.signals.table import read

COMMAND = [sys.executable, "-m", "hinomi", "sim", "replay"]
DEGREES = ("--column", "t=temperature:degF", "--time-column", "time", "--station", "roof", "--speed", "0")


def start(port, folder, *options):
    where = ("--broker", f"127.0.0.1:{port}", "--community", "town", "--report", f"{folder}/r")
    return subprocess.Popen(
        [*COMMAND, *where, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call
        env={**os.environ, "TMPDIR": str(folder)},
    )


@contextlib.contextmanager
def playing(port, folder, *options):
    with start(port, folder, *options) as process:
        try:
            yield process
        finally:
            process.kill()


def play(port, folder, *options):
    """Run to the end: (exit status, report, errors)."""
    with playing(port, folder, *options) as process:
        _, err = process.communicate(timeout=90)
    report = folder / "r"
    return process.returncode, json.loads(report.read_text()) if report.exists() else None, err


def agents(folder):
    """The agents that run below ``folder``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "edge run" in line and str(folder) in line:
                found.append(process)
    return found


def rows(folder, *lines, header="time,t"):
    path = folder / "recorded.csv"
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return path


def options_of(name):
    """The command line that the documentation gives for a recording, made from its layout."""
    layout = RECORDINGS[name].layout
    found = ["--time-column", ",".join(layout.time_columns), "--time-zone", layout.time_zone]
    for column in layout.columns:
        found += ["--column", f"{column.name}={column.sensor}/{column.quantity}:{column.unit}"]
    found += ["--delimiter", layout.delimiter]
    owner = ["--station", "alone"] if layout.station_column is None else ["--station-column", layout.station_column]
    return [*found, *owner]


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_every_recording_that_ships_is_replayed_to_the_last_cell(mosquitto, tmp_path, name):
    recording = RECORDINGS[name]
    table = read(recording.path, recording.layout)
    began = time.time() * 1000
    with Acker(mosquitto.port) as acker:
        status, report, err = play(mosquitto.port, tmp_path, recording.path, *options_of(name), "--speed", "0")
    cells = {}
    for row in table.rows:
        for column, value in zip(recording.layout.columns, row.values, strict=True):
            if value is not None:
                place = (f"town/{row.station.lower() or 'alone'}", column.sensor, column.quantity)
                cells[(*place, row.at)] = column.convert(value)
    count = len(cells)
    assert (status, err) == (0, "")
    assert report == {
        "schema": 1,
        "rows": table.count,
        "replayed": table.count,
        "refused": [],
        "accepted": count,
        "acked": count,
        "pending": 0,
    }
    shift = max(key[3] for key in acker.keys) - max(key[3] for key in cells)
    assert began <= max(key[3] for key in acker.keys) <= time.time() * 1000
    assert acker.keys == {(*key[:3], key[3] + shift) for key in cells}
    assert all(acker.values[(*key[:3], key[3] + shift)] == {value} for key, value in cells.items())
    assert not list(tmp_path.glob("hinomi-*"))


def test_bad_cells_are_named_and_the_good_data_around_them_is_stored(mosquitto, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(
        "\ufeff# from the logger\r\ntime;t;h\r\n2020-01-01 00:00;50;40\r\n2020-01-01 00:10;warm;41\r\n"
        "2020-01-01 00:20;;nan\r\n2020-01-01 00:20;52;43\r\nsoon;53;44\r\n2020-01-01 00:05;54;45\r\n"
        "2020-01-01 24:00;1e999\r\n2020-01-02 00:10;0;\r\n\r\n2020-01-02 00:20;59;;1\r\n".encode()
    )
    options = (*DEGREES, "--column", "h=humidity", "--delimiter", ";")
    with Acker(mosquitto.port) as acker:
        status, report, _ = play(mosquitto.port, tmp_path, path, *options)
    assert status == 0
    assert report["refused"] == [
        {"line": 4, "column": "t", "reason": "not_a_number"},
        {"line": 5, "column": "h", "reason": "not_finite"},
        {"line": 6, "column": "time", "reason": "duplicate_time"},
        {"line": 7, "column": "time", "reason": "bad_time"},
        {"line": 8, "column": "time", "reason": "out_of_order"},
        {"line": 9, "column": "t", "reason": "not_finite"},
        {"line": 12, "column": "#4", "reason": "surplus_cells"},
    ]
    assert (report["rows"], report["replayed"], report["accepted"], report["acked"]) == (9, 2, 4, 4)
    end = max(key[3] for key in acker.keys)
    found = {(key[2], (key[3] - end) // 60_000): max(values) for key, values in acker.values.items()}
    assert found == pytest.approx(
        {
            ("temperature", -24 * 60 - 10): 10.0,
            ("humidity", -24 * 60 - 10): 40.0,
            ("humidity", -24 * 60): 41.0,
            ("temperature", 0): -160 / 9,
        }
    )


def test_what_the_agent_refuses_is_named_too(mosquitto, tmp_path):
    """Fifty-two years before now is before SenML's absolute times begin; the agent says so."""
    path = rows(tmp_path, "1948-01-01,1", "1999-12-31,2", "2000-01-01,3")
    with Acker(mosquitto.port):
        status, report, _ = play(mosquitto.port, tmp_path, path, *DEGREES)
    assert status == 0
    assert report["refused"] == [{"line": 2, "column": "t", "reason": "bad_time"}]
    assert (report["rows"], report["replayed"], report["accepted"]) == (3, 2, 2)


def test_speed_keeps_the_rhythm_and_never_reaches_into_the_future(mosquitto, tmp_path):
    """Forty rows 30 s apart at 600x take 2 s; each arrives when its time has passed, the last at the end."""
    path = rows(tmp_path, *(f"{1_600_000_000 + 30 * index},{index}" for index in range(41)))
    arrived = {}
    options = (path, *DEGREES, "--speed", "600")
    with Acker(mosquitto.port) as acker, playing(mosquitto.port, tmp_path, *options) as process:
        while process.poll() is None:
            for key in acker.keys - arrived.keys():
                arrived[key] = time.time() * 1000
            time.sleep(0.01)
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    times = sorted(key[3] for key in arrived)
    assert {later - earlier for earlier, later in pairwise(times)} == {30_000}
    assert all(arrived[key] >= key[3] for key in arrived)
    last = max(arrived, key=lambda key: key[3])
    assert arrived[last] - last[3] < 15_000
    seen = sorted(arrived.values())
    assert 1500 < seen[-1] - seen[0] < 20_000


def test_without_a_cloud_everything_is_pending_and_waits_for_the_next_time(mosquitto, tmp_path):
    path = rows(tmp_path, "2020-01-01,1", "2020-01-02,2")
    state = ("--state", tmp_path / "state")
    status, report, err = play(mosquitto.port, tmp_path, path, *DEGREES, "--wait", "0.5", *state)
    assert status == 1
    assert (report["accepted"], report["acked"], report["pending"]) == (2, 0, 2)
    assert f"what is pending waits in {tmp_path / 'state'}" in err
    more = rows(tmp_path, "2020-01-01,3")
    with Acker(mosquitto.port) as acker:
        status, report, _ = play(mosquitto.port, tmp_path, more, *DEGREES, *state)
    assert status == 0
    assert (report["accepted"], report["acked"], report["pending"], report["replayed"]) == (3, 3, 0, 1)
    assert len(acker.keys) == 3
    assert not agents(tmp_path)


def test_ctrl_c_ends_the_agents_and_writes_the_report(mosquitto, tmp_path):
    lines = [f"s{index % 2},{1_600_000_000 + 60 * index},{index}" for index in range(1000)]
    path = rows(tmp_path, *lines, header="id,time,t")
    options = (*DEGREES[:4], "--station-column", "id", "--speed", "60")
    with Acker(mosquitto.port) as acker, playing(mosquitto.port, tmp_path, path, *options) as process:
        assert acker.wait(lambda: len(acker.keys) >= 4, 60)
        assert len(agents(tmp_path)) == 2
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    report = json.loads((tmp_path / "r").read_text())
    assert report["rows"] == 1000
    assert 4 <= report["replayed"] <= report["accepted"] < 1000
    assert report["acked"] + report["pending"] == report["accepted"]
    assert not agents(tmp_path)


def test_a_replay_that_is_killed_takes_its_agents_along(mosquitto, tmp_path):
    path = rows(tmp_path, *(f"{1_600_000_000 + 60 * index},{index}" for index in range(1000)))
    options = (path, *DEGREES, "--speed", "60")
    with Acker(mosquitto.port) as acker, playing(mosquitto.port, tmp_path, *options) as process:
        assert acker.wait(lambda: bool(acker.keys), 60)
        children = agents(tmp_path)
        assert len(children) == 1
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_an_agent_killed_in_between_loses_nothing(mosquitto, tmp_path):
    """Three times kill -9 of the real agent while rows go in: it is started and asked again."""
    path = rows(tmp_path, *(f"{1_600_000_000 + 60 * index},{index}" for index in range(600)))
    options = (path, *DEGREES, "--speed", "6000")
    with Acker(mosquitto.port) as acker, playing(mosquitto.port, tmp_path, *options) as process:
        for wanted in (50, 150, 250):
            assert acker.wait(lambda wanted=wanted: len(acker.keys) >= wanted, 60)
            for agent in agents(tmp_path):
                agent.kill()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out
    report = json.loads((tmp_path / "r").read_text())
    assert (report["replayed"], report["refused"], report["acked"], report["pending"]) == (600, [], 600, 0)
    assert len(acker.keys) == 600
    times = sorted(key[3] for key in acker.keys)
    assert {later - earlier for earlier, later in pairwise(times)} == {60_000}


def test_tls_and_a_password(tmp_path):
    folder = tmp_path / "broker"
    make_authority(folder)
    certificate, key = make_certificate(folder, "server", "localhost")
    (folder / "passwords").write_text("")
    for name in ("town/roof", "cloud"):
        command = ["mosquitto_passwd", "-b", str(folder / "passwords"), name, f"secret {name}"]
        subprocess.run(command, check=True, capture_output=True)
    plain = free_port()
    broker = Mosquitto(
        folder,
        f"cafile {folder}/ca.crt\ncertfile {certificate}\nkeyfile {key}\nlistener {plain} 127.0.0.1\n"
        f"allow_anonymous false\npassword_file {folder}/passwords\n",
    )
    secrets = tmp_path / "secrets"
    secrets.write_text("town/roof:secret town/roof\n")
    path = rows(tmp_path, "2020-01-01,1")
    options = (path, *DEGREES, "--tls", "--ca", folder / "ca.crt", "--password-file", secrets)
    broker.start()
    try:
        with Acker(plain, password="secret cloud") as acker:
            status, report, err = play(broker.port, tmp_path, *options)
            assert (status, report["acked"], err) == (0, 1, "")
            assert len(acker.keys) == 1
            secrets.write_text("town/roof:wrong\n")
            status, report, err = play(
                broker.port, tmp_path, *options, "--wait", "2", "--state", tmp_path / "state"
            )
        assert (status, report["accepted"], report["pending"]) == (1, 1, 1)
        assert not (tmp_path / "state" / "roof" / "password").exists()
    finally:
        broker.kill()
