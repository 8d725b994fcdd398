"""The link against the real mosquitto: what gmqtt would lose is not lost here."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from support.certificates import make_authority, make_certificate
from support.proxy import FaultProxy
from support.servers import Mosquitto, Server

from cloud.link import BrokerSection, Link
from cloud.link.section import tls_context
from hinomi.clock import SystemClock
from hinomi.config import Secret
from hinomi.errors import ConfigError

TOPIC = "t/obs"
CONFIG = "allow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 100000\n"


class Receiver:
    """Keeps what arrives; the test decides when it is committed."""

    def __init__(self, *, immediate: bool = False, forget: bool = True) -> None:
        self.got: list[bytes] = []
        self.waiting: list[asyncio.Future[bool]] = []
        self.sessions: list[bool] = []
        self.losses = 0
        self.fail_on: bytes | None = None
        self._immediate = immediate
        self._forget = forget

    def receive(self, topic: str, payload: bytes, properties: object) -> "asyncio.Future[bool] | None":
        self.got.append(payload)
        if payload == self.fail_on:
            self.fail_on = None
            raise RuntimeError("a bug")
        if self._immediate:
            return None
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    def connected(self, *, session_present: bool) -> None:
        self.sessions.append(session_present)

    def lost(self) -> None:
        self.losses += 1
        if self._forget:
            self.settle(committed=False)

    def settle(self, *, committed: bool) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(committed)


@asynccontextmanager
async def running(section: BrokerSection, receiver: Receiver) -> AsyncIterator[Link]:
    link = Link(section, [TOPIC], receiver.receive, receiver, pace=SystemClock(), rng=random.Random(1))
    task = asyncio.create_task(link.run())
    try:
        await until(lambda: link.is_connected or task.done())
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def broker(tmp_path: Path):
    server = Mosquitto(tmp_path / "broker", CONFIG)
    server.start()
    yield server
    server.kill()


async def publish(server: Server, payloads: list[bytes], topic: str = TOPIC) -> None:
    """All of them, acknowledged by the broker."""

    def work() -> None:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.max_inflight_messages_set(100)
        client.connect("127.0.0.1", server.port)
        client.loop_start()
        infos = [client.publish(topic, payload, qos=1) for payload in payloads]
        for info in infos:
            info.wait_for_publish(20)
        client.disconnect()
        client.loop_stop()

    await asyncio.to_thread(work)


def numbered(count: int, size: int = 8) -> list[bytes]:
    return [b"%08d" % number + b"." * (size - 8) for number in range(count)]


async def test_nothing_is_acknowledged_before_the_commit_and_the_window_bounds_what_arrives(broker):
    receiver = Receiver()
    async with running(BrokerSection(port=broker.port, window=10), receiver) as link:
        await publish(broker, numbered(30))
        await until(lambda: len(receiver.got) == 10)
        await asyncio.sleep(0.2)
        assert len(receiver.got) == 10
        while len(receiver.got) < 30:
            receiver.settle(committed=True)
            await asyncio.sleep(0.02)
        receiver.settle(committed=True)
        assert receiver.got == numbered(30)
        assert link.generation == 1


async def test_a_commit_after_a_reconnect_acknowledges_nothing(broker):
    """Gmqtt alone acknowledges on the new connection, where the same packet id is another message."""
    with FaultProxy(broker.port) as proxy:
        receiver = Receiver(forget=False)
        async with running(BrokerSection(port=proxy.port), receiver) as link:
            await publish(broker, numbered(10))
            await until(lambda: len(receiver.got) == 10)
            old = list(receiver.waiting)
            proxy.cut()
            await until(lambda: link.generation == 2 and len(receiver.got) == 20)
            for future in old:
                future.set_result(True)
            await asyncio.sleep(0.2)
            proxy.cut()
            await until(lambda: link.generation == 3)
            await until(lambda: len(receiver.got) == 30)
            assert receiver.got[20:] == numbered(10)


async def test_what_was_committed_is_not_delivered_again(broker):
    with FaultProxy(broker.port) as proxy:
        receiver = Receiver()
        async with running(BrokerSection(port=proxy.port), receiver) as link:
            await publish(broker, numbered(10))
            await until(lambda: len(receiver.got) == 10)
            receiver.settle(committed=True)
            await asyncio.sleep(0.2)
            proxy.cut()
            await until(lambda: link.generation == 2)
            await publish(broker, [b"last"])
            await until(lambda: len(receiver.got) > 10)
            assert receiver.got[10:] == [b"last"]
            assert receiver.sessions == [False, True]


async def test_link_flaps_pile_up_no_handlers(broker):
    with FaultProxy(broker.port) as proxy:
        receiver = Receiver()
        async with running(BrokerSection(port=proxy.port, window=200), receiver) as link:
            await publish(broker, numbered(200))
            for flap in range(1, 11):
                await until(lambda flap=flap: len(receiver.waiting) == 200 and link.generation == flap, 20)
                proxy.cut()
            await until(lambda: link.generation == 11 and len(receiver.waiting) == 200)
            assert len(asyncio.all_tasks()) < 200 + 20
            assert link.stale == 2000
            assert receiver.losses == 10


async def test_a_message_that_cannot_be_handled_drops_the_connection_and_comes_again(broker):
    receiver = Receiver(immediate=True)
    receiver.fail_on = b"00000003"
    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context["exception"]))
    async with running(BrokerSection(port=broker.port), receiver) as link:
        await publish(broker, numbered(6))
        await until(lambda: link.generation == 2 and len(receiver.got) >= 7)
        await publish(broker, [b"last"])
        await until(lambda: receiver.got[-1] == b"last")
        assert receiver.got.count(b"00000003") == 2
    assert [str(error) for error in said] == ["a bug"]


async def test_reading_pauses_while_too_many_bytes_are_in_work(broker):
    receiver = Receiver()
    async with running(BrokerSection(port=broker.port, window=100, window_mb=1), receiver) as link:
        await publish(broker, numbered(40, 200_000))
        await until(lambda: link.held_bytes > 1 << 20)
        await asyncio.sleep(0.3)
        assert len(receiver.got) <= 8
        while len(receiver.got) < 40:
            receiver.settle(committed=True)
            await asyncio.sleep(0.01)
        receiver.settle(committed=True)
        await until(lambda: link.held_bytes == 0)


async def test_a_broker_that_sends_beyond_the_window_is_not_read(broker):
    """What mosquitto 2.0 does as soon as it has a queue and one acknowledgement frees it."""
    receiver = Receiver()
    async with running(BrokerSection(port=broker.port, window=100), receiver) as link:
        await publish(broker, numbered(4_000, 1000))
        most = 0
        while len(receiver.got) < 4_000:
            receiver.settle(committed=True)
            await asyncio.sleep(0.05)
            most = max(most, link.in_work)
        assert receiver.got == numbered(4_000, 1000)
        # What was read already comes on top: asyncio's buffer of 2 x 64 KiB and one receive of 256 KiB.
        assert most <= 100 + (2 * 65_536 + 262_144) // 1000


async def test_the_socket_has_no_delay(broker):
    async with running(BrokerSection(port=broker.port), Receiver()) as link:
        transport = link._connection._client.protocol._transport
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_silent_broker_is_left_and_found_again(broker):
    with FaultProxy(broker.port) as proxy:
        receiver = Receiver(immediate=True)
        async with running(BrokerSection(port=proxy.port, keepalive_s=2), receiver) as link:
            proxy.stall("down")
            await until(lambda: not link.is_connected, 15)
            # Whose patience ends first, ours or the broker's own, is a matter of the machine's load.
            assert any(words in (link.problem() or "") for words in ("silent", "closed the connection"))
            proxy.cut()
            proxy.flow("down")
            await until(lambda: link.generation == 2, 15)
            await publish(broker, [b"x"])
            await until(lambda: receiver.got == [b"x"])


async def test_half_closed_and_cut_in_the_middle_of_a_packet(broker):
    with FaultProxy(broker.port) as proxy:
        receiver = Receiver()
        async with running(BrokerSection(port=proxy.port), receiver) as link:
            proxy.half_close("down")
            await until(lambda: link.generation == 2)
            proxy.cut_after("down", 100_000)
            await publish(broker, numbered(5, 60_000))
            await until(lambda: link.generation == 3 and len(receiver.waiting) == 5)
            receiver.settle(committed=True)
            assert set(receiver.got) == set(numbered(5, 60_000))


async def test_what_came_while_we_were_away_comes_after_a_goodbye(broker):
    section = BrokerSection(port=broker.port)
    async with running(section, Receiver()):
        pass
    await publish(broker, numbered(20))
    receiver = Receiver(immediate=True)
    async with running(section, receiver):
        await until(lambda: len(receiver.got) == 20)
    assert receiver.sessions == [True]


async def test_a_broker_that_is_away_is_waited_for(tmp_path: Path):
    server = Mosquitto(tmp_path / "late", CONFIG)
    receiver = Receiver(immediate=True)
    link = Link(
        BrokerSection(port=server.port),
        [TOPIC],
        receiver.receive,
        receiver,
        pace=SystemClock(),
        rng=random.Random(1),
    )
    task = asyncio.create_task(link.run())
    await until(lambda: "cannot be reached" in (link.problem() or ""))
    server.start()
    try:
        await until(lambda: link.is_connected)
        assert link.problem() is None
        assert link.publish("t/ack", b"{}", retain=True)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.kill()
    assert not link.publish("t/ack", b"{}")


async def test_a_wrong_password_at_the_first_start_is_for_a_person(tmp_path: Path):
    passwords = tmp_path / "passwords"
    passwords.write_text("cloud:$7$101$AAAAAAAAAAAAAAAA$AAAA\n")
    passwords.chmod(0o700)
    server = Mosquitto(tmp_path / "closed", f"allow_anonymous false\npassword_file {passwords}\n")
    server.start()
    section = BrokerSection(port=server.port, username="cloud", password=Secret("wrong"))
    receiver = Receiver()
    link = Link(section, [TOPIC], receiver.receive, receiver, pace=SystemClock(), rng=random.Random(1))
    try:
        with pytest.raises(ConfigError, match="password"):
            await asyncio.wait_for(link.run(), 20)
    finally:
        server.kill()


@pytest.fixture
def tls_broker(tmp_path: Path):
    folder = tmp_path / "tls"
    make_authority(folder)
    make_certificate(folder, "server", "localhost")
    make_certificate(folder, "cloud", "hinomi-cloud")
    lines = [
        f"cafile {folder / 'ca.crt'}",
        f"certfile {folder / 'server.crt'}",
        f"keyfile {folder / 'server.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    ]
    server = Mosquitto(tmp_path / "tls-broker", "\n".join(lines) + "\n")
    server.start()
    yield server, folder
    server.kill()


async def test_tls_with_a_client_certificate(tls_broker):
    server, folder = tls_broker
    section = BrokerSection(
        port=server.port, tls=True, ca=folder / "ca.crt", certificate=folder / "cloud.crt", key=folder / "cloud.key"
    )
    receiver = Receiver()
    async with running(section, receiver) as link:
        assert link.is_connected
        assert link.publish(TOPIC, b"to myself")
        await until(lambda: receiver.got == [b"to myself"])


async def test_another_authority_at_the_first_start_is_for_a_person(tls_broker, tmp_path: Path):
    server, _ = tls_broker
    make_authority(tmp_path / "other")
    section = BrokerSection(port=server.port, tls=True, ca=tmp_path / "other" / "ca.crt")
    receiver = Receiver()
    link = Link(section, [TOPIC], receiver.receive, receiver, pace=SystemClock(), rng=random.Random(1))
    with pytest.raises(ConfigError, match="does not vouch"):
        await asyncio.wait_for(link.run(), 20)


def test_a_file_that_is_no_certificate_is_for_a_person(tmp_path: Path):
    wrong = tmp_path / "ca.crt"
    wrong.write_text("nothing")
    with pytest.raises(ConfigError, match=r"broker\.ca"):
        tls_context(BrokerSection(tls=True, ca=wrong))
