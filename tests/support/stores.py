"""Each kind of store, opened on a real database and opened again as after a restart."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from support.influx_stand_in import ORG, TOKEN, stand_in

from cloud.db import Database
from cloud.store import influx1, influx2
from cloud.store.personal import PersonalStore
from cloud.store.protocol import Store
from cloud.store.sqlite import SqliteStore
from hinomi.clock import SystemClock
from hinomi.config import Secret
from hinomi.disk import Disk

Opener = Callable[[], Awaitable[Store]]

KINDS = ("sqlite", "personal", "influx1", "influx2")


class StoreFixture:
    """The store under test; ``reopen`` closes it and opens another on the same data."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.store: Store

    async def reopen(self) -> Store:
        await self.store.close()
        self.store = await self._opener()
        return self.store


@asynccontextmanager
async def store_fixture(kind: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[StoreFixture]:
    async with AsyncExitStack() as stack:
        if kind == "influx2":
            opener = await _influx2(request, stack)
        else:
            opener = _OPENERS[kind](request, folder)
        fixture = StoreFixture(opener)
        fixture.store = await opener()
        try:
            yield fixture
        finally:
            await fixture.store.close()


def _sqlite(_request: pytest.FixtureRequest, folder: Path) -> Opener:
    return lambda: SqliteStore.open(folder / "store.db")


def _influx1(request: pytest.FixtureRequest, _folder: Path) -> Opener:
    server = request.getfixturevalue("influx")
    config = influx1.Config(type="influx1", url=server.url)
    return lambda: config.open(SystemClock())


async def _influx2(request: pytest.FixtureRequest, stack: AsyncExitStack) -> Opener:
    """A real 2.x where HINOMI_INFLUX2_URL, _TOKEN and _ORG name one, else the stand-in before the real 1.6.7."""
    real = os.environ.get("HINOMI_INFLUX2_URL")
    if real:
        token, org = os.environ["HINOMI_INFLUX2_TOKEN"], os.environ["HINOMI_INFLUX2_ORG"]
        config = influx2.Config(type="influx2", url=real, token=Secret(token), org=org)
    else:
        server = request.getfixturevalue("influx")
        gate = await stack.enter_async_context(stand_in(server.url, "2"))
        config = influx2.Config(type="influx2", url=gate.url, token=Secret(TOKEN), org=ORG)
    return lambda: config.open(SystemClock())


def _personal(request: pytest.FixtureRequest, folder: Path) -> Opener:
    disk = Disk("database")
    databases: list[Database] = []

    def finish() -> None:
        for database in databases:
            database.close()
        disk._pool.shutdown()

    async def opener() -> Store:
        databases.append(await disk.run(lambda: Database(f"sqlite:///{folder}/hinomi.db", disk)))
        return PersonalStore(databases[-1])

    request.addfinalizer(finish)
    return opener


_OPENERS = {"sqlite": _sqlite, "influx1": _influx1, "personal": _personal}
