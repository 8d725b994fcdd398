"""The doctor at the service, with the real broker and the real InfluxDB."""

import os
import shutil
import socket

import pytest
from support.certificates import make_authority, make_certificate
from support.cloud import CloudProcess
from support.doctor import around, doctor, look, secured
from support.servers import Influx, free_port
from support.small_disk import small_disk

from cloud.db import Database
from cloud.fleet.registry import Registry
from sensing.station import StationRecord
from sensing.topic import StationId

SQLITE = 'type = "sqlite"\npath = "readings.db"'


def write_config(
    folder, broker, *, store=SQLITE, more="", http="port = 0", journal='path = "arrival.db"', **tables
):
    """A service's file beside a broker with passwords; ``broker=None``: nobody listens there."""
    port, password = (free_port(), "x") if broker is None else (broker.port, broker.password("hinomi-cloud"))
    sign_in = tables.get("sign_in", f'username = "hinomi-cloud"\npassword = "{password}"')
    path = folder / "cloud.toml"
    path.write_text(
        f"""[broker]
port = {port}
{sign_in}
[journal]
cap_mb = 1
station_cap_mb = 1
{journal}
[database]
url = "sqlite:///{folder}/hinomi.db"
[store]
{store}
[http]
{http}
{more}
"""
    )
    return path


@pytest.fixture
def broker(tmp_path):
    with secured(tmp_path / "broker") as server:
        yield server


def files_of(broker) -> str:
    return f'[broker_files]\npasswords = "{broker.files.passwords}"\nacl = "{broker.files.acl}"'


def register(folder) -> None:
    database = Database(f"sqlite:///{folder}/hinomi.db")
    Registry(database).add(StationRecord(StationId("town", "bridge")), None, 0)
    database.close()


async def test_a_service_in_order_will_work(tmp_path, broker):
    register(tmp_path)
    found = await look(write_config(tmp_path, broker, more=files_of(broker)))
    assert {what: finding.verdict for what, finding in found.items()} == {
        "configuration": "ok",
        "clock": "ok",
        "journal": "ok",
        "database": "ok",
        "store": "ok",
        "broker": "ok",
        "live page": "ok",
        "broker files": "ok",
    }
    assert found["database"].words == "1 station registered"
    assert found["broker"].words == "127.0.0.1 lets hinomi-cloud in"


async def test_before_the_first_start_it_makes_no_file_that_would_be_anothers(tmp_path, broker):
    config = write_config(tmp_path, broker)
    before = sorted(tmp_path.iterdir())
    found = await look(config)
    assert sorted(tmp_path.iterdir()) == before
    assert found["database"].verdict == "look"
    assert "hinomi station add" in found["database"].words
    assert found["store"].words.endswith("readings.db is made at the first start")


async def test_a_database_without_stations(tmp_path, broker):
    Database(f"sqlite:///{tmp_path}/hinomi.db").close()
    finding = (await look(write_config(tmp_path, broker)))["database"]
    assert finding.verdict == "look"
    assert finding.words == "no station is registered: hinomi station add COMMUNITY/STATION"


async def test_what_is_no_database(tmp_path, broker):
    (tmp_path / "hinomi.db").write_bytes(b"not a database " * 100)
    finding = (await look(write_config(tmp_path, broker)))["database"]
    assert finding.verdict == "fail"
    assert "move it aside" in finding.words


async def test_a_missing_folder(tmp_path, broker):
    config = write_config(tmp_path, broker)
    config.write_text(config.read_text().replace(f"sqlite:///{tmp_path}/", f"sqlite:///{tmp_path}/nowhere/"))
    finding = (await look(config))["database"]
    assert finding.verdict == "fail"
    assert f"the folder {tmp_path}/nowhere cannot be used" in finding.words


async def test_influxdb_that_runs_and_that_does_not(tmp_path, broker, influx):
    up = write_config(tmp_path, broker, store=f'type = "influx1"\nurl = "{influx.url}"')
    assert (await look(up))["store"].words == "the influx1 store answers and takes what is written"
    url = f"http://127.0.0.1:{free_port()}"
    down = write_config(tmp_path, broker, store=f'type = "influx1"\nurl = "{url}"')
    finding = (await look(down))["store"]
    assert finding.verdict == "fail"
    assert finding.words.startswith(f"the store at {url} does not answer")
    assert finding.words.endswith("is it running, is [store] url right?")


