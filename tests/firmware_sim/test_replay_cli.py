"""What ``hinomi sim replay`` refuses to begin, and what its help says."""

import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "hinomi", "sim", "replay"]
DEGREES = ("--column", "t=temperature:degF", "--time-column", "time", "--station", "roof", "--speed", "0")


def rows(folder, *lines, header="time,t"):
    path = folder / "recorded.csv"
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return path


FAULTY = (
    *("--broker", "broker.example:1883", "--community", "Town", "--station", "roof", "--station-column", "id"),
    *("--column", "tmp=temprature", "--column", "t=temperature:parsec", "--column", "h=humidity:degC"),
    *(
        "--column",
        "nonsense",
        "--time-column",
        "tiem",
        "--time-zone",
        "Asia/Tokio",
        "--speed",
        "0.5",
        "--ca",
        "/nowhere",
    ),
)


def test_every_fault_of_the_command_line_is_told_at_once(tmp_path):
    path = rows(tmp_path, "2020-01-01,1")
    done = subprocess.run([*COMMAND, str(path), "absent.csv", *FAULTY], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for said in (
        "--broker: broker.example is not on this machine",
        "--community: got 'Town'",
        "--station: or --station-column",
        "no column 'tmp'; known: t, time",
        "no column 'tiem'; did you mean 'time'?",
        "column tmp: no quantity 'temprature'; did you mean 'temperature'?",
        "column t: 'parsec' is not a unit known here",
        "column h: 'degC' measures temperature",
        "--column: got 'nonsense'",
        "no time zone 'Asia/Tokio'; did you mean 'Asia/Tokyo'?",
        "--speed: got 0.5",
        "--ca: needs --tls",
        "absent.csv: cannot be read",
    ):
        assert said in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "example.org", "[2001:db8::1]"])
def test_a_broker_elsewhere_is_refused(tmp_path, host):
    """Nothing is started; the answer is there at once and without a network."""
    path = rows(tmp_path, "2020-01-01,1")
    command = [*COMMAND, str(path), "--broker", f"{host}:1883", "--community", "town", *DEGREES]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert "is not on this machine" in done.stderr
    assert not list(tmp_path.glob("hinomi-*"))


def test_two_columns_of_one_quantity_need_names(tmp_path):
    path = rows(tmp_path, "2020-01-01,1,2", header="time,t,u")
    options = ("--broker", "localhost:1", "--community", "town", *DEGREES, "--column", "u=temperature")
    done = subprocess.run([*COMMAND, str(path), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "two columns are recorded/temperature; name their sensors: NAME=SENSOR/temperature" in done.stderr


def test_the_help_says_what_the_numbers_mean():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    for word in ("rows ", "replayed ", "refused ", "accepted ", "acked ", "pending ", "24:00", "exit status"):
        assert word in done.stdout
