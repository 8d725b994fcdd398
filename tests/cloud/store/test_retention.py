"""Raw readings end after their days, in pieces, and the writer goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from support.observations import DAY, HOUR, ramp, stream
from support.stores import StoreFixture, store_fixture

from cloud.store import sqlite
from cloud.store.retention import SWEEP_S, Sweeper
from cloud.store.section import STORES, store_section
from hinomi.config import Walker
from hinomi.errors import Transient

T0 = 1_700_000_000_000 // DAY * DAY


@pytest.fixture(params=["sqlite", "personal"])
async def kind(request, tmp_path) -> AsyncIterator[StoreFixture]:
    async with store_fixture(request.param, request, tmp_path) as fixture:
        yield fixture


async def test_what_is_older_than_its_days_goes_and_nothing_else(kind, clock):
    store = kind.store
    old, new = stream("old"), stream("new")
    now = clock.now()
    await store.write([*ramp(old, now - 30 * DAY, 10), *ramp(new, now - 9 * DAY, 20 * 24, step=HOUR)])
    sweeper = Sweeper(store, days=7, clock=clock, pace=clock)
    await sweeper.sweep()
    kept = [row for row in ramp(new, now - 9 * DAY, 20 * 24, step=HOUR) if row.measured_at >= now - 7 * DAY]
    assert await store.count("town") == len(kept)
    assert sweeper.deleted == 10 + 20 * 24 - len(kept)
    assert [row.datastream for row in await store.latest("town")] == [new]


async def test_a_sweep_is_made_of_small_transactions(tmp_path, request, monkeypatch, clock):
    monkeypatch.setattr(sqlite, "ERASE_CHUNK", 100)
    sizes = []
    chunk = sqlite._delete_chunk

    def counting(connection, **which):
        deleted = chunk(connection, **which)
        sizes.append(deleted)
        return deleted

    monkeypatch.setattr(sqlite, "_delete_chunk", counting)
    async with store_fixture("sqlite", request, tmp_path) as kind:
        await kind.store.write(ramp(stream(), T0, 1234, step=1000))
        assert await kind.store.expire(T0 + 1_000_000) == 1000
        assert max(sizes) <= 100
        assert await kind.store.count("town") == 234


async def test_writing_goes_on_during_a_sweep(tmp_path, request, monkeypatch):
    monkeypatch.setattr(sqlite, "ERASE_CHUNK", 50)
    async with store_fixture("sqlite", request, tmp_path) as kind:
        await kind.store.write(ramp(stream(), T0, 5000, step=1000))
        sweep = asyncio.create_task(kind.store.expire(T0 + DAY))
        rounds = 0
        while not sweep.done():
            await kind.store.write(ramp(stream("new"), T0 + 2 * DAY + rounds * 10_000, 10, step=1000))
            rounds += 1
        assert rounds > 5
        assert await sweep == 5000
        assert await kind.store.count("town") == rounds * 10


async def test_a_store_that_is_away_is_swept_at_the_next_round(clock):
    class Away:
        calls = 0

        async def expire(self, _before):
            self.calls += 1
            if self.calls == 1:
                raise Transient("the store does not answer")
            return 3

    store = Away()
    sweeper = Sweeper(store, days=7, clock=clock, pace=clock)
    task = asyncio.create_task(sweeper.run())
    await clock.advance(1)
    assert sweeper.problem == "the store does not answer"
    await clock.advance(SWEEP_S)
    assert (sweeper.problem, sweeper.deleted) == (None, 3)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind_name", STORES)
def test_every_kind_of_store_can_be_configured(kind_name, tmp_path):
    tables = {
        "sqlite": {"path": "readings.db"},
        "influx1": {"url": "http://127.0.0.1:8086"},
        "influx2": {"url": "http://127.0.0.1:8086", "token": "t", "org": "o"},
        "influx3": {"url": "http://127.0.0.1:8181", "token": "t"},
    }
    walker = Walker(tmp_path)
    section = store_section(walker, {"type": kind_name, **tables[kind_name]})
    walker.finish()
    assert section.type == kind_name
    assert section.retention_days == 90
    assert "'t'" not in repr(section)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "store.type: got None"),
        ({"type": "postgres"}, "expected one of 'sqlite', 'influx1', 'influx2', 'influx3'"),
        ({"type": "influx1", "url": "ftp://x"}, "store.url"),
        ({"type": "influx1", "url": "http://x", "passwort": "y"}, "did you mean 'password'?"),
        ({"type": "influx2", "url": "http://x"}, "store.token: is missing"),
        ({"type": "sqlite", "path": "x", "retention_days": 0}, "store.retention_days"),
    ],
)
def test_a_fault_in_the_table_is_named(table, words, tmp_path):
    walker = Walker(tmp_path)
    assert store_section(walker, table) is None
    assert words in "\n".join(map(str, walker.faults))