async def test_influxdb_of_another_version(tmp_path, broker, influx):
    store = f'type = "influx2"\nurl = "{influx.url}"\ntoken = "t"\norg = "hinomi"'
    finding = (await look(write_config(tmp_path, broker, store=store)))["store"]
    assert finding.verdict == "fail"
    assert "is InfluxDB 1." in finding.words
    assert "'influx2' is for 2.x" in finding.words


class WithPasswords(Influx):
    def command(self):
        command = super().command()
        path = self.folder / "influxdb.conf"
        path.write_text(path.read_text().replace("[http]\n", "[http]\nauth-enabled = true\n"))
        return command


async def test_influxdb_that_wants_another_password(tmp_path, broker):
    server = WithPasswords(tmp_path / "influx")
    server.start()
    try:
        store = f'type = "influx1"\nurl = "{server.url}"\nusername = "hinomi"\npassword = "guessed"'
        finding = (await look(write_config(tmp_path, broker, store=store)))["store"]
    finally:
        server.kill()
    assert finding.verdict == "fail"
    assert "store.password" in finding.words
    assert "guessed" not in finding.words


async def test_a_wrong_password_at_the_broker(tmp_path, broker):
    config = write_config(tmp_path, broker, sign_in='username = "hinomi-cloud"\npassword = "guessed"')
    finding = (await look(config))["broker"]
    assert finding.verdict == "fail"
    assert "refuses 'hinomi-cloud'" in finding.words
    assert "systemctl reload mosquitto" in finding.words
    assert "guessed" not in finding.words


async def test_no_broker(tmp_path):
    finding = (await look(write_config(tmp_path, None)))["broker"]
    assert finding.verdict == "fail"
    assert "systemctl status mosquitto" in finding.words


@pytest.mark.parametrize(
    ("tls", "verdict", "words"),
    [
        ('tls = true\nca = "right/ca.crt"', "ok", "lets hinomi-cloud in"),
        ('tls = true\nca = "wrong/ca.crt"', "fail", "is [broker] ca its issuer"),
        ("tls = false", "fail", "does this port want TLS"),
        ('tls = true\nca = "server.key"', "fail", "no usable file of authorities"),
    ],
    ids=["right authority", "wrong authority", "no TLS", "not an authority"],
)
async def test_tls(tmp_path, tls, verdict, words):
    make_authority(tmp_path / "right")
    make_authority(tmp_path / "wrong")
    certificate, key = make_certificate(tmp_path / "right", "server", "localhost")
    shutil.copy(key, tmp_path / "server.key")
    with secured(tmp_path / "broker", f"certfile {certificate}\nkeyfile {key}\n") as server:
        config = write_config(tmp_path, server)
        config.write_text(config.read_text().replace("[broker]\n", f"[broker]\n{tls}\n"))
        finding = (await look(config))["broker"]
    assert finding.verdict == verdict, finding.words
    assert words in finding.words


