"""One suite for every store: what ``cloud.store.protocol.Store`` promises, on the real databases."""

import math
import random
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from support.observations import DAY, HOUR, MINUTE, Model, ramp, rounded, stream
from support.stores import KINDS, StoreFixture, store_fixture

from cloud.store.protocol import Bucket, Latest, Store
from hinomi.errors import Rejected
from sensing.observation import Datastream, Observation

# InfluxDB keeps 90 days: tests speak of yesterday.
T0 = (time.time_ns() // 1_000_000 - 2 * DAY) // DAY * DAY


@pytest.fixture(params=KINDS)
async def kind(request, tmp_path) -> AsyncIterator[StoreFixture]:
    async with store_fixture(request.param, request, tmp_path) as fixture:
        yield fixture


@pytest.fixture
def store(kind: StoreFixture) -> Store:
    return kind.store


@pytest.fixture
def town() -> str:
    """A community of this test alone: the InfluxDB server is shared."""
    return f"town-{uuid.uuid4().hex[:8]}"


async def test_what_was_written_is_read_back_exactly(store, town):
    d = stream(community=town)
    awkward = [0.1 + 0.2, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 3.0, -273.15, 1e15 + 0.5]
    for index, value in enumerate(awkward):
        assert await store.write([Observation(d, T0 + index, value, flags=index, seq=index)]) == []
        assert await store.latest(town) == [Latest(d, T0 + index, value, index)]
    assert await store.count(town) == len(awkward)


async def test_nothing_is_no_work(store, town):
    assert await store.write([]) == []
    assert await store.latest(town) == []
    assert await store.count(town) == 0
    assert await store.series(stream(community=town), T0, T0 + DAY, HOUR) == []
    await store.erase(town)
    await store.erase(town, station="bridge", before=T0)


async def test_the_same_key_again_replaces_the_row(store, town):
    d = stream(community=town)
    batch = ramp(d, T0, 100)
    await store.write(batch)
    await store.write(list(reversed(batch)))
    assert await store.count(town) == 100
    await store.write([Observation(d, T0 + 5 * MINUTE, 1.0, seq=1), Observation(d, T0 + 5 * MINUTE, 77.0, seq=2)])
    assert await store.count(town) == 100
    (bucket,) = await store.series(d, T0 + 5 * MINUTE, T0 + 6 * MINUTE, MINUTE)
    assert bucket == Bucket(T0 + 5 * MINUTE, 77.0, 77.0, 77.0, 1)


async def test_the_newest_stays_the_newest_whatever_comes_in_which_order(store, town):
    d, other = stream(community=town), stream("school", "temperature", "air", town)
    assert await store.latest(town) == []
    await store.write(
        [Observation(d, T0 + 10, 3.0), Observation(d, T0 + 30, 5.0, flags=4), Observation(d, T0 + 20, 4.0)]
    )
    await store.write([Observation(d, T0 + 25, 9.0), Observation(other, T0, 20.5)])
    assert await store.latest(town) == [Latest(d, T0 + 30, 5.0, 4), Latest(other, T0, 20.5, 0)]
    await store.write([Observation(d, T0 + 30, 6.0)])
    assert (await store.latest(town))[0] == Latest(d, T0 + 30, 6.0, 0)


async def test_what_is_true_stays_true_after_a_restart(kind, town):
    old, new = stream("old", community=town), stream("new", community=town)
    await kind.store.write([*ramp(old, T0 - 40 * DAY, 3), *ramp(new, T0, 3)])
    before = await kind.store.latest(town)
    assert [row.datastream.station for row in before] == ["new", "old"]
    store = await kind.reopen()
    assert await store.latest(town) == before
    assert await store.count(town) == 6
    store = await kind.reopen()
    await store.write([Observation(new, T0 + 9 * MINUTE, 9.0), Observation(old, T0 - 60 * DAY, 0.5)])
    assert [(row.measured_at, row.value) for row in await store.latest(town)] == [
        (T0 + 9 * MINUTE, 9.0),
        (T0 - 40 * DAY + 2 * MINUTE, 2.0),
    ]


async def test_communities_are_apart(store, town):
    mine, theirs = stream(community=town), stream(community=f"{town}-2")
    await store.write([*ramp(mine, T0, 3), *ramp(theirs, T0, 5, first=100.0)])
    assert [row.value for row in await store.latest(town)] == [2.0]
    assert [row.value for row in await store.latest(f"{town}-2")] == [104.0]
    assert await store.count(f"{town}-2") == 5
    await store.erase(town)
    assert await store.count(f"{town}-2") == 5
    assert [row.value for row in await store.latest(f"{town}-2")] == [104.0]


async def test_a_series_is_aligned_to_1970_and_half_open(store, town):
    d = stream(community=town)
    await store.write(ramp(d, T0, 30))
    found = await store.series(d, T0 + 7 * MINUTE, T0 + 23 * MINUTE, 10 * MINUTE)
    assert rounded(found) == [
        Bucket(T0, 8.0, 7.0, 9.0, 3),
        Bucket(T0 + 10 * MINUTE, 14.5, 10.0, 19.0, 10),
        Bucket(T0 + 20 * MINUTE, 21.0, 20.0, 22.0, 3),
    ]


async def test_an_empty_step_is_not_made_and_zero_is_not_missing(store, town):
    d = stream(community=town)
    await store.write([Observation(d, T0, 0.0), Observation(d, T0 + 5 * HOUR, -1.0)])
    assert await store.series(d, T0, T0 + 6 * HOUR, HOUR) == [
        Bucket(T0, 0.0, 0.0, 0.0, 1),
        Bucket(T0 + 5 * HOUR, -1.0, -1.0, -1.0, 1),
    ]


async def test_a_series_belongs_to_one_datastream(store, town):
    base = stream(community=town)
    others = [
        stream("school", community=town),
        stream(sensor="second", community=town),
        stream(quantity="water_temperature", community=town),
    ]
    await store.write([Observation(base, T0, 1.0), *(Observation(d, T0, 50.0) for d in others)])
    assert await store.series(base, T0, T0 + 1, 1) == [Bucket(T0, 1.0, 1.0, 1.0, 1)]


@pytest.mark.parametrize(("start", "end", "step"), [(0, 10, 0), (0, 10, -5), (0, 10**13, 1)])
async def test_a_series_nobody_can_draw_is_refused(store, town, start, end, step):
    with pytest.raises(Rejected):
        await store.series(stream(community=town), start, end, step)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"value": math.nan}, "not_finite"),
        ({"value": math.inf}, "not_finite"),
        ({"value": -math.inf}, "not_finite"),
        ({"measured_at": -1}, "bad_time"),
        ({"measured_at": 2**63}, "bad_time"),
        ({"seq": 2**64}, "bad_number"),
        ({"flags": -1}, "bad_number"),
    ],
)
async def test_a_point_no_database_can_hold_is_refused_and_its_neighbours_are_stored(store, town, bad, reason):
    d = stream(community=town)
    good = ramp(d, T0, 10)
    point = Observation(**{"datastream": d, "measured_at": T0 + HOUR, "value": 1.0, **bad})
    (refused,) = await store.write([*good[:5], point, *good[5:]])
    assert refused.observation is point
    assert refused.reason == reason
    assert refused.detail
    assert await store.count(town) == 10
    assert [row.value for row in await store.latest(town)] == [9.0]


