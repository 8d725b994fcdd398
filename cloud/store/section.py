"""What the ``[store]`` table of every kind of store has, and how a row of ``STORES`` becomes a store."""

import importlib
from collections.abc import Mapping
from typing import Annotated, Any, Protocol, cast

import msgspec

from cloud.store.protocol import Store
from hinomi.clock import Clock
from hinomi.config import Section, Walker


class OpenStore(Store, Protocol):
    """A ``Store`` with what operating it needs."""

    async def check(self) -> None:
        """See whether the store will take what is written to it.

        Raises:
            ConfigError: it answers, but a person must change something (credentials, version, address).
            Transient: it does not answer now.
        """
        ...

    async def expire(self, before: int) -> int:
        """Let go of what was measured before ``before`` (ms); rows deleted, 0 where the database does it itself."""
        ...


class StoreSection(Section, frozen=True):
    """Settings of any store.

    Attributes:
        type: a name of ``STORES``.
        retention_days: how long readings are kept as they came.
    """

    type: str
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] = 90

    async def open(self, clock: Clock) -> OpenStore:
        """Make the store; it need not be reachable yet.

        Raises:
            ConfigError: it can never be opened as it is configured.
        """
        raise NotImplementedError


# A new store is one module and one row here.
STORES = {
    "sqlite": "cloud.store.sqlite:Config",
    "influx1": "cloud.store.influx1:Config",
    "influx2": "cloud.store.influx2:Config",
    "influx3": "cloud.store.influx2:Config3",
}


def store_section(walker: Walker, data: Mapping[str, Any], path: str = "store") -> StoreSection | None:
    """The ``[store]`` table as the section of its ``type``; None with the faults noted in ``walker``."""
    kind = data.get("type")
    if kind not in STORES:
        walker.fault(f"{path}.type", f"got {kind!r}, expected one of {', '.join(map(repr, STORES))}")
        return None
    module, _, name = STORES[kind].partition(":")
    section = getattr(importlib.import_module(module), name)
    return cast("StoreSection | None", walker.section(data, section, path))