async def test_a_port_that_somebody_else_has(tmp_path, broker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        finding = (await look(write_config(tmp_path, broker, http=f"port = {port}")))["live page"]
    assert finding.verdict == "fail"
    assert (
        f"127.0.0.1:{port} cannot be had: Address already in use (who: sudo ss -ltnp sport = :{port})"
        in finding.words
    )
    assert "give [http] another port" in finding.words


async def test_an_address_that_this_machine_has_not(tmp_path, broker):
    finding = (await look(write_config(tmp_path, broker, http='host = "192.0.2.1"')))["live page"]
    assert finding.verdict == "fail"
    assert "Cannot assign requested address" in finding.words


async def test_a_full_disk(tmp_path, broker):
    with small_disk(tmp_path, "40m") as disk:
        config = write_config(tmp_path, broker, journal=f'path = "{disk.path}/arrival.db"')
        text = config.read_text()
        assert (await look(config))["journal"].verdict == "ok"
        config.write_text(text.replace("cap_mb = 1\nst", "cap_mb = 500\nst"))
        finding = (await look(config))["journal"]
        assert finding.verdict == "look"
        assert "lower [journal] cap_mb" in finding.words
        disk.fill(leave=1 << 20)
        assert (await look(config))["journal"].verdict == "fail"


async def test_a_clock_in_1970(tmp_path, broker):
    finding = (await look(write_config(tmp_path, broker), around(7_000, synced=False)))["clock"]
    assert finding.verdict == "fail"
    assert "older than this software" in finding.words


async def test_broker_files_that_nobody_configured_or_wrote(tmp_path, broker):
    assert "cannot let stations in" in (await look(write_config(tmp_path, broker)))["broker files"].words
    more = f'[broker_files]\npasswords = "{tmp_path}/none"\nacl = "{broker.files.acl}"'
    finding = (await look(write_config(tmp_path, broker, more=more)))["broker files"]
    assert finding.words.startswith(f"{tmp_path}/none: not there")


@pytest.mark.parametrize("store", ["sqlite", "influx"])
async def test_a_running_service_keeps_its_session_and_its_files(tmp_path, broker, influx, store):
    register(tmp_path)
    port = free_port()
    lines = SQLITE if store == "sqlite" else f'type = "influx1"\nurl = "{influx.url}"'
    config = write_config(tmp_path, broker, store=lines, http=f"port = {port}", more=files_of(broker))
    service = CloudProcess(config)
    service.start()
    try:
        for _ in range(3):
            found = await look(config)
        assert {finding.verdict for finding in found.values()} == {"ok"}, found
        assert found["live page"].words == f"the service runs at 127.0.0.1:{port} and is well"
        assert found["arrivals"].words == "0 readings wait for the store"
        assert service.health()["facts"]["connection"] == 1
        broker.kill()
        found = await look(config)
        assert found["broker"].verdict == "fail"
        assert found["live page"].verdict == "fail"
        assert found["live page"].words.startswith("the service runs and says: broker: ")
    finally:
        assert service.stop() == 0
    log = broker.log.read_text()
    assert log.count("as hinomi-cloud.doctor (") == 3
    assert log.count("as hinomi-cloud (") == 1


async def test_what_was_set_aside_is_to_be_looked_at(tmp_path, broker):
    from hinomi.journal.protocol import Refusal
    from hinomi.journal.sqlite import SqliteJournal

    journal = SqliteJournal.open(tmp_path / "arrival.db", cap_bytes=1 << 20, new_stream=lambda: "s")
    journal.append([], refusals=[Refusal("wrong_unit", "[0].u", "town/bridge", b"{}", 0)])
    journal.close()
    finding = (await look(write_config(tmp_path, broker)))["quarantine"]
    assert finding.verdict == "look"
    assert "1 packs were set aside; why: hinomi cloud quarantine list" in finding.words


async def test_the_command_names_all_faults_at_once_and_ends_with_2(tmp_path):
    config = tmp_path / "cloud.toml"
    config.write_text(
        '[brokre]\n[journal]\npath = "no/where.db"\ncap_mb = 0\n[database]\nurl = ""\n[http]\nport = 70000\n'
    )
    code, said = await doctor(config)
    assert code == 2
    for fault in (
        "brokre: is not a setting; did you mean 'broker'?",
        "journal.cap_mb",
        "database.url",
        "http.port",
        "store",
    ):
        assert fault in said, said
    assert "Traceback" not in said


async def test_a_file_that_is_neither(tmp_path):
    (tmp_path / "x.toml").write_text("a = 1")
    code, said = await doctor(tmp_path / "x.toml")
    assert code == 2
    assert "has neither [station]" in said
    code, said = await doctor(tmp_path / "none.toml")
    assert code == 2
    assert "cannot be read: No such file" in said


async def test_the_command_with_something_wrong_ends_with_2_and_with_nothing_wrong_with_0(tmp_path, broker):
    register(tmp_path)
    code, said = await doctor(write_config(tmp_path, broker))
    assert code == 0, said
    code, said = await doctor(write_config(tmp_path, None))
    assert code == 2
    assert said.count("FAIL  ") == 1
    assert said.endswith("Something has to be put right: FAIL.\n")


async def test_root_is_told_whose_files_these_are(tmp_path, broker):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    state = tmp_path / "state"
    state.mkdir()
    shutil.chown(state, 1, 1)
    found = await look(write_config(tmp_path, broker, journal=f'path = "{state}/arrival.db"'))
    assert found["user"].verdict == "look"
    assert "sudo -u daemon hinomi doctor" in found["user"].words
