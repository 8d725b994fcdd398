"""The station's connection against a real broker and the smallest honest cloud."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.acker import Acker
from support.certificates import make_authority, make_certificate
from support.proxy import FaultProxy
from support.servers import Mosquitto, Server
from support.stations import (
    NAME,
    STATION,
    AgentProcess,
    SocketClient,
    agent_here,
    agent_process,
    eventually,
    reading,
    write_config,
)

from sensing.observation import ClockQuality, Kind

ACK = f"hinomi/v1/{STATION}/ack"


@pytest.fixture
def cloud(mosquitto: Server) -> Iterator[Acker]:
    with Acker(mosquitto.port) as acker:
        yield acker


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SocketClient]:
    client = SocketClient(tmp_path / "in.sock")
    yield client
    client.close()


def push(client: SocketClient, count: int, *, first: int = 0) -> None:
    """One commit, so one pack, for each."""
    for number in range(first, first + count):
        assert client.push(reading(f"s{number % 10}", value=float(number)))["accepted"] == 1


def pending(client: SocketClient) -> Callable[[], int]:
    return lambda: client.totals()["pending"]


def values(cloud: Acker) -> list[float | None]:
    return [record.value for pack in cloud.packs.values() for record in pack.records]


def test_what_is_accepted_arrives_is_acknowledged_and_deleted(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    with agent_process(write_config(tmp_path, mosquitto.port)):
        client.wait_until_there()
        push(client, 20)
        cloud.wait(lambda acker: acker.readings == 20)
        cloud.wait(lambda _: pending(client)() == 0)
        totals = client.totals()
    assert totals == {"accepted": 20, "acked": 20, "pending": 0, "dropped": 0}
    headers = [pack.header for pack in cloud.packs.values()]
    assert sorted(header.seq for header in headers) == list(range(1, 21))
    assert {(header.kind, header.clock) for header in headers} == {(Kind.READING, ClockQuality.SYNCED)}
    assert max(header.accepted for header in headers) == 20
    assert not cloud.conflicts
    assert not cloud.bad
    assert {name for name, _ in cloud.values} == {f"{NAME}s{number}/pm2_5" for number in range(10)}


def test_the_status_is_told_retained_and_the_end_too(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    host = '[[sensor]]\ntype = "host"\nname = "pi"\ninterval_s = 60\nreport = ["disk_free"]\n'
    config = write_config(tmp_path, mosquitto.port, extra=host)
    with agent_process(config) as agent:
        cloud.wait(lambda acker: acker.statuses)
        agent.stop()
        cloud.wait(lambda acker: len(acker.statuses) >= 2)
    online, offline = cloud.statuses[0], cloud.statuses[-1]
    assert online["status"] == "online"
    assert online["datastreams"] == [{"sensor": "pi", "quantity": "disk_free", "interval_s": 60.0}]
    assert {"version", "boot_id", "serial", "config_hash", "counters"} <= online.keys()
    assert offline == {"status": "offline"}
    assert agent.text == "", "normal running logs nothing above debug"


def test_the_will_tells_that_a_killed_station_is_gone(tmp_path: Path, mosquitto: Server, cloud: Acker) -> None:
    """MQTT 3.1.1 has no delayed will, so the broker tells at once."""
    with agent_process(write_config(tmp_path, mosquitto.port, broker='version = "3.1.1"')) as agent:
        cloud.wait(lambda acker: acker.statuses)
        agent.kill()
        cloud.wait(lambda acker: acker.statuses[-1] == {"status": "offline"})


def test_a_station_that_is_back_soon_was_never_gone(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    """MQTT 5 delays the will by a minute, and a new connection takes it back."""
    with agent_process(write_config(tmp_path, mosquitto.port)) as agent:
        cloud.wait(lambda acker: acker.statuses)
        agent.kill()
        time.sleep(1.0)
        agent.start()
        cloud.wait(lambda acker: len(acker.statuses) >= 2)
        push_when_there(client)
        cloud.wait(lambda acker: acker.readings)
    assert [status["status"] for status in cloud.statuses[:2]] == ["online", "online"]


def push_when_there(client: SocketClient) -> None:
    client.wait_until_there()
    push(client, 1)


def test_mqtt_3_1_1_is_spoken_where_it_is_configured(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    with agent_process(write_config(tmp_path, mosquitto.port, broker='version = "3.1.1"')):
        client.wait_until_there()
        push(client, 3)
        cloud.wait(lambda acker: acker.readings == 3)


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("deflate", ["true", "false"])
def test_every_form_on_the_wire_says_the_same(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient, form: str, deflate: str
) -> None:
    config = write_config(tmp_path, mosquitto.port, uplink=f'form = "{form}"\ndeflate = {deflate}')
    with agent_process(config):
        client.wait_until_there()
        client.push(reading(value=0.1 + 0.2, measured_at=1_790_000_000_123))
        cloud.wait(lambda acker: acker.readings)
    assert cloud.values == {(NAME + "air/pm2_5", 1_790_000_000_123): 0.1 + 0.2}


def test_what_the_cloud_never_acknowledged_is_sent_again_until_it_does(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    cloud.deaf = True
    with agent_process(write_config(tmp_path, mosquitto.port)):
        client.wait_until_there()
        push(client, 5)
        cloud.wait(lambda _: pending(client)() == 5)
        assert not cloud.packs
        cloud.deaf = False
        cloud.wait(lambda acker: acker.readings == 5)
        cloud.wait(lambda _: pending(client)() == 0)
    assert not cloud.conflicts


def test_a_silent_cloud_fills_the_window_and_not_more(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    cloud.silent = True
    with agent_process(write_config(tmp_path, mosquitto.port, uplink="window = 8")):
        client.wait_until_there()
        push(client, 30)
        cloud.wait(lambda acker: acker.resent >= 8)
        assert len(cloud.packs) == 8
        cloud.silent = False
        cloud.wait(lambda acker: acker.readings == 30)
        cloud.wait(lambda _: pending(client)() == 0)


def test_fresh_readings_go_before_the_backlog(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    """While 400 packs drain through a small window, each new one arrives within a few turns of it."""
    with FaultProxy(mosquitto.port) as proxy:
        proxy.refuse = True
        with agent_process(write_config(tmp_path, proxy.port, uplink="window = 16")):
            client.wait_until_there()
            push(client, 400)
            proxy.refuse = False
            cloud.wait(lambda acker: len(acker.packs) >= 30)
            late = []
            for number in range(1000, 1005):
                before = len(cloud.packs)
                push(client, 1, first=number)
                cloud.wait(lambda _, number=number: float(number) in values(cloud))
                late.append(values(cloud).index(float(number)) - before)
            assert len(cloud.packs) < 400, "the backlog must still drain for this to say anything"
            cloud.wait(lambda acker: acker.readings == 405)
    assert max(late) <= 40, late
    seqs = [pack.header.seq for pack in cloud.packs.values()]
    assert {1, 400} <= set(seqs[:16]), "the backlog is taken from both ends"


def test_an_acknowledgement_for_a_number_never_issued_begins_a_new_stream(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    """A rolled-back card: the cloud knows more packs of this stream than the card has."""
    with agent_process(write_config(tmp_path, mosquitto.port)) as agent:
        client.wait_until_there()
        push(client, 3)
        cloud.wait(lambda acker: acker.readings == 3)
        (stream,) = cloud.streams
        cloud.silent = True
        push(client, 2, first=10)
        cloud.say(ACK, {"stream": stream, "upto": 900, "also": [], "now": 0})
        cloud.wait(lambda acker: len(acker.streams) == 2)
        cloud.silent = False
        cloud.wait(lambda acker: {10.0, 11.0} <= set(values(acker)))
        cloud.wait(lambda _: pending(client)() == 0)
        push(client, 1, first=20)
        cloud.wait(lambda acker: 20.0 in values(acker))
        assert "never issued" in agent.text
        assert any("never issued" in notice for notice in agent_status(agent)["notices"])
    assert not cloud.conflicts


def agent_status(agent: AgentProcess) -> dict:
    import contextlib
    import io

    from edge.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["status", "--json", "--config", str(agent.config)])
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    "ack",
    [
        b"not json",
        b"{}",
        b'{"stream": "x", "upto": -1, "also": [], "now": 0}',
        b'{"stream": 1, "upto": 1, "also": [], "now": 0}',
        b'{"stream": "somebody-else", "upto": 1000000, "also": [], "now": 0}',
        b'{"stream": "x", "upto": 1, "also": [[5, 2]], "now": 0}',
        b"\xff\x00",
        b"",
    ],
)
def test_a_senseless_acknowledgement_deletes_nothing(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient, ack: bytes
) -> None:
    cloud.silent = True
    with agent_process(write_config(tmp_path, mosquitto.port)):
        client.wait_until_there()
        push(client, 3)
        cloud.wait(lambda acker: acker.readings == 3)
        cloud.say(ACK, ack, retain=False)
        push(client, 1, first=10)
        cloud.wait(lambda acker: acker.readings == 4)
        assert pending(client)() == 4
        cloud.silent = False
        cloud.wait(lambda _: pending(client)() == 0)
    assert len(cloud.streams) == 1, "and begins no new stream"


def test_a_broken_line_loses_nothing(tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient) -> None:
    """Connections are cut in the middle of packets, bytes of acknowledgements are held back."""
    with FaultProxy(mosquitto.port) as proxy, agent_process(write_config(tmp_path, proxy.port)):
        client.wait_until_there()
        for number in range(12):
            push(client, 10, first=10 * number)
            if number % 4 == 0:
                proxy.cut_after("up", 300)
            elif number % 4 == 2:
                proxy.cut()
        cloud.wait(lambda acker: acker.readings == 120, 60)
        cloud.wait(lambda _: pending(client)() == 0, 30)
    assert sorted(value for value in values(cloud) if value is not None) == [float(n) for n in range(120)]
    assert not cloud.conflicts


class TestMessages:
    """What goes wrong is told in words that say what to do; everything is retried and nothing lost."""

    def test_wrong_password(self, tmp_path: Path, client: SocketClient) -> None:
        broker = locked_mosquitto(tmp_path)
        broker.start()
        config = write_config(tmp_path, broker.port, broker='password = "wrong"')
        try:
            with agent_process(config) as agent:
                client.wait_until_there()
                push(client, 2)
                wait_for_text(agent, "hinomi station add town/bridge")
                assert "password" in agent.text
                assert "wrong" not in agent.text, "the password itself is never shown"
                write_config(tmp_path, broker.port, broker='password = "right"')
                agent.hang_up()
                with Acker(broker.port, login=("cloud", "cloud")) as cloud:
                    cloud.wait(lambda acker: acker.readings == 2)
        finally:
            broker.kill()

    def test_nobody_listens(self, tmp_path: Path, client: SocketClient) -> None:
        broker = Mosquitto(tmp_path / "mosquitto")
        with agent_process(write_config(tmp_path, broker.port)) as agent:
            client.wait_until_there()
            push(client, 2)
            wait_for_text(agent, "is the broker running")
            broker.start()
            try:
                with Acker(broker.port) as cloud:
                    cloud.wait(lambda acker: acker.readings == 2)
                wait_for_text(agent, "works again")
            finally:
                broker.kill()

    def test_no_such_host(self, tmp_path: Path) -> None:
        config = write_config(tmp_path, 1)
        config.write_text(config.read_text().replace('"127.0.0.1"', '"no-such-host.invalid"'))
        with agent_process(config) as agent:
            wait_for_text(agent, "is [broker] host right")

    def test_forbidden_topics(self, tmp_path: Path, client: SocketClient) -> None:
        acl = tmp_path / "acl"
        acl.write_text("user somebody\ntopic read x\n")
        acl.chmod(0o600)
        broker = Mosquitto(tmp_path / "mosquitto", f"allow_anonymous true\nacl_file {acl}\n")
        broker.start()
        try:
            with agent_process(write_config(tmp_path, broker.port)) as agent:
                client.wait_until_there()
                push(client, 1)
                wait_for_text(agent, "check its ACL file")
                assert pending(client)() == 1
        finally:
            broker.kill()


def wait_for_text(agent: AgentProcess, text: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while text not in agent.text:
        assert time.monotonic() < end, agent.text
        time.sleep(0.02)


def locked_mosquitto(folder: Path, more: str = "") -> Mosquitto:
    """Names and passwords: the station's is "right"."""
    import subprocess

    from support.servers import need

    passwords = folder / "passwords"
    for user, password in ((STATION, "right"), ("cloud", "cloud")):
        passwords.touch(mode=0o600)
        subprocess.run([need("mosquitto_passwd"), "-b", passwords, user, password], check=True, capture_output=True)
    return Mosquitto(folder / "mosquitto", f"allow_anonymous false\npassword_file {passwords}\n{more}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    make_certificate(folder, "broker", "localhost")
    make_certificate(folder, "station", STATION)
    return folder


class TestTls:
    def tls(self, authority: Path, more: str = "") -> str:
        return (
            f"cafile {authority / 'ca.crt'}\ncertfile {authority / 'broker.crt'}\n"
            f"keyfile {authority / 'broker.key'}\n{more}"
        )

    def test_password(self, tmp_path: Path, authority: Path, client: SocketClient) -> None:
        broker = locked_mosquitto(tmp_path, self.tls(authority))
        broker.start()
        (tmp_path / "password").write_text("right\n")
        settings = f'tls = true\nca = "{authority / "ca.crt"}"\npassword_file = "password"'
        try:
            with (
                agent_process(write_config(tmp_path, broker.port, broker=settings)),
                Acker(broker.port, ca=authority / "ca.crt", login=("cloud", "cloud")) as cloud,
            ):
                client.wait_until_there()
                push(client, 3)
                cloud.wait(lambda acker: acker.readings == 3)
        finally:
            broker.kill()

    def test_client_certificate(self, tmp_path: Path, authority: Path, client: SocketClient) -> None:
        """The certificate's CN is the user name; no password."""
        acl = tmp_path / "acl"
        acl.write_text(
            f"user {STATION}\npattern write hinomi/v1/%u/obs\npattern write hinomi/v1/%u/status\n"
            "pattern read hinomi/v1/%u/ack\nuser cloud\ntopic readwrite hinomi/v1/#\n"
        )
        acl.chmod(0o600)
        make_certificate(authority, "cloud", "cloud")
        listener = self.tls(authority, f"require_certificate true\nuse_identity_as_username true\nacl_file {acl}\n")
        broker = Mosquitto(tmp_path / "mosquitto", listener)
        broker.start()
        settings = (
            f'tls = true\nca = "{authority / "ca.crt"}"\n'
            f'certificate = "{authority / "station.crt"}"\nkey = "{authority / "station.key"}"'
        )
        try:
            with (
                agent_process(write_config(tmp_path, broker.port, broker=settings)) as agent,
                Acker(
                    broker.port,
                    ca=authority / "ca.crt",
                    certificate=(authority / "cloud.crt", authority / "cloud.key"),
                ) as cloud,
            ):
                client.wait_until_there()
                push(client, 3)
                cloud.wait(lambda acker: acker.readings == 3)
                assert agent.text == ""
        finally:
            broker.kill()

    def test_a_broker_of_another_authority_is_not_trusted(
        self, tmp_path: Path, authority: Path, client: SocketClient
    ) -> None:
        other = tmp_path / "other"
        make_authority(other)
        broker = Mosquitto(tmp_path / "mosquitto", "allow_anonymous true\n" + self.tls(authority))
        broker.start()
        settings = f'tls = true\nca = "{other / "ca.crt"}"\npassword = "right"'
        try:
            with agent_process(write_config(tmp_path, broker.port, broker=settings)) as agent:
                client.wait_until_there()
                push(client, 1)
                wait_for_text(agent, "is [broker] ca its issuer")
                assert pending(client)() == 1
        finally:
            broker.kill()


def test_the_period_of_a_certificate_is_checked_once_the_time_is_known(tmp_path: Path) -> None:
    """A station in 1970 must be able to reach the cloud that tells it the time; any other checks everything."""
    from edge.config import BrokerSection
    from edge.link import tls_context

    make_authority(tmp_path)
    broker = BrokerSection(host="localhost", tls=True, ca=tmp_path / "ca.crt")
    no_check_time = 0x200000
    known, unknown = tls_context(broker, clock_known=True), tls_context(broker, clock_known=False)
    assert known
    assert unknown
    assert not known.verify_flags & no_check_time
    assert unknown.verify_flags & no_check_time
    for context in (known, unknown):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


async def test_where_ntp_is_blocked_the_cloud_tells_the_time_before_any_reading_goes(
    tmp_path: Path, mosquitto: Server, cloud: Acker, client: SocketClient
) -> None:
    """The machine's clock is 200 days slow; readings wait and are corrected to the second."""
    from support.stations import ShiftedClock

    config = write_config(tmp_path, mosquitto.port)
    config.write_text(config.read_text().replace("clock_trusted = true", ""))
    clock = ShiftedClock(-200 * 86_400_000)
    async with agent_here(config, clock=clock, synced=lambda: False):
        await asyncio.to_thread(client.wait_until_there)
        await asyncio.to_thread(push, client, 3)
        true_ms = cloud.now()
        await eventually(lambda: cloud.readings == 3, 30)
        await asyncio.to_thread(push, client, 1, first=10)
        await eventually(lambda: cloud.readings == 4)
    assert all(abs(at - true_ms) < 1000 for (_, at), value in cloud.values.items() if value in {0.0, 1.0, 2.0})
    kinds = [(pack.header.kind, pack.header.clock) for pack in cloud.packs.values()]
    assert kinds[0] == (Kind.DROPPED, ClockQuality.UNSYNCED), "a pack of nothing asked for the time"
    assert kinds[1:] == [(Kind.READING, ClockQuality.CORRECTED)] * 3 + [(Kind.READING, ClockQuality.SYNCED)]
    assert cloud.dropped == 0
