"""The maintenance button: flags readings, ends by itself, outlives restarts; and clocks that jump."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.acker import Acker
from support.clock import ManualClock
from support.servers import Server, free_port
from support.stations import SocketClient, agent_process, reading, write_config

from edge import maintenance
from edge.cli import EXIT_NOT_RUNNING
from hinomi.cli import main
from hinomi.errors import ConfigError
from sensing.observation import Kind

HOUR = 3600.0


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "edge.db"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SocketClient]:
    client = SocketClient(tmp_path / "in.sock")
    yield client
    client.close()


def test_it_ends_after_two_hours_whatever_the_wall_clock_does(journal: Path, clock: ManualClock) -> None:
    assert maintenance.left_s(journal, "boot-1", clock) == 0
    maintenance.start(journal, "boot-1", clock)
    clock.tick(HOUR)
    clock.step(-3 * 86_400_000)
    assert maintenance.left_s(journal, "boot-1", clock) == HOUR
    clock.step(6 * 86_400_000)
    assert maintenance.left_s(journal, "boot-1", clock) == HOUR
    clock.tick(HOUR)
    assert maintenance.left_s(journal, "boot-1", clock) == 0


def test_it_goes_on_after_a_reboot_by_the_wall_clock(journal: Path) -> None:
    before = ManualClock(1_800_000_000_000, 5000.0)
    maintenance.start(journal, "boot-1", before)
    after = ManualClock(1_800_000_000_000 + 600_000, 30.0)
    assert maintenance.left_s(journal, "boot-2", after) == 2 * HOUR - 600


def test_after_a_reboot_into_1970_it_still_ends_within_two_hours(journal: Path) -> None:
    maintenance.start(journal, "boot-1", ManualClock(1_800_000_000_000, 5000.0))
    blind = ManualClock(0, 30.0)
    assert maintenance.left_s(journal, "boot-2", blind) == 2 * HOUR - 30
    blind.tick(2 * HOUR)
    assert maintenance.left_s(journal, "boot-2", blind) == 0


def test_stopping_ends_it_and_twice_is_no_error(journal: Path, clock: ManualClock) -> None:
    maintenance.start(journal, "boot-1", clock)
    maintenance.stop(journal)
    maintenance.stop(journal)
    assert maintenance.left_s(journal, "boot-1", clock) == 0


def test_a_damaged_mark_is_none(journal: Path, clock: ManualClock) -> None:
    maintenance.file_of(journal).write_bytes(b"\0damaged")
    assert maintenance.left_s(journal, "boot-1", clock) == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match="run as the agent's user"):
        maintenance.start(tmp_path / "no" / "edge.db", "boot-1", clock)


def command(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main(["edge", *arguments])
    return status, out.getvalue()


def state_of(config: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(command("status", "--json", "--config", str(config))[1])
    return state


def test_readings_are_flagged_from_start_to_stop_over_a_kill(
    tmp_path: Path, mosquitto: Server, client: SocketClient
) -> None:
    config = write_config(tmp_path, mosquitto.port)
    kinds: dict[float | None, Kind] = {}
    with Acker(mosquitto.port) as cloud, agent_process(config) as agent:
        client.wait_until_there()
        client.push(reading("a", value=1.0))
        assert command("maintenance", "start", "--config", str(config))[0] == 0
        client.push(reading("b", value=2.0))
        assert "minutes left" in command("status", "--config", str(config))[1]
        agent.kill()
        agent.start()
        client.wait_until_there()
        client.push(reading("c", value=3.0))
        assert command("maintenance", "stop", "--config", str(config))[0] == 0
        client.push(reading("d", value=4.0))
        cloud.wait(lambda acker: acker.readings == 4)
        for pack in cloud.packs.values():
            assert pack.header is not None
            kinds |= {record.value: pack.header.kind for record in pack.records}
    assert kinds == {1.0: Kind.READING, 2.0: Kind.MAINTENANCE, 3.0: Kind.MAINTENANCE, 4.0: Kind.READING}


class TestStatus:
    def test_of_a_station_that_does_not_run(self, tmp_path: Path, client: SocketClient) -> None:
        config = write_config(tmp_path, free_port())
        status, text = command("status", "--config", str(config))
        assert status == EXIT_NOT_RUNNING
        assert "not running" in text
        with agent_process(config) as agent:
            client.wait_until_there()
            client.push(reading())
            agent.stop()
        state = state_of(config)
        assert (state["running"], state["journal"]["pending"]) == (False, 1)
        assert "1 accepted" in command("status", "--config", str(config))[1]

    def test_of_a_running_station_with_troubles(self, tmp_path: Path, client: SocketClient) -> None:
        missing = (
            '[[sensor]]\ntype = "host"\nname = "pi"\ninterval_s = 0.1\nreport = ["cpu_temperature"]\nsys = "/no"\n'
        )
        config = write_config(tmp_path, free_port(), extra=missing)
        with agent_process(config) as agent:
            client.wait_until_there()
            client.push(reading())
            agent_says(agent, "sensor pi")
            state = state_of(config)
            assert state["running"]
            assert state["journal"]["accepted"] == 1
            assert {trouble["part"] for trouble in state["troubles"]} >= {"sensor pi"}
            assert state["counters"]["sensor.pi.failures"] >= 1
            status, text = command("status", "--config", str(config))
            assert status == 0
            assert "trouble: sensor pi" in text


def agent_says(agent: Any, text: str) -> None:
    import time

    end = time.monotonic() + 20
    while text not in agent.text:
        assert time.monotonic() < end, agent.text
        time.sleep(0.02)


def test_check_says_that_all_is_well(tmp_path: Path) -> None:
    config = write_config(tmp_path, 1883)
    status, text = command("check", "--config", str(config))
    assert status == 0
    assert "town/bridge -> 127.0.0.1:1883, 0 sensors, 1 intakes" in text


def test_a_missing_file_is_told_with_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run", "check", "status"):
        assert main(["edge", name, "--config", str(tmp_path / "none.toml")]) == 2
        assert "none.toml: cannot be read" in capsys.readouterr().err
