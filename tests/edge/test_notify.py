"""What systemd hears: over a path and over Linux's abstract namespace; and nothing breaks without it."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import free_port
from support.stations import agent_process, write_config

from edge.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@hinomi-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        sock.settimeout(10)
        yield sock, name


def heard(sock: socket.socket, wanted: str) -> list[str]:
    """Everything up to the message that contains ``wanted``."""
    messages: list[str] = []
    while not messages or wanted not in messages[-1]:
        messages.append(sock.recv(4096).decode())
    return messages


def test_lines_reach_systemd(systemd: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch) -> None:
    sock, name = systemd
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    Notifier().tell("READY=1", "STATUS=running")
    assert sock.recv(4096) == b"READY=1\nSTATUS=running"


@pytest.mark.parametrize("address", ["", "/no/such/socket", "@nobody-listens-here"])
def test_without_a_listener_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    Notifier().tell("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [("10000000", None, 5.0), ("", None, None), ("x", None, None), ("10000000", "1", None)],
)
def test_the_sign_of_life_comes_twice_as_often_as_asked(
    usec: str, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert Notifier().watchdog_s == expected


def test_an_agent_tells_its_whole_life(tmp_path: Path, systemd: tuple[socket.socket, str]) -> None:
    sock, name = systemd
    config = write_config(tmp_path, free_port())
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"}
    with agent_process(config, environment=environment) as agent:
        assert "STATUS=running as town/bridge" in heard(sock, "READY=1")[-1]
        started = time.monotonic()
        for _ in range(5):
            heard(sock, "WATCHDOG=1")
        assert time.monotonic() - started < 2
        good = config.read_text()
        config.write_text("broken")
        agent.hang_up()
        assert "MONOTONIC_USEC=" in heard(sock, "RELOADING=1")[-1]
        assert "the new configuration has faults" in heard(sock, "READY=1")[-1]
        config.write_text(good)
        agent.hang_up()
        heard(sock, "RELOADING=1")
        heard(sock, "READY=1")
        assert agent.stop() == 0
        heard(sock, "STOPPING=1")
