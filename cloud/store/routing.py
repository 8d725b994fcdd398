"""Which store an observation belongs to: what is personal never reaches the time series database."""

from collections.abc import Sequence

from cloud.store.protocol import Bucket, Latest, RefusedPoint
from cloud.store.section import OpenStore
from sensing.observation import Datastream, Observation
from sensing.quantity import QUANTITIES


class RoutedStore:
    """A ``Store`` of two: by the quantity's ``personal`` mark, and nothing else.

    ``latest`` and ``count`` answer for the public side, because every page and dashboard is built on them; who may
    see personal readings asks ``personal`` by name.

    Attributes:
        public: the time series database.
        personal: the relational one.
    """

    def __init__(self, public: OpenStore, personal: OpenStore) -> None:
        self.public = public
        self.personal = personal

    async def write(self, batch: Sequence[Observation]) -> list[RefusedPoint]:
        """Store each observation where it belongs; see ``Store``."""
        public: list[Observation] = []
        personal: list[Observation] = []
        refused: list[RefusedPoint] = []
        for o in batch:
            quantity = QUANTITIES.get(o.datastream.quantity)
            if quantity is None:
                # Whether it is personal is not known, so neither store may have it.
                refused.append(RefusedPoint(o, "unknown_quantity", f"no quantity {o.datastream.quantity!r}"))
            elif quantity.personal:
                personal.append(o)
            else:
                public.append(o)
        if personal:
            refused += await self.personal.write(personal)
        if public:
            refused += await self.public.write(public)
        return refused

    async def latest(self, community: str) -> list[Latest]:
        """The newest of each public datastream."""
        return await self.public.latest(community)

    async def series(self, datastream: Datastream, start: int, end: int, step: int) -> list[Bucket]:
        """Buckets from the store the datastream belongs to."""
        quantity = QUANTITIES.get(datastream.quantity)
        store = self.personal if quantity is not None and quantity.personal else self.public
        return await store.series(datastream, start, end, step)

    async def count(self, community: str) -> int:
        """Public observations."""
        return await self.public.count(community)

    async def erase(self, community: str, *, station: str | None = None, before: int | None = None) -> None:
        """Delete on both sides, the personal one first."""
        await self.personal.erase(community, station=station, before=before)
        await self.public.erase(community, station=station, before=before)

    async def check(self) -> None:
        """See ``OpenStore``: both must be ready."""
        await self.personal.check()
        await self.public.check()

    async def expire(self, before: int) -> int:
        """See ``OpenStore``: on both sides."""
        return await self.personal.expire(before) + await self.public.expire(before)

    async def close(self) -> None:
        """Close both."""
        await self.personal.close()
        await self.public.close()
