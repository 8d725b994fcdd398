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
from support.proxy import FaultProxy
from support.servers import Mosquitto
from support.stations import QuickAgent, SocketClient, reading, write_config


class Generator:
    """Pushes numbered readings for ever, in a thread; ``accepted`` is read back from the synced file."""

    def __init__(
        self, folder: Path, rng: random.Random, *, batch: int, rate: float | None = None, patient: bool = False
    ) -> None:
        self._client = SocketClient(folder / "in.sock")
        self._oracle = folder / "oracle"
        self._rng = rng
        self._batch = batch
        self._rate = rate
        self._patient = patient
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
            if self._patient:
                self._client.wait_until_there()
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


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 12))
def test_accepted_survives_thousands_of_kills(tmp_path: Path, seed: int) -> None:
    kill_the_agent(tmp_path, random.Random(seed), 400)


def kill_the_broker(tmp_path: Path, rng: random.Random, kills: int, *, rate: float) -> None:
    """Debian's mosquitto as it is: what it has acknowledged to us is gone with it; only the cloud's word counts.

    Before every other kill the cloud loses its connection, so that the broker holds packs that it has acknowledged.
    """
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    config = write_config(tmp_path, broker.port, commit_s=0.05)
    try:
        with (
            FaultProxy(broker.port) as proxy,
            Acker(proxy.port) as cloud,
            QuickAgent(config) as agent,
            Generator(tmp_path, rng, batch=max(1, round(rate / 100)), rate=rate, patient=True) as load,
        ):
            for number in range(kills):
                time.sleep(rng.uniform(0.1, 0.5))
                proxy.refuse = number % 2 == 0
                if proxy.refuse:
                    proxy.cut()
                    time.sleep(rng.uniform(0.2, 0.4))
                broker.kill()
                time.sleep(rng.uniform(0.0, 0.1))
                broker.start()
                proxy.refuse = False
            load.stop()
            cloud.wait(lambda _: not lost(load, cloud), 60)
            assert load.failed == 0, "the broker's death is not the local devices' trouble"
            assert not cloud.conflicts
            assert "Traceback" not in agent.text
    finally:
        broker.kill()


def test_kill_9_of_the_broker_loses_nothing(tmp_path: Path, rng: random.Random) -> None:
    kill_the_broker(tmp_path, rng, 20, rate=100)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 7))
def test_kill_9_of_the_broker_at_500_messages_a_second(tmp_path: Path, seed: int) -> None:
    kill_the_broker(tmp_path, random.Random(seed), 20, rate=500)


def test_an_overflowing_broker_queue_loses_nothing(tmp_path: Path, rng: random.Random) -> None:
    """The cloud is away; three times as many packs as the broker keeps for it go out; most it drops silently."""
    broker = Mosquitto(tmp_path / "mosquitto", "allow_anonymous true\nmax_queued_messages 50\n")
    broker.start()
    config = write_config(tmp_path, broker.port, uplink="window = 200")
    client = SocketClient(tmp_path / "in.sock")
    try:
        with QuickAgent(config):
            with Acker(broker.port):
                client.wait_until_there()
            for number in range(150):
                assert client.push(reading(f"s{number % 10}", value=float(number)))["accepted"] == 1
            wait_for_log(broker, "Outgoing messages are being dropped")
            with Acker(broker.port) as cloud:
                cloud.wait(lambda acker: acker.readings == 150, 30)
                cloud.wait(lambda _: client.totals()["pending"] == 0)
            assert client.totals() == {"accepted": 150, "acked": 150, "pending": 0, "dropped": 0}
    finally:
        client.close()
        broker.kill()


def wait_for_log(broker: Mosquitto, text: str) -> None:
    end = time.monotonic() + 20
    while text not in broker.log.read_text():
        assert time.monotonic() < end, broker.log.read_text()
        time.sleep(0.05)
