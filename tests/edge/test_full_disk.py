"""Promise 8 at the edge: another writer fills the disk under a running agent."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.acker import Acker
from support.servers import Server, free_port
from support.small_disk import SmallDisk, small_disk
from support.stations import AgentProcess, SocketClient, reading, write_config


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, "16m") as disk:
        yield disk


class InsideAgent(AgentProcess):
    """An agent that sees the small file system."""

    def __init__(self, config: Path, disk: SmallDisk) -> None:
        super().__init__(config)
        self._disk = disk

    def command(self) -> list[str]:
        return self._disk.inside([sys.executable, "-m", "hinomi", "edge", "run", "--config", str(self.config)])


def test_a_full_disk_is_refused_honestly_and_the_agent_recovers_alone(
    tmp_path: Path, disk: SmallDisk, mosquitto: Server
) -> None:
    sensor = '[[sensor]]\ntype = "host"\nname = "pi"\ninterval_s = 0.1\nreport = ["memory_free"]\n'
    config = write_config(tmp_path, mosquitto.port, extra=sensor)
    config.write_text(config.read_text().replace('"edge.db"', f'"{disk.mount}/edge.db"'))
    client = SocketClient(tmp_path / "in.sock")
    agent = InsideAgent(config, disk).start()
    accepted: list[float] = []
    try:
        with Acker(mosquitto.port) as cloud:
            cloud.silent = True
            client.wait_until_there()
            push(client, accepted, 20)
            disk.fill()
            refused = push_until_refused(client, accepted)
            time.sleep(1.0)
            assert not refused
            assert "no space left" in agent.text
            assert agent.process is not None
            assert agent.process.poll() is None
            cloud.silent = False
            cloud.wait(lambda _: came(cloud) >= set(accepted))
            disk.free()
            end = time.monotonic() + 20
            while not client.push(reading("later", value=1e6)).get("accepted"):
                assert time.monotonic() < end
                time.sleep(0.1)
            cloud.wait(lambda _: 1e6 in came(cloud))
            cloud.wait(lambda _: client.totals()["pending"] < 20)
            assert client.totals()["dropped"] == 0
            assert not cloud.conflicts
        assert agent.stop() == 0
    finally:
        client.close()
        if agent.process is not None and agent.process.poll() is None:
            agent.kill()


def test_a_disk_that_is_full_at_the_start_is_waited_for_and_the_agent_can_be_stopped(
    tmp_path: Path, disk: SmallDisk
) -> None:
    config = write_config(tmp_path, free_port())
    config.write_text(config.read_text().replace('"edge.db"', f'"{disk.mount}/edge.db"'))
    disk.fill()
    agent = InsideAgent(config, disk).start()
    client = SocketClient(tmp_path / "in.sock")
    try:
        end = time.monotonic() + 20
        while "no space left" not in agent.text:
            assert time.monotonic() < end, agent.text
            time.sleep(0.02)
        assert agent.stop() == 0
        agent.start()
        time.sleep(1.0)
        disk.free()
        client.wait_until_there()
        assert client.push(reading())["accepted"] == 1
        assert agent.stop() == 0
    finally:
        client.close()
        if agent.process is not None and agent.process.poll() is None:
            agent.kill()


def came(cloud: Acker) -> set[float | None]:
    return set(cloud.values.values())


def push(client: SocketClient, accepted: list[float], count: int) -> bool:
    """Push readings with values of their own; False when one was refused."""
    for _ in range(count):
        value = float(len(accepted) + 1000)
        answer = client.push(reading(f"s{len(accepted) % 50}", value=value))
        if "error" in answer:
            assert "try again" in answer["error"]
            return False
        assert answer["accepted"] == 1
        accepted.append(value)
    return True


def push_until_refused(client: SocketClient, accepted: list[float]) -> bool:
    """The last room is used up first; returns whether it was accepted after three refusals in a row."""
    end = time.monotonic() + 30
    in_a_row = 0
    while in_a_row < 3:
        assert time.monotonic() < end, f"never refused, {len(accepted)} accepted"
        in_a_row = 0 if push(client, accepted, 1) else in_a_row + 1
    return push(client, accepted, 1)
