"""InfluxDB 2.x and 3.x: influxdb-client's plain asynchronous write in, InfluxQL out.

Its batching writer is not used: it gives up after a while and drops what it holds. The plain write raises, and the
cursor on the arrival journal stands still until it does not.

3.x Core takes the same writes, answers for about the last 72 hours, and deletes no rows.
"""

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException

from cloud.store.influx import DAY_MS, HOUR_MS, InfluxStore, NoDatabase, Series
from cloud.store.influx1 import Url
from cloud.store.influx_http import TIMEOUT, Http, judge, tls_context, unreachable
from cloud.store.section import StoreSection
from hinomi.clock import Clock
from hinomi.config import Secret
from hinomi.errors import ConfigError, Rejected, Transient
from sensing import series

T = TypeVar("T")

REACH_3_MS = 72 * HOUR_MS
_DAY_S = DAY_MS // 1000
_BEGIN = "1970-01-01T00:00:00Z"
_END = "2262-01-01T00:00:00Z"


class Config(StoreSection, frozen=True, kw_only=True):
    """``type = "influx2"``.

    Attributes:
        url: e.g. ``http://127.0.0.1:8086``.
        token: one that may read and write buckets, and make them unless they are made by hand.
        org: the organisation's name.
        ca: the authority of its certificate, where it is one's own.
        gzip: compress requests: for a thin line to the database, not for one in the same house.
    """

    url: Url
    token: Secret
    org: str = ""
    ca: Path | None = None
    gzip: bool = False

    async def open(self, clock: Clock) -> InfluxStore:
        """See ``StoreSection``."""
        return InfluxStore(Influx2(self), retention_days=self.retention_days, clock=clock)


class Config3(Config, frozen=True, kw_only=True):
    """``type = "influx3"``: as ``influx2``; ``org`` is not used."""

    async def open(self, clock: Clock) -> InfluxStore:
        """See ``StoreSection``."""
        return InfluxStore(Influx3(self), retention_days=self.retention_days, clock=clock)


class Influx2:
    """The ``Transport`` of 2.x; made inside the event loop."""

    major = "2"
    reach_ms: int | None = None

    def __init__(self, config: Config) -> None:
        self._config = config
        tls = tls_context(config.ca)
        token = config.token.reveal()
        self._client: Any = InfluxDBClientAsync(  # half of it has no types
            config.url,
            token,
            org=config.org,
            enable_gzip=config.gzip,
            timeout=TIMEOUT,
            **({} if tls is None else {"ssl_context": tls}),
        )
        self._http = Http(config.url, authorization=f"Token {token}", tls=tls)

    async def write(self, database: str, body: bytes) -> None:
        """POST ``/api/v2/write``; see ``Transport``."""
        call = self._client.write_api().write(
            bucket=database, org=self._config.org, record=body, write_precision=series.PRECISION
        )
        await self._ask(call)

    async def create(self, database: str) -> None:
        """Make the bucket; one that exists keeps the retention it has."""
        found = await self._api("GET", "/api/v2/orgs", params={"org": self._config.org})
        orgs = found.get("orgs") or []
        if not orgs:
            raise Transient(f"the store has no organisation {self._config.org!r} that this token may see")
        rule = {"type": "expire", "everySeconds": self._config.retention_days * _DAY_S}
        wanted = {"orgID": orgs[0]["id"], "name": database, "retentionRules": [rule]}
        await self._api("POST", "/api/v2/buckets", json=wanted, harmless=422)  # it exists

    async def query(self, database: str, text: str) -> list[Series]:
        """GET ``/query`` (a bucket is a database of its name); see ``Transport``."""
        return await self._http.influxql(text, database)

    async def erase(self, database: str, station: str | None, before: int | None) -> None:
        """POST ``/api/v2/delete``; see ``Transport``."""
        # The end may count as inside: one nanosecond before the millisecond is right either way.
        stop = _END if before is None else f"{_utc(before - 1)}.{(before - 1) % 1000:03d}999999Z"
        call = self._client.delete_api().delete(
            _BEGIN, stop, series.erase_predicate(station), bucket=database, org=self._config.org
        )
        try:
            await self._ask(call)
        except NoDatabase:
            return  # nothing was ever stored

    async def check(self) -> None:
        """Version and credentials; see ``OpenStore``."""
        version = await self._http.version()
        if version and not version.startswith(f"{self.major}."):
            raise ConfigError.of(
                "store.type",
                f"{self._config.url} is InfluxDB {version}; 'influx{self.major}' is for {self.major}.x",
            )
        status, _, text = await self._http.request("GET", "/query", {"db": "_", "q": "SHOW DATABASES"})
        if status in {401, 403}:
            raise ConfigError.of("store.token", f"{self._config.url} refuses it: {text.strip()}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._http.close()

    async def _api(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        harmless: int = 0,
    ) -> dict[str, Any]:
        data = None if json is None else msgspec.json.encode(json)
        headers = {"Content-Type": "application/json"}
        status, answered, text = await self._http.request(method, path, params or {}, data, **headers)
        if status == harmless:
            return {}
        if status not in {200, 201}:
            error = judge(status, answered, text)
            if isinstance(error, Transient):
                raise error
            raise Transient(f"the store answers {method} {path} with HTTP {status}: {text[:200]}")
        found: dict[str, Any] = msgspec.json.decode(text)
        return found

    async def _ask(self, call: Awaitable[T]) -> T:
        """Await a call of influxdb-client and say what its failure means, as for any other answer."""
        try:
            return await call
        except ApiException as error:
            raise judge(error.status, error.headers or {}, _text(error.body)) from error
        except (TimeoutError, aiohttp.ClientError, InfluxDBError, OSError) as error:
            raise unreachable(self._config.url, error) from error


class Influx3(Influx2):
    """The ``Transport`` of 3.x Core: writes and recent reads only."""

    major = "3"
    reach_ms: int | None = REACH_3_MS

    async def create(self, database: str) -> None:
        """Nothing to do: a database of 3.x is made by its first write."""

    async def erase(self, database: str, station: str | None, before: int | None) -> None:
        """Refuse.

        Raises:
            Rejected: always, ``not_supported``.
        """
        del station, before
        raise Rejected(
            "not_supported",
            f"InfluxDB 3 Core deletes no rows; 'influxdb3 delete database {database}' deletes all of a community",
        )


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _text(body: object) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
