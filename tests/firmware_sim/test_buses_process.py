"""``hinomi sim buses`` as a process: everything is there when it says so, and nothing afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import die_with_parent

SCENARIO = """
[[device]]
type = "bme280"
signals = { temperature = { constant = 20.0 }, humidity = { constant = 50.0 }, pressure = { constant = 1000.0 } }
[[device]]
type = "sds011"
port = "ttySIM0"
signals = { pm2_5 = { constant = 12.5 }, pm10 = { constant = 25.0 } }
[[device]]
type = "ds18b20"
id = "28-000000000001"
signals = { temperature = { constant = 20.0 } }
[[device]]
type = "contact"
line = 17
signals = { door_open = { constant = 1.0 } }
"""
EVERYTHING = {"i2c-1.sock", "gpiochip0.sock", "ttySIM0", "w1/devices/28-000000000001/w1_slave"}


class Simulator:
    def __init__(self, folder: Path, text: str = SCENARIO) -> None:
        self.root = folder / "hw"
        self.scenario = folder / "scenario.toml"
        self.scenario.write_text(text)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Simulator":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hinomi", "sim", "buses", str(self.scenario), "--root", str(self.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
        )
        return self

    def ready(self) -> "Simulator":
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"ready {self.root}\n", self.process.communicate()
        return self

    def end(self, number: signal.Signals) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(number)
        _, complaints = self.process.communicate(timeout=10)
        return self.process.returncode, complaints

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    made = Simulator(tmp_path)
    yield made
    made.close()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()} - {".simulator"}


def chip_id(root: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.settimeout(5)
        bus.connect(str(root / "i2c-1.sock"))
        bus.sendall(bytes.fromhex("0a00 02 76 00 0100 d0 76 01 0100"))
        return bus.recv(16)


def test_when_it_says_ready_everything_answers(simulator: Simulator) -> None:
    simulator.start().ready()
    assert files(simulator.root) == EVERYTHING
    assert chip_id(simulator.root) == b"\x00\x01\x00\x60"
    with (simulator.root / "ttySIM0").open("rb", buffering=0) as port:
        stream = b""
        while len(stream) < 10:
            stream += port.read(10)
    assert stream[:6] == bytes.fromhex("aac0 7d00 fa00")
    with socket.socket(socket.AF_UNIX) as chip:
        chip.settimeout(5)
        chip.connect(str(simulator.root / "gpiochip0.sock"))
        chip.sendall(b'{"line": 17}\n')
        event = chip.recv(9)
        assert abs(int.from_bytes(event[:8], "little") - time.monotonic_ns()) < 5e9
        assert event[8] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_and_leaves_nothing(simulator: Simulator, number: signal.Signals) -> None:
    simulator.start().ready()
    with socket.socket(socket.AF_UNIX) as bus:
        bus.connect(str(simulator.root / "i2c-1.sock"))  # somebody is still connected
        assert simulator.end(number) == (0, "")
    assert not simulator.root.exists()


def test_a_folder_that_was_there_before_stays(simulator: Simulator) -> None:
    simulator.root.mkdir()
    (simulator.root / "notes").write_text("mine")
    simulator.start().ready()
    assert simulator.end(signal.SIGTERM) == (0, "")
    assert files(simulator.root) == {"notes"}


def test_after_a_kill_the_same_folder_works_again(simulator: Simulator) -> None:
    before = set(Path("/dev/pts").iterdir())
    simulator.start().ready()
    simulator.end(signal.SIGKILL)
    assert set(Path("/dev/pts").iterdir()) <= before, "its terminals went with it"
    assert files(simulator.root) >= EVERYTHING - {"ttySIM0"}, "what a kill leaves behind"
    simulator.start().ready()
    assert chip_id(simulator.root) == b"\x00\x01\x00\x60"
    assert (simulator.root / "ttySIM0").exists()
    simulator.end(signal.SIGKILL)
    simulator.scenario.write_text("[[device]]" + SCENARIO.split("[[device]]")[1])
    simulator.start().ready()
    assert files(simulator.root) == {"i2c-1.sock"}, "nothing of the one before"
    assert simulator.end(signal.SIGTERM) == (0, "")
    assert files(simulator.root) == set()


def test_two_simulators_do_not_share_a_folder(simulator: Simulator, tmp_path: Path) -> None:
    simulator.start().ready()
    other = Simulator(tmp_path).start()
    assert other.process is not None
    _, complaints = other.process.communicate(timeout=20)
    assert other.process.returncode == 2
    assert "another simulator is running there" in complaints
    assert files(simulator.root) == EVERYTHING
    assert chip_id(simulator.root) == b"\x00\x01\x00\x60"


def test_a_wrong_scenario_is_explained_and_touches_nothing(simulator: Simulator) -> None:
    simulator.scenario.write_text("[[device]]\ntype = 'bme281'\n[[device]]\ntype = 'contact'\n")
    simulator.start()
    assert simulator.process is not None
    out, complaints = simulator.process.communicate(timeout=20)
    assert (simulator.process.returncode, out) == (2, "")
    assert complaints.splitlines()[0].startswith("hinomi sim: device[0].type: got 'bme281'")
    assert "device[1].line: is missing" in complaints
    assert not simulator.root.exists()


@pytest.mark.parametrize("root", ["/proc/nowhere", "x" * 200])
def test_a_folder_that_cannot_be_used_is_explained(tmp_path: Path, root: str) -> None:
    simulator = Simulator(tmp_path)
    simulator.root = tmp_path / root
    simulator.start()
    assert simulator.process is not None
    _, complaints = simulator.process.communicate(timeout=20)
    assert simulator.process.returncode == 2
    assert complaints.startswith(f"hinomi sim: {simulator.root}: ")
    assert "Traceback" not in complaints


def test_a_driver_that_leaves_and_comes_back_finds_the_line_alive(simulator: Simulator) -> None:
    simulator.start().ready()
    for _ in range(3):
        number = os.open(simulator.root / "ttySIM0", os.O_RDWR | os.O_NOCTTY)
        assert os.read(number, 1)
        os.close(number)
    assert simulator.end(signal.SIGTERM) == (0, "")
