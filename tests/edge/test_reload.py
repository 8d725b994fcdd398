"""Promise 10: a broken configuration never touches the backlog, and a good one takes effect without a restart."""

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.acker import Acker
from support.servers import Server, free_port
from support.stations import STATION, SocketClient, agent_here, agent_process, eventually, reading, write_config

from edge.lines import ask
from hinomi.cli import main
from hinomi.journal.sqlite import SqliteJournal

BAD = sorted((Path(__file__).parent / "bad_config").glob("*.toml"))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SocketClient]:
    client = SocketClient(tmp_path / "in.sock")
    yield client
    client.close()


def says(bad: Path) -> str:
    return bad.read_text().splitlines()[1].removeprefix("# says: ")


def digest(folder: Path) -> str:
    """Of the journal and its log as they lie on the disk."""
    files = [path for path in sorted(folder.glob("edge.db*")) if path.is_file()]
    assert files
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


async def status(folder: Path) -> dict[str, Any]:
    return await ask(folder / "edge.db.sock", {"status": True})


async def push(client: SocketClient, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        answer = await asyncio.to_thread(client.push, reading(f"s{number}", value=float(number)))
        assert answer["accepted"] == 1


def test_no_broken_file_is_run_and_none_touches_the_backlog(
    tmp_path: Path, client: SocketClient, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, free_port())
    with agent_process(config) as agent:
        client.wait_until_there()
        for number in range(20):
            client.push(reading(f"s{number}", value=float(number)))
        agent.stop()
    before = digest(tmp_path)
    for bad in BAD:
        shutil.copy(bad, config)
        for command in ("run", "check"):
            assert main(["edge", command, "--config", str(config)]) == 2
            assert says(bad) in capsys.readouterr().err
        assert digest(tmp_path) == before, bad.stem
    assert SqliteJournal.peek(tmp_path / "edge.db").pending_readings == 20


async def test_a_running_agent_refuses_every_broken_file_names_the_fault_and_goes_on(
    tmp_path: Path, client: SocketClient
) -> None:
    config = write_config(tmp_path, free_port())
    async with agent_here(config) as orders:
        await asyncio.to_thread(client.wait_until_there)
        stream = (await status(tmp_path))["journal"]["stream"]
        for number, bad in enumerate(BAD):
            await push(client, 1, first=number)
            shutil.copy(bad, config)
            orders.reload()
            for _ in range(500):
                notices = (await status(tmp_path))["notices"]
                if notices and says(bad) in notices[-1]:
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError((bad.stem, notices))
        state = await status(tmp_path)
        assert state["journal"]["stream"] == stream
        assert state["journal"]["pending"] == state["journal"]["accepted"] == len(BAD)
        client.close()


async def test_a_good_file_takes_effect_and_the_backlog_goes_to_the_new_broker(
    tmp_path: Path, mosquitto: Server, client: SocketClient
) -> None:
    config = write_config(tmp_path, free_port())
    host = '[[sensor]]\ntype = "host"\nname = "pi"\ninterval_s = 0.2\nreport = ["disk_free"]\n'
    with Acker(mosquitto.port) as cloud:
        async with agent_here(config) as orders:
            await asyncio.to_thread(client.wait_until_there)
            await push(client, 10)
            client.close()
            write_config(tmp_path, mosquitto.port, extra=host)
            orders.reload()
            await eventually(lambda: cloud.readings > 10)
            await asyncio.to_thread(client.wait_until_there)
            await push(client, 1, first=10)
            await eventually(lambda: (f"{STATION}/s10/pm2_5") in {name for name, _ in cloud.values})
            await eventually(lambda: cloud.statuses)
            client.close()
        assert len(cloud.streams) == 1
        assert {one["sensor"] for one in cloud.statuses[-2]["datastreams"]} >= {"pi"}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('id = "town/bridge"', 'id = "town/other"', "station.id"),
        ('path = "edge.db"', 'path = "other.db"', "journal.path"),
        ("commit_s = 0.2", "commit_s = 0.2\ncap_mb = 1", "journal.cap_mb"),
        ("clock_trusted = true", "clock_trusted = false", "station.clock_trusted"),
    ],
)
async def test_what_belongs_to_the_open_journal_needs_a_restart(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    config = write_config(tmp_path, free_port())
    async with agent_here(config) as orders:
        await eventually((tmp_path / "edge.db.sock").exists)
        text = config.read_text()
        assert old in text
        config.write_text(text.replace(old, new))
        orders.reload()
        for _ in range(200):
            notices = (await status(tmp_path))["notices"]
            if notices:
                break
            await asyncio.sleep(0.01)
        assert f"{named}: cannot change while the agent runs" in notices[0]
    assert not (tmp_path / "other.db").exists()


def test_a_second_agent_on_the_same_journal_is_refused_with_exit_2(
    tmp_path: Path, client: SocketClient, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, free_port())
    with agent_process(config):
        client.wait_until_there()
        assert main(["edge", "run", "--config", str(config)]) == 2
        assert "edge.db" in capsys.readouterr().err
        assert client.push(reading())["accepted"] == 1
