"""The socket intake and the line protocol under it."""

import asyncio
import json
import os
import random
import socket
import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.stations import SocketClient, reading

from edge.intake import socket as module
from edge.intake.base import Pushed, Refused, Totals
from edge.intake.socket import Config
from edge.lines import MAX_LINE, LineServer, ask
from hinomi.config import parse
from hinomi.errors import Transient


class Sink:
    def __init__(self) -> None:
        self.pace = ManualClock()
        self.rng = random.Random(1)
        self.taken: list[Pushed] = []
        self.counted: list[str] = []
        self.full = False

    async def accept(self, readings: Sequence[Pushed]) -> list[Refused]:
        if self.full:
            raise Transient("the disk is full")
        good = [one for one in readings if one.quantity == "pm2_5"]
        self.taken += good
        return [
            Refused(index, "unknown_quantity", "x") for index, one in enumerate(readings) if one.quantity != "pm2_5"
        ]

    async def totals(self) -> Totals:
        return Totals(accepted=len(self.taken), acked=1, pending=2, dropped=3)

    def count(self, counter: str, by: int = 1) -> None:
        self.counted.append(counter)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def path(tmp_path: Path, sink: Sink) -> AsyncIterator[Path]:
    config = Config(type="socket", path=tmp_path / "in.sock")
    async with config.open(sink):
        yield config.path


async def talk(path: Path, *lines: bytes) -> list[dict]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    for line in lines:
        writer.write(line + b"\n")
    answers = [json.loads(await asyncio.wait_for(reader.readline(), 5)) for _ in lines]
    writer.close()
    return answers


def test_the_sample_names_every_setting() -> None:
    sample = Path(str(module.__file__)).with_suffix(".toml")
    (table,) = tomllib.loads(sample.read_text())["intake"]
    assert parse(table, Config).path == Path("/run/hinomi/readings.sock")
    assert set(table) == set(Config.__struct_fields__)


async def test_readings_are_answered_one_by_one(path: Path, sink: Sink) -> None:
    request = {"readings": [reading(), reading(quantity="pm2"), reading(value=3, unit="ug/m3", measured_at=5)]}
    (answer,) = await talk(path, json.dumps(request).encode())
    assert answer == {
        "accepted": 2,
        "refused": [{"index": 1, "reason": "unknown_quantity", "detail": "x"}],
    }
    assert sink.taken == [Pushed("air", "pm2_5", 1.0), Pushed("air", "pm2_5", 3.0, "ug/m3", 5)]


async def test_the_counters_can_be_asked_for(path: Path) -> None:
    assert await talk(path, b'{"status": true}') == [{"accepted": 0, "acked": 1, "pending": 2, "dropped": 3}]


async def test_several_requests_may_be_on_their_way(path: Path, sink: Sink) -> None:
    line = json.dumps({"readings": [reading()]}).encode()
    answers = await talk(path, *[line] * 20)
    assert [answer["accepted"] for answer in answers] == [1] * 20
    assert len(sink.taken) == 20


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"readings": 1}',
        b'{"readings": [{"sensor": "a"}]}',
        b'{"readings": [{"sensor": "a", "quantity": "b", "value": "1"}]}',
        b'{"readings": [{"sensor": "a", "quantity": "b", "value": NaN}]}',
        b'{"reading": []}',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
async def test_what_is_not_understood_is_said_and_counted_and_the_next_line_works(
    path: Path, sink: Sink, line: bytes
) -> None:
    answers = await talk(path, line, json.dumps({"readings": [reading()]}).encode())
    assert "not understood" in answers[0]["error"]
    assert answers[1] == {"accepted": 1, "refused": []}
    assert sink.counted == ["socket.malformed"]


async def test_a_full_disk_is_said_and_nothing_is_accepted(path: Path, sink: Sink) -> None:
    sink.full = True
    (answer,) = await talk(path, json.dumps({"readings": [reading()]}).encode())
    assert answer == {"error": "try again: the disk is full"}


async def test_a_line_without_end_is_cut_off(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"x" * (MAX_LINE + 100_000))
    answer = await asyncio.wait_for(reader.readline(), 5)
    assert b"longer than" in answer
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(path: Path) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"readings": [')
        writer.transport.abort()
    assert await talk(path, b'{"status": true}')


async def test_a_socket_left_behind_is_replaced_and_a_living_one_is_not(tmp_path: Path, sink: Sink) -> None:
    path = tmp_path / "in.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    config = Config(type="socket", path=path, mode="600")
    async with config.open(sink):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(Transient, match="does another agent run"):
            await config.open(sink).__aenter__()
        assert await talk(path, b'{"status": true}')
    assert not path.exists()


async def test_a_missing_folder_is_told(tmp_path: Path, sink: Sink) -> None:
    with pytest.raises(Transient, match="cannot be made"):
        await Config(type="socket", path=tmp_path / "no" / "in.sock").open(sink).__aenter__()


async def test_a_path_longer_than_a_sockets_address_works(tmp_path: Path, sink: Sink) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = folder / "in.sock"
    assert len(os.fsencode(path)) > 108
    async with Config(type="socket", path=path).open(sink):
        client = SocketClient(path)
        assert (await asyncio.to_thread(client.push, reading()))["accepted"] == 1
        client.close()
        assert (await ask(path, {"status": True}))["pending"] == 2


async def test_leaving_ends_clients_that_wait(tmp_path: Path) -> None:
    async def never(_: bytes) -> dict:
        await asyncio.sleep(3600)
        return {}

    async with LineServer(tmp_path / "x.sock", never, mode=0o600):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "x.sock"))
        writer.write(b"{}\n")
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
