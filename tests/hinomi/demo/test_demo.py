"""The demo as a newcomer starts it: real processes, counted at the end, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from support.servers import die_with_parent, need

DEMO = [sys.executable, "-m", "hinomi", "demo", "--no-browser"]
KEYS = [
    "schema",
    "seconds",
    "speed",
    "store",
    "broker",
    "accepted",
    "stored",
    "pending",
    "quarantined",
    "dropped",
    "written_off",
    "lost",
    "duplicated",
    "stations",
    "datastreams",
    "stations_detail",
    "p50_ms",
    "p99_ms",
]


class Demo:
    """One run of the command in a temporary folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        # Not below pytest's folder: the path of a unix socket has at most 107 bytes.
        self.temporary = Path(tempfile.mkdtemp(prefix="demo-test-"))
        self.report = folder / "report.json"
        self.process = subprocess.Popen(
            [*DEMO, "--report", str(self.report), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
        )

    def wait_for(self, beginning: str) -> None:
        for line in self.process.stdout:
            if line.startswith(beginning):
                return
        pytest.fail(f"ended before it said {beginning!r}")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> str:
        text, _ = self.process.communicate(timeout=60)
        return text

    def counted(self) -> dict:
        return json.loads(self.report.read_text())


def gone(processes: list[psutil.Process]) -> bool:
    return psutil.wait_procs(processes, timeout=5)[1] == []


def listening(processes: list[psutil.Process]) -> set[int]:
    """Ports that the demo's processes listen on, all of them on loopback."""
    ports = set()
    for process in processes:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1", f"{process.cmdline()} listens on {connection.laddr}"
                ports.add(connection.laddr.port)
    return ports


@pytest.fixture
def demo(tmp_path):
    made = []

    def start(*arguments: str) -> Demo:
        made.append(Demo(tmp_path, *arguments))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        each.process.stdout.close()
        shutil.rmtree(each.temporary)


def test_a_short_run_loses_nothing_and_ends_by_itself(demo):
    run = demo("--for", "8")
    run.wait_for("Live page:")
    time.sleep(1)
    children = run.children()
    assert len(listening(children)) == 2, "the broker and the page"
    text = run.end()
    assert run.process.returncode == 0, text
    report = run.counted()
    assert list(report) == KEYS
    assert (report["lost"], report["duplicated"], report["pending"]) == (0, 0, 0)
    assert report["accepted"] == report["stored"] > 300
    assert (report["stations"], len(report["stations_detail"])) == (6, 6)
    assert report["datastreams"] >= 14
    assert sum(one["kind"] == "edge" for one in report["stations_detail"]) == 2
    assert all(one["accepted"] == one["stored"] > 0 for one in report["stations_detail"])
    assert 0 < report["p50_ms"] <= report["p99_ms"] < 10_000
    assert gone(children)
    assert list(run.temporary.iterdir()) == []
    assert "Nothing lost, nothing doubled." in text


def test_the_same_on_mosquitto_and_influxdb(demo):
    need("mosquitto")
    need("influxd")
    run = demo("--for", "6", "--store", "influx", "--broker", "mosquitto")
    text = run.end()
    assert run.process.returncode == 0, text
    report = run.counted()
    assert (report["store"], report["broker"]) == ("influx", "mosquitto")
    assert report["accepted"] == report["stored"] > 200
    assert (report["lost"], report["duplicated"]) == (0, 0)


def test_ctrl_c_counts_reports_and_leaves_nothing(demo):
    run = demo()
    run.wait_for("Live page:")
    time.sleep(2)
    children = run.children()
    run.process.send_signal(signal.SIGINT)
    text = run.end()
    assert run.process.returncode == 130, text
    assert run.counted()["lost"] == 0
    assert gone(children)
    assert list(run.temporary.iterdir()) == []


def test_a_killed_demo_leaves_no_process_and_the_next_one_sweeps_its_folder(demo):
    run = demo()
    run.wait_for("Live page:")
    time.sleep(1)
    children = run.children()
    assert len(children) >= 6
    run.process.kill()
    run.process.wait()
    assert gone(children)
    assert len(list(run.temporary.iterdir())) == 1
    command = "from hinomi.demo import stage; stage._sweep()"
    subprocess.run([sys.executable, "-c", command], check=True, env={**os.environ, "TMPDIR": str(run.temporary)})
    assert list(run.temporary.iterdir()) == []


def test_a_folder_that_does_not_exist_is_said_before_anything_starts():
    done = subprocess.run(
        [*DEMO, "--report", f"{tempfile.gettempdir()}/no/such/folder/r.json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert "--report: the folder" in done.stderr
