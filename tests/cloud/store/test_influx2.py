"""InfluxDB 2.x and 3.x: what is sent, and what each answer is taken for. The server is a stand-in on loopback."""

import json
import os
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from support.influx_stand_in import ORG, TOKEN, StandIn, said, stand_in
from support.observations import DAY, HOUR, ramp, stream
from support.servers import http_get

from cloud.store import influx2
from cloud.store.influx import InfluxStore
from hinomi.clock import SystemClock
from hinomi.config import Secret
from hinomi.errors import ConfigError, Rejected, Transient
from sensing import series
from sensing.observation import Observation

T0 = (time.time_ns() // 1_000_000 - DAY) // DAY * DAY


@pytest.fixture
async def two(influx) -> AsyncIterator[StandIn]:
    async with stand_in(influx.url, "2") as server:
        yield server


@pytest.fixture
async def three(influx) -> AsyncIterator[StandIn]:
    async with stand_in(influx.url, "3") as server:
        yield server


@pytest.fixture
async def store(two: StandIn) -> AsyncIterator[InfluxStore]:
    store = await influx2.Config(type="influx2", url=two.url, token=Secret(TOKEN), org=ORG).open(SystemClock())
    yield store
    await store.close()


@pytest.fixture
async def store3(three: StandIn) -> AsyncIterator[InfluxStore]:
    store = await influx2.Config3(type="influx3", url=three.url, token=Secret(TOKEN)).open(SystemClock())
    yield store
    await store.close()


@pytest.fixture
def town() -> str:
    return f"town-{uuid.uuid4().hex[:8]}"


async def test_a_write_is_line_protocol_with_milliseconds_bucket_and_token(two, store, town):
    await store.write([Observation(stream(community=town), T0, 2.5, flags=4, seq=9)])
    method, path, query, body = two.requests[-1]
    assert (method, path) == ("POST", "/api/v2/write")
    assert query == {"org": ORG, "bucket": f"hinomi_{town}", "precision": "ms"}
    line = f"water_level,community={town},sensor=gauge,station=bridge value=2.5,flags=4i,seq=9i {T0}"
    assert body == line
    assert two.headers[-1]["Authorization"] == f"Token {TOKEN}"


async def test_the_first_write_makes_the_bucket_with_its_retention(two, store, town):
    await store.write(ramp(stream(community=town), T0, 3))
    assert two.paths == [
        "POST /api/v2/write",
        "GET /api/v2/orgs",
        "POST /api/v2/buckets",
        "POST /api/v2/write",
    ]
    wanted = json.loads(two.requests[2][3])
    assert wanted["retentionRules"] == [{"type": "expire", "everySeconds": 90 * 86400}]
    await store.write(ramp(stream(community=town), T0, 3))
    assert two.paths[4:] == ["POST /api/v2/write"]


async def test_another_organisation_than_the_tokens_is_said_plainly(two, town):
    config = influx2.Config(type="influx2", url=two.url, token=Secret(TOKEN), org="elsewhere")
    store = await config.open(SystemClock())
    with pytest.raises(Transient, match="elsewhere"):
        await store.write(ramp(stream(community=town), T0, 1))
    await store.close()


async def test_points_refused_with_422_or_400_are_found_one_by_one(influx, two, store, town):
    """A bucket whose pm10 began as whole numbers, as in 1.x; 2.x says 422."""
    from urllib.request import urlopen

    await store.write(ramp(stream(community=town), T0, 1))
    line = f"pm10,community={town},sensor=x,station=other value=1i {T0}".encode()
    urlopen(f"{influx.url}/write?db={series.database(town)}&precision=ms", line).close()
    bad = ramp(stream("school", "pm10", "air", town), T0, 2)
    good = ramp(stream(community=town), T0, 200)
    refused = await store.write([*good[:90], *bad, *good[90:]])
    assert {id(r.observation) for r in refused} == {id(o) for o in bad}
    assert {r.reason for r in refused} == {"type_conflict"}
    assert await store.count(town) == 201


@pytest.mark.parametrize(
    ("answer", "seconds", "words"),
    [
        (
            said(429, {"code": "too many requests", "message": "slow down"}, **{"Retry-After": "17"}),
            17.0,
            "slow down",
        ),
        (said(503, {"code": "unavailable", "message": "busy"}, **{"Retry-After": "3"}), 3.0, "busy"),
        (said(503, {"message": "busy"}, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), None, "busy"),
        (
            said(500, {"code": "internal error", "message": "engine: no space left on device"}),
            None,
            "no space left",
        ),
        (said(401, {"code": "unauthorized", "message": "unauthorized access"}), None, "credentials"),
        (said(403, {"code": "forbidden", "message": "insufficient permissions"}), None, "credentials"),
        (web.Response(status=400, text="<html>Bad Request</html>", content_type="text/html"), None, "400"),
        (web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html"), None, "502"),
    ],
)
async def test_what_is_nobodys_fault_is_tried_again_and_no_point_is_given_up(
    two, store, town, answer, seconds, words
):
    """A proxy's own 400 above all: it says nothing about our lines."""
    await store.write(ramp(stream(community=town), T0, 1))
    two.next_answers = [answer]
    with pytest.raises(Transient, match=words) as caught:
        await store.write(ramp(stream(community=town), T0, 5))
    assert caught.value.retry_after == seconds
    assert await store.write(ramp(stream(community=town), T0, 5)) == []


async def test_a_request_too_large_for_the_server_is_sent_in_parts(two, store, town):
    await store.write(ramp(stream(community=town), T0, 1))
    two.next_answers = [said(413, {"code": "request too large", "message": "too large"}) for _ in range(2)]
    assert await store.write(ramp(stream(community=town), T0, 100)) == []
    assert await store.count(town) == 100


async def test_erasing_is_a_predicate_and_a_time(two, store, town):
    await store.write(ramp(stream(community=town), T0, 3))
    await store.erase(town, station="bridge", before=T0 + 1234)
    body = json.loads(two.requests[-1][3])
    assert body["predicate"] == 'station="bridge"'
    assert body["start"] == "1970-01-01T00:00:00Z"
    assert body["stop"].endswith(":01.233999999Z")
    await store.erase(town)
    assert json.loads(two.requests[-1][3])["predicate"] == ""


async def test_a_server_that_lists_no_series_is_asked_for_all_of_the_past(two, store, town):
    now = SystemClock().now()
    d, silent = stream(community=town), stream("silent", community=town)
    await store.write([*ramp(d, now - HOUR, 3), *ramp(silent, now - 40 * DAY, 3)])
    two.lists_series = False
    fresh = await influx2.Config(type="influx2", url=two.url, token=Secret(TOKEN), org=ORG).open(SystemClock())
    assert [row.datastream for row in await fresh.latest(town)] == [d, silent]
    await fresh.close()


async def test_version_and_credentials_are_checked_in_plain_words(two, three):
    good = await influx2.Config(type="influx2", url=two.url, token=Secret(TOKEN), org=ORG).open(SystemClock())
    await good.check()
    await good.close()
    newer = await influx2.Config(type="influx2", url=three.url, token=Secret(TOKEN), org=ORG).open(SystemClock())
    with pytest.raises(ConfigError, match=r"is InfluxDB 3\.7\.4"):
        await newer.check()
    await newer.close()
    wrong = await influx2.Config(type="influx2", url=two.url, token=Secret("no"), org=ORG).open(SystemClock())
    with pytest.raises(ConfigError, match=r"store\.token"):
        await wrong.check()
    await wrong.close()


async def test_a_server_that_is_not_there_is_transient(town):
    config = influx2.Config(type="influx2", url="http://127.0.0.1:9", token=Secret(TOKEN), org=ORG)
    store = await config.open(SystemClock())
    for call in (store.write(ramp(stream(), T0, 1)), store.latest(town), store.erase(town), store.check()):
        with pytest.raises(Transient, match=r"127\.0\.0\.1:9") as caught:
            await call
        assert TOKEN not in str(caught.value)
    await store.close()


async def test_three_writes_and_reads_what_is_recent(three, store3, town):
    """3.x Core reaches back about 72 hours: older readings are there and not asked for."""
    now = SystemClock().now()
    d, silent = stream(community=town), stream("silent", community=town)
    assert await store3.write([*ramp(d, now - HOUR, 30), *ramp(silent, now - 5 * DAY, 3)]) == []
    assert [path for path in three.paths if "buckets" in path] == []
    assert len(await store3.latest(town)) == 2, "in memory, since written in this process"
    fresh = await influx2.Config3(type="influx3", url=three.url, token=Secret(TOKEN)).open(SystemClock())
    assert [row.datastream for row in await fresh.latest(town)] == [d]
    found = await fresh.series(d, now - 10 * DAY, now, HOUR)
    assert sum(bucket.count for bucket in found) == 30
    asked = three.requests[-1][2]["q"]
    start = int(asked.split("time >= ")[1].split("ms")[0])
    assert now - start < influx2.REACH_3_MS + 60_000
    assert await fresh.series(d, now - 10 * DAY, now - 9 * DAY, HOUR) == []
    assert not any("SHOW SERIES" in query.get("q", "") for _, _, query, _ in three.requests)
    await fresh.close()


async def test_three_says_clearly_what_it_cannot_do(store3, town):
    for call in (store3.erase(town), store3.erase(town, station="bridge"), store3.count(town)):
        with pytest.raises(Rejected, match="not_supported"):
            await call


async def test_three_refuses_in_its_own_words(influx, three, store3, town):
    from urllib.request import urlopen

    await store3.write(ramp(stream(community=town), T0, 1))
    line = f"pm10,community={town},sensor=x,station=other value=1i {T0}".encode()
    urlopen(f"{influx.url}/write?db={series.database(town)}&precision=ms", line).close()
    (refused,) = await store3.write(
        [*ramp(stream(community=town), T0, 9), Observation(stream("school", "pm10", "air", town), T0, 1.5)]
    )
    assert refused.reason == "type_conflict"
    assert "partial write of line protocol occurred" in refused.detail


async def test_good_writes_of_influxdb_client_arrive_at_a_server_that_is_not_ours(victoria, town):
    """VictoriaMetrics takes /api/v2/write; what it exports is what was measured."""
    config = influx2.Config(type="influx2", url=victoria.url, token=Secret(TOKEN), org=ORG, gzip=True)
    store = await config.open(SystemClock())
    batch = ramp(stream(community=town), T0, 500)
    assert await store.write(batch) == []
    await store.close()
    http_get(f"{victoria.url}/internal/force_flush")
    found = []
    for text in http_get(
        f'{victoria.url}/api/v1/export?match[]=water_level_value{{community="{town}"}}'
    ).splitlines():
        row = json.loads(text)
        assert row["metric"]["station"] == "bridge"
        assert row["metric"]["sensor"] == "gauge"
        found += zip(row["timestamps"], row["values"], strict=True)
    assert sorted(found) == [(o.measured_at, o.value) for o in batch]


if "HINOMI_INFLUX3_URL" in os.environ:  # see docs/unverified.md

    async def test_a_real_three_takes_writes_and_answers_for_what_is_recent(town):
        token = Secret(os.environ.get("HINOMI_INFLUX3_TOKEN", ""))
        config = influx2.Config3(type="influx3", url=os.environ["HINOMI_INFLUX3_URL"], token=token)
        store = await config.open(SystemClock())
        await store.check()
        now, d = SystemClock().now(), stream(community=town)
        batch = ramp(d, now - HOUR, 30)
        assert await store.write(batch) == []
        await store.close()
        store = await config.open(SystemClock())
        assert [(row.datastream, row.measured_at) for row in await store.latest(town)] == [
            (d, batch[-1].measured_at)
        ]
        found = await store.series(d, now - 2 * HOUR, now, HOUR)
        assert sum(bucket.count for bucket in found) == 30
        await store.close()
