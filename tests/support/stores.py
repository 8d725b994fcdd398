"""Each kind of store, opened on a real database and opened again as after a restart."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cloud.store.protocol import Store
from cloud.store.sqlite import SqliteStore

KINDS = ("sqlite",)


class StoreFixture:
    """The store under test; ``reopen`` closes it and opens another on the same data."""

    def __init__(self, opener: Callable[[], Awaitable[Store]]) -> None:
        self._opener = opener
        self.store: Store

    async def reopen(self) -> Store:
        await self.store.close()
        self.store = await self._opener()
        return self.store


@asynccontextmanager
async def store_fixture(kind: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[StoreFixture]:
    fixture = StoreFixture(_OPENERS[kind](request, folder))
    fixture.store = await fixture._opener()
    try:
        yield fixture
    finally:
        await fixture.store.close()


def _sqlite(_request: pytest.FixtureRequest, folder: Path) -> Callable[[], Awaitable[Store]]:
    return lambda: SqliteStore.open(folder / "store.db")


_OPENERS = {"sqlite": _sqlite}
