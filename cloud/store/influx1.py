"""InfluxDB 1.x: ``/write`` in, InfluxQL out. 204 means that the points are in a flushed write-ahead log."""

import re
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import aiohttp
import msgspec

from cloud.store.influx import InfluxStore, Series
from cloud.store.influx_http import DISK_ADVICE, Http, judge, tls_context
from cloud.store.section import StoreSection
from hinomi.clock import Clock
from hinomi.config import Secret
from hinomi.errors import ConfigError, Rejected, Transient
from sensing import series

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/\s]+/?$")]

# Level 1 already brings line protocol to a seventh; higher levels cost the event loop several times as much.
_GZIP_LEVEL = 1
_GZIP_WBITS = 31
_STARTED = re.compile(r'"started"\s*:\s*"([^"]+)"')


class Config(StoreSection, frozen=True, kw_only=True):
    """``type = "influx1"``.

    Attributes:
        url: e.g. ``http://127.0.0.1:8086``.
        username: empty where the database asks for none.
        password: beside ``username``.
        ca: the authority of its certificate, where it is one's own.
        gzip: compress requests: for a thin line to the database, not for one in the same house.
    """

    url: Url
    username: str = ""
    password: Secret = Secret("")
    ca: Path | None = None
    gzip: bool = False

    async def open(self, clock: Clock) -> InfluxStore:
        """See ``StoreSection``."""
        return InfluxStore(Influx1(self), retention_days=self.retention_days, clock=clock)


class Influx1:
    """The ``Transport`` of 1.x."""

    reach_ms: int | None = None

    def __init__(self, config: Config) -> None:
        user, password = config.username, config.password.reveal()
        authorization = aiohttp.encode_basic_auth(user, password) if user else ""
        self._config = config
        self._log = LogGuard(self._started)
        self._http = Http(config.url, authorization=authorization, tls=tls_context(config.ca))

    async def write(self, database: str, body: bytes) -> None:
        """POST ``/write``; see ``Transport``."""
        await self._log.before_write()
        params = {"db": database, "precision": series.PRECISION}
        headers = {}
        if self._config.gzip:
            packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS)
            body = packer.compress(body) + packer.flush()
            headers = {"Content-Encoding": "gzip"}
        status, answered, text = await self._http.request("POST", "/write", params, body, **headers)
        if status != 204:
            await self._log.refused(status, text)
            raise judge(status, answered, text)

    async def create(self, database: str) -> None:
        """Make the database, or set how long it keeps points when it was made with another retention."""
        days = self._config.retention_days
        try:
            await self._http.influxql(series.create_query(database, days), method="POST")
        except Rejected as error:
            if "conflicts" not in error.detail:
                raise Transient(
                    f"the store does not let us make the database {database!r}: {error.detail}"
                ) from error
            await self._http.influxql(series.retention_query(database, days), method="POST")

    async def query(self, database: str, text: str) -> list[Series]:
        """GET ``/query``; see ``Transport``."""
        return await self._http.influxql(text, database)

    async def erase(self, database: str, station: str | None, before: int | None) -> None:
        """DELETE in InfluxQL; see ``Transport``."""
        await self._http.influxql(series.erase_query(station, before), database, method="POST")

    async def check(self) -> None:
        """Version and credentials; see ``OpenStore``."""
        version = await self._http.version()
        if not version.startswith("1."):
            found = f"InfluxDB {version}" if version else "no InfluxDB"
            raise ConfigError.of("store.type", f"{self._config.url} is {found}; 'influx1' is for 1.x")
        status, _, text = await self._http.request("GET", "/query", {"q": "SHOW DATABASES"})
        if status in {401, 403}:
            raise ConfigError.of("store.password", f"{self._config.url} refuses it: {text.strip()}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _started(self) -> str:
        """When the server's process began; empty when it does not say."""
        _, _, text = await self._http.request("GET", "/debug/vars", {})
        found = _STARTED.search(text)
        return found[1] if found else ""


class LogGuard:
    """Keeps readings out of a write-ahead log that is torn.

    Measured on 1.6.7: once its disk was full it refuses everything until it is restarted, and the last entry of its
    log is torn. The start that follows cuts the log, and then writes behind the cut: what it takes is acknowledged
    and readable, and gone with the next start. The second start in a row finds a clean log. So after a full disk
    nothing is written until two starts have been seen.

    Args:
        started: tells one process of the server from another.
    """

    def __init__(self, started: Callable[[], Awaitable[str]]) -> None:
        self._started = started
        self._process: str | None = None  # that tore the log, or cut it; None: nothing is known to be wrong
        self._cut = False

    async def refused(self, status: int, text: str) -> None:
        """Look at an answer that was no success."""
        if status >= 500 and "WAL entry" in text and self._process is None:
            self._process, self._cut = await self._started(), False

    async def before_write(self) -> None:
        """Let a write pass, or not.

        Raises:
            Transient: the server has to be restarted once more first.
        """
        if self._process is None:
            return
        process = await self._started()
        if process != self._process and self._cut:
            self._process = None
            return
        if process != self._process:
            self._process, self._cut = process, True
        if self._cut:
            raise Transient(
                f"InfluxDB has cut its log after a full disk and would lose what it takes now: {DISK_ADVICE}, "
                "once more now"
            )