async def test_a_batch_larger_than_any_request_is_stored_whole(store, town):
    streams = [stream(f"s{index}", community=town) for index in range(12)]
    batch = [o for d in streams for o in ramp(d, T0, 1100, step=1000)]
    assert await store.write(batch) == []
    assert await store.count(town) == 13_200
    assert len(await store.latest(town)) == 12


async def _filled(store: Store, town: str) -> tuple[Datastream, Datastream]:
    bridge, school = stream(community=town), stream("school", "temperature", "air", town)
    await store.write([*ramp(bridge, T0, 60), *ramp(school, T0, 60)])
    return bridge, school


async def test_erasing_a_community_leaves_nothing_and_it_may_begin_again(kind, town):
    bridge, _ = await _filled(kind.store, town)
    await kind.store.erase(town)
    assert await kind.store.count(town) == 0
    assert await kind.store.latest(town) == []
    store = await kind.reopen()
    assert await store.latest(town) == []
    await store.write([Observation(bridge, T0, 4.0)])
    assert await store.latest(town) == [Latest(bridge, T0, 4.0, 0)]
    assert await store.count(town) == 1


async def test_erasing_a_station_leaves_the_others(kind, town):
    _, school = await _filled(kind.store, town)
    await kind.store.erase(town, station="bridge")
    assert [row.datastream for row in await kind.store.latest(town)] == [school]
    store = await kind.reopen()
    assert await store.count(town) == 60
    assert [row.datastream for row in await store.latest(town)] == [school]


