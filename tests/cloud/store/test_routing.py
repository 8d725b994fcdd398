"""What is personal goes to the relational database, and nothing personal anywhere else."""

from collections.abc import AsyncIterator

import pytest
from support.observations import HOUR, ramp, stream
from support.stores import store_fixture

from cloud.store.protocol import Bucket
from cloud.store.routing import RoutedStore
from sensing.observation import Datastream, Observation
from sensing.quantity import QUANTITIES

T0 = 1_700_000_000_000
PERSONAL = [name for name, quantity in QUANTITIES.items() if quantity.personal]


@pytest.fixture
async def store(request, tmp_path) -> AsyncIterator[RoutedStore]:
    async with (
        store_fixture("sqlite", request, tmp_path) as public,
        store_fixture("personal", request, tmp_path) as personal,
    ):
        yield RoutedStore(public.store, personal.store)


def of(quantity: str, value: float = 1.0) -> Observation:
    return Observation(Datastream("town", "house", "x", quantity), T0, value)


def test_watch_over_is_personal():
    assert {"motion", "door_open"} <= set(PERSONAL)


async def test_every_quantity_goes_to_its_own_side_and_to_no_other(store):
    assert await store.write([of(name) for name in QUANTITIES]) == []
    assert await store.personal.count("town") == len(PERSONAL)
    assert await store.public.count("town") == len(QUANTITIES) - len(PERSONAL)
    for name in QUANTITIES:
        d = Datastream("town", "house", "x", name)
        here, there = (store.personal, store.public) if name in PERSONAL else (store.public, store.personal)
        assert await here.series(d, T0, T0 + 1, 1) == [Bucket(T0, 1.0, 1.0, 1.0, 1)]
        assert await there.series(d, T0, T0 + 1, 1) == []
        assert await store.series(d, T0, T0 + 1, 1) == [Bucket(T0, 1.0, 1.0, 1.0, 1)]


async def test_pages_and_dashboards_see_the_public_side_only(store):
    await store.write([of(name) for name in QUANTITIES])
    assert not {row.datastream.quantity for row in await store.latest("town")} & set(PERSONAL)
    assert await store.count("town") == len(QUANTITIES) - len(PERSONAL)


async def test_a_quantity_nobody_knows_might_be_personal_and_is_stored_nowhere(store):
    unknown, good = of("heartbeat"), of("temperature")
    (refused,) = await store.write([unknown, good])
    assert (refused.observation, refused.reason) == (unknown, "unknown_quantity")
    assert await store.public.count("town") == 1
    assert await store.personal.count("town") == 0


async def test_erasing_reaches_both_sides(store):
    await store.write([of("temperature"), of("motion"), *ramp(stream(), T0, 5)])
    await store.erase("town", station="house")
    assert (await store.public.count("town"), await store.personal.count("town")) == (5, 0)
    await store.write([of("motion")])
    await store.erase("town", before=T0 + HOUR)
    assert (await store.public.count("town"), await store.personal.count("town")) == (0, 0)
