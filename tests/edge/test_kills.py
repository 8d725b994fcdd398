"""Promises 1, 3 and 7: what was answered as accepted survives kill -9 of the agent and of the broker.

The oracle stands beside the generator: each accepted reading is written and fsynced by the client that got the
answer, before the next one is sent. Readings carry a number of their own as value, so each can be told from all
others wherever it comes out.
"""

import os
import random
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from support.acker import Acker
from support.journals import seed_of_run
from support.servers import Mosquitto
from support.stations import QuickAgent, SocketClient, reading, write_config


class Generator:
    """Pushes numbered readings for ever, in a thread; ``accepted`` is read back from the synced file."""

    def __init__(self, folder: Path, rng: random.Random, *, batch: int, rate: float | None = None) -> None:
        self._client = SocketClient(folder / "in.sock")
        self._oracle = folder / "oracle"
        self._rng = rng
        self._batch = batch
        self._rate = rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.failed = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()
        if self.error:
            raise self.error

    def accepted(self) -> set[int]:
        return {int(line) for line in self._oracle.read_text().split()}

    def _run(self) -> None:
        try:
            with self._oracle.open("a") as oracle:
                while not self._ended.is_set():
                    self._once(oracle)
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self.error = error

    def _once(self, oracle) -> None:
        count = self._rng.randint(1, self._batch)
        numbers = range(self.sent, self.sent + count)
        self.sent += count
        names = [f"s{self._rng.randrange(100)}" for _ in numbers]
        try:
            answer = self._client.push(
                *(reading(name, value=float(number)) for name, number in zip(names, numbers, strict=True))
            )
        except OSError:
            self.failed += 1
            time.sleep(0.005)
            return
        if answer.get("error"):
            self.failed += 1
            return
        refused = {one["index"] for one in answer["refused"]}
        assert len(refused) == count - answer["accepted"]
        assert {one["reason"] for one in answer["refused"]} <= {"too_fast"}
        oracle.write("".join(f"{number}\n" for index, number in enumerate(numbers) if index not in refused))
        oracle.flush()
        os.fdatasync(oracle.fileno())
        if self._rate:
            time.sleep(count / self._rate)


def lost(generator: Generator, cloud: Acker) -> set[int]:
    arrived = {int(value) for value in list(cloud.values.values()) if value is not None}
    return generator.accepted() - arrived


@pytest.fixture
def rng() -> random.Random:
    return random.Random(seed_of_run(1))


def kill_the_agent(tmp_path: Path, rng: random.Random, kills: int) -> None:
    """Kill it again and again at random moments of starting, committing, sending, deleting."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    config = write_config(tmp_path, broker.port)
    try:
        with (
            Acker(broker.port) as cloud,
            QuickAgent(config) as agent,
            Generator(tmp_path, rng, batch=20) as load,
        ):
            for _ in range(kills):
                client = SocketClient(tmp_path / "in.sock")
                client.wait_until_there()
                client.close()
                time.sleep(rng.uniform(0.0, rng.choice((0.02, 0.1, 0.4))))
                agent.kill()
                agent.start()
            load.stop()
            cloud.wait(lambda _: not lost(load, cloud), 30)
            assert len(load.accepted()) > 10 * kills, "there must be something to lose"
            assert not cloud.conflicts
            assert agent.text == ""
    finally:
        broker.kill()


def test_accepted_survives_kill_9_of_the_agent(tmp_path: Path, rng: random.Random) -> None:
    kill_the_agent(tmp_path, rng, 200)