async def test_erasing_the_past_leaves_the_rest(kind, town):
    await _filled(kind.store, town)
    await kind.store.erase(town, before=T0 + 20 * MINUTE)
    assert await kind.store.count(town) == 80
    await kind.store.erase(town, station="bridge", before=T0 + 30 * MINUTE)
    assert await kind.store.count(town) == 70
    assert [row.value for row in await kind.store.latest(town)] == [59.0, 59.0]
    await kind.store.erase(town, station="bridge", before=T0 + 2 * HOUR)
    assert [row.datastream.station for row in await kind.store.latest(town)] == ["school"]
    store = await kind.reopen()
    assert [row.datastream.station for row in await store.latest(town)] == ["school"]


@pytest.mark.parametrize(
    "name", ["x' OR '1'='1", 'x" OR "1"="1', "a,b=c d", "back\\slash", "x\\' OR 1=1 --", "名前", "x\ny value=1 1"]
)
async def test_names_are_data_and_never_commands(store, town, name):
    """Ingest lets no such name through; the store must not depend on that."""
    await _filled(store, town)
    hostile = Datastream(town, name, name, "temperature")
    assert await store.series(hostile, T0, T0 + DAY, HOUR) == []
    await store.erase(town, station=name)
    assert await store.count(town) == 120
    refused = await store.write([Observation(hostile, T0, 7.0)])
    stored = await store.series(hostile, T0, T0 + DAY, DAY)
    assert len(refused) + sum(bucket.count for bucket in stored) == 1
    assert await store.count(town) == 121 - len(refused)


@pytest.mark.parametrize("seed", range(3))
async def test_any_story_ends_as_the_model_says(kind, town, seed):
    """Random writes, rewrites, erasures and restarts; then every answer equals a dictionary's."""
    rng = random.Random(seed)
    streams = [stream(f"s{i % 3}", q, f"x{i}", town) for i in range(3) for q in ("temperature", "humidity")]
    model, store = Model(), kind.store
    for _ in range(12):
        batch = [
            Observation(rng.choice(streams), T0 + rng.randrange(400) * 1000, rng.uniform(-50, 50), rng.randrange(9))
            for _ in range(rng.randrange(60))
        ]
        model.write(batch)
        assert await store.write(batch) == []
        if rng.random() < 0.3:
            where = {"station": rng.choice([None, "s1"]), "before": rng.choice([None, T0 + 100_000])}
            model.erase(town, **where)
            await store.erase(town, **where)
        if rng.random() < 0.2:
            store = await kind.reopen()
    assert await store.count(town) == model.count(town)
    assert await store.latest(town) == model.latest(town)
    for d in streams:
        span = (d, T0 + 3_000, T0 + 390_000, 7_000)
        assert rounded(await store.series(*span)) == rounded(model.series(*span))
