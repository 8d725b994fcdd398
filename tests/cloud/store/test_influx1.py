"""InfluxDB 1.6.7, the real one: what it refuses, how it fails, what it is asked on the way."""

import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from support.observations import DAY, MINUTE, ramp, stream
from support.servers import Influx

from cloud.store import influx1
from cloud.store.influx import MAX_LINES, InfluxStore
from hinomi.clock import SystemClock
from hinomi.config import Secret
from hinomi.errors import ConfigError, Transient
from sensing import series
from sensing.observation import Observation

T0 = (time.time_ns() // 1_000_000 - DAY) // DAY * DAY


def config(server: Influx, **more) -> influx1.Config:
    return influx1.Config(type="influx1", url=server.url, **more)


@pytest.fixture
async def store(influx: Influx) -> AsyncIterator[InfluxStore]:
    store = await config(influx).open(SystemClock())
    yield store
    await store.close()


@pytest.fixture
def town() -> str:
    return f"town-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def private(tmp_path) -> Iterator[Influx]:
    """A server of this test alone, not yet started."""
    server = Influx(tmp_path / "influx")
    yield server
    server.kill()


def post(server: Influx, path: str, **form: str) -> str:
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{server.url}{path}", data, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def poison(server: Influx, town: str, quantity: str, at: int) -> None:
    """Somebody else wrote whole numbers into this measurement: from now on its floats are refused."""
    post(server, "/query", q=series.create_query(series.database(town), 90))
    body = f"{quantity},community={town},sensor=x,station=other value=1i {at}".encode()
    url = f"{server.url}/write?db={series.database(town)}&precision=ms"
    with urllib.request.urlopen(url, body, timeout=10) as answer:
        assert answer.status == 204


async def test_the_guilty_lines_are_found_and_all_others_are_stored(influx, store, town):
    poison(influx, town, "pm10", T0)
    good = [o for i in range(40) for o in ramp(stream(f"s{i}", community=town), T0, 100)]
    bad = ramp(stream("school", "pm10", "air", town), T0, 3)
    batch = [*good[:1500], bad[0], *good[1500:2900], bad[1], bad[2], *good[2900:]]
    refused = await store.write(batch)
    assert {id(r.observation) for r in refused} == {id(o) for o in bad}
    assert {r.reason for r in refused} == {"type_conflict"}
    assert all('input field "value" on measurement "pm10" is type float' in r.detail for r in refused)
    assert await store.count(town) == len(good) + 1  # and the stranger's own
    assert len(await store.latest(town)) == 40 + 1


async def test_finding_the_guilty_costs_few_requests(influx, store, town):
    poison(influx, town, "pm10", T0)
    good = [o for i in range(20) for o in ramp(stream(f"s{i}", community=town), T0, 200)]
    bad = ramp(stream("school", "pm10", "air", town), T0, 10)
    for index, o in enumerate(bad):
        good.insert(index * 397, o)
    store.requests = 0
    assert len(await store.write(good)) == 10
    assert store.requests < 60


async def test_a_batch_of_nothing_but_guilty_lines_comes_to_an_end(influx, store, town):
    poison(influx, town, "pm10", T0)
    bad = ramp(stream("school", "pm10", "air", town), T0, 50)
    refused = await store.write(bad)
    assert [r.observation for r in refused] == bad


async def test_what_is_older_than_the_database_keeps_is_refused_without_asking_it(influx, store, town):
    d = stream(community=town)
    store.requests = 0
    refused = await store.write([Observation(d, T0 - 100 * DAY, 1.0), Observation(d, T0, 2.0)])
    assert [(r.reason, r.observation.value) for r in refused] == [("beyond_retention", 1.0)]
    assert store.requests == 1


async def test_a_database_of_its_own_is_made_with_the_configured_retention(influx, town):
    store = await config(influx, retention_days=14).open(SystemClock())
    await store.write(ramp(stream(community=town), T0, 1))
    assert "336h0m0s" in post(influx, "/query", q=f'SHOW RETENTION POLICIES ON "{series.database(town)}"')
    await store.close()
    store = await config(influx, retention_days=30).open(SystemClock())
    await store.write(ramp(stream(community=town), T0, 1))
    assert await store.expire(T0 - 30 * DAY) == 0
    assert "720h0m0s" in post(influx, "/query", q=f'SHOW RETENTION POLICIES ON "{series.database(town)}"')
    await store.close()


async def test_a_database_dropped_under_us_is_made_again(influx, store, town):
    d = stream(community=town)
    await store.write(ramp(d, T0, 5))
    post(influx, "/query", q=f'DROP DATABASE "{series.database(town)}"')
    assert await store.write(ramp(d, T0, 7)) == []
    assert await store.count(town) == 7


async def test_compressed_requests_store_the_same(influx, town):
    store = await config(influx, gzip=True).open(SystemClock())
    assert await store.write(ramp(stream(community=town), T0, 500)) == []
    assert await store.count(town) == 500
    await store.close()


async def test_a_request_is_bounded_in_lines_and_bytes(influx, store, town):
    store.requests = 0
    await store.write(ramp(stream(community=town), T0, MAX_LINES + 1, step=1000))
    assert store.requests == 2
    wide = stream("s" * 400, community=town, sensor="x" * 400)
    store.requests = 0
    await store.write(ramp(wide, T0, 3000))
    assert store.requests == 4
    assert await store.count(town) == MAX_LINES + 1 + 3000


async def test_after_a_restart_the_newest_are_found_without_reading_the_history(influx, town, monkeypatch):
    """The long silent is looked for among its own measurement and station only."""
    store = await config(influx).open(SystemClock())
    now = SystemClock().now()
    await store.write([o for i in range(20) for o in ramp(stream(f"s{i}", community=town), now - 30 * MINUTE, 30)])
    silent = stream("silent", "temperature", "air", town)
    await store.write(ramp(silent, now - 50 * DAY, 3))
    await store.close()
    store = await config(influx).open(SystemClock())
    asked: list[str] = []
    query = store._transport.query

    async def listening(database, text):
        asked.append(text)
        return await query(database, text)

    monkeypatch.setattr(store._transport, "query", listening)
    rows = await store.latest(town)
    assert len(rows) == 21
    assert {row.datastream: row.measured_at for row in rows}[silent] == now - 50 * DAY + 2 * MINUTE
    assert "silent" in asked[-1]
    assert "/.*/" not in asked[-1]
    count = len(asked)
    await store.latest(town)
    assert len(asked) == count
    await store.close()


async def test_what_is_written_while_the_newest_are_looked_for_is_not_overwritten(influx, store, town, monkeypatch):
    d, now = stream(community=town), SystemClock().now()
    await store.write([Observation(d, now, 1.0)])
    second = await config(influx).open(SystemClock())
    query = second._transport.query

    async def slow(database, text):
        answer = await query(database, text)
        if "SELECT" in text:
            await second.write([Observation(d, now, 2.0)])
        return answer

    monkeypatch.setattr(second._transport, "query", slow)
    assert [row.value for row in await second.latest(town)] == [2.0]
    await second.close()


async def test_a_server_that_is_not_there_is_transient(private):
    store = await config(private).open(SystemClock())
    for call in (
        store.write(ramp(stream(), T0, 1)),
        store.latest("town"),
        store.series(stream(), 0, 1, 1),
        store.count("town"),
        store.erase("town"),
        store.check(),
    ):
        with pytest.raises(Transient, match=f"127.0.0.1:{private.port}"):
            await call
    await store.close()


async def test_a_transient_failure_leaves_the_newest_as_it_was(private):
    private.start()
    store = await config(private).open(SystemClock())
    d = stream()
    await store.write([Observation(d, T0, 1.0)])
    assert [row.value for row in await store.latest("town")] == [1.0]
    private.kill()
    with pytest.raises(Transient):
        await store.write([Observation(d, T0 + 1, 2.0)])
    assert [row.value for row in await store.latest("town")] == [1.0]
    private.start()
    assert await store.write([Observation(d, T0 + 1, 2.0)]) == []
    assert [row.value for row in await store.latest("town")] == [2.0]
    await store.close()


class Guarded(Influx):
    """With users and passwords."""

    def command(self) -> list[str]:
        command = super().command()
        path = self.folder / "influxdb.conf"
        path.write_text(path.read_text() + "auth-enabled = true\n")
        return command


@pytest.fixture
def guarded(tmp_path) -> Iterator[Influx]:
    server = Guarded(tmp_path / "influx")
    server.start()
    yield server
    server.kill()


async def test_a_wrong_password_is_said_plainly_and_costs_no_data(guarded):
    post(guarded, "/query", q="CREATE USER hinomi WITH PASSWORD 'right' WITH ALL PRIVILEGES")
    wrong = await config(guarded, username="hinomi", password=Secret("wrong")).open(SystemClock())
    with pytest.raises(ConfigError, match=r"store\.password"):
        await wrong.check()
    with pytest.raises(Transient, match="credentials"):
        await wrong.write(ramp(stream(), T0, 3))
    with pytest.raises(Transient, match="credentials"):
        await wrong.latest("town")
    await wrong.close()
    right = await config(guarded, username="hinomi", password=Secret("right")).open(SystemClock())
    await right.check()
    assert await right.write(ramp(stream(), T0, 3)) == []
    assert await right.count("town") == 3
    await right.close()


async def test_a_server_of_another_kind_is_a_fault_of_the_configuration(victoria):
    store = await influx1.Config(type="influx1", url=victoria.url).open(SystemClock())
    with pytest.raises(ConfigError, match=r"1\.x"):
        await store.check()
    await store.close()


async def test_the_right_server_is_taken(influx, store):
    await store.check()
