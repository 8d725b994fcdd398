"""What all versions of InfluxDB share on the wire: InfluxQL out, and what an HTTP status means to the writer."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cloud.store.influx import NoDatabase, Series, TooLarge
from hinomi.errors import ConfigError, Rejected, Transient

# Generous for a Pi behind a slow disk; a store that hangs longer is written to again anyway.
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)

_REASONS = (
    ("beyond retention", "beyond_retention"),
    ("type conflict", "type_conflict"),
    ("unable to parse", "unparsable"),
    ("limit exceeded", "limit_exceeded"),
)
_WORDS_MAX = 500
# See cloud.store.influx1.LogGuard.
DISK_ADVICE = "free its disk, then restart InfluxDB twice"


class _Result(msgspec.Struct):
    series: list[Series] = []
    error: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result] = []
    error: str = ""


class Http:
    """One pool of connections to one InfluxDB.

    Args:
        url: as configured, e.g. ``http://127.0.0.1:8086``.
        authorization: sent with every request; empty: none.
        tls: for https with an authority of one's own.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers={"Authorization": authorization} if authorization else None,
            timeout=TIMEOUT,
            connector=aiohttp.TCPConnector(ssl=tls or True),
        )

    async def request(
        self, method: str, path: str, params: Mapping[str, str], data: bytes | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and text of the answer.

        Raises:
            Transient: no answer.
        """
        try:
            try:
                return await self._once(method, path, params, data, headers)
            except aiohttp.ServerDisconnectedError:
                # A connection kept from before the server was restarted; all our requests may be repeated.
                return await self._once(method, path, params, data, headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise unreachable(self.url, error) from error

    async def _once(
        self, method: str, path: str, params: Mapping[str, str], data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], str]:
        async with self._session.request(
            method, f"{self.url}{path}", params=params, data=data, headers=headers
        ) as answer:
            return answer.status, answer.headers, await answer.text(errors="replace")

    async def influxql(self, text: str, database: str = "", method: str = "GET") -> list[Series]:
        """Run InfluxQL; ``method`` is POST for what changes something. See ``Transport.query``."""
        params = {"q": text, "epoch": "ms"} | ({"db": database} if database else {})
        status, headers, body = await self.request(method, "/query", params)
        if status == 404 or (status < 500 and "database not found" in body):
            return []
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            answer = _Answer()
        error = answer.error or next((result.error for result in answer.results if result.error), "")
        if status == 200 and not error:
            return [found for result in answer.results for found in result.series]
        if status in {200, 400} and error:
            raise Rejected("query_refused", error[:_WORDS_MAX])
        raise judge(status, headers, body)

    async def version(self) -> str:
        """What ``/ping`` says, without a leading v; empty when it is not InfluxDB's.

        Raises:
            Transient: no answer.
        """
        _, headers, _ = await self.request("GET", "/ping", {})
        return headers.get("X-Influxdb-Version", "").lstrip("v")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def judge(status: int, headers: Mapping[str, str], text: str) -> Exception:
    """What an answer that is not a success means, to be raised.

    NoDatabase: 404. TooLarge: 413. Rejected: 400 or 422 in InfluxDB's own form: lines are at fault. Transient:
    anything else, also a 400 that some proxy made: never is data given up for that.
    """
    words = said(text)
    if status == 404:
        return NoDatabase(words)
    if status == 413:
        return TooLarge(words)
    if status in {400, 422} and words:
        return Rejected(_reason(words), words)
    if status in {401, 403}:
        return Transient(f"the store refuses our credentials (HTTP {status} {words}): correct them in [store]")
    advice = f"; {DISK_ADVICE}" if "no space left" in words else ""
    return Transient(
        f"the store answers HTTP {status}: {words or text[:_WORDS_MAX]}{advice}",
        retry_after=_seconds(headers.get("Retry-After", "")),
    )


def said(text: str) -> str:
    """The error in InfluxDB's JSON (``error`` in 1.x, ``message`` later on); empty when it is not that."""
    try:
        body: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return ""
    if not isinstance(body, dict):
        return ""
    words = body.get("message") or body.get("error") or ""
    details = body.get("data")
    if isinstance(details, list) and details:
        words = f"{words}: {details[0]}"
    return str(words)[:_WORDS_MAX]


def unreachable(url: str, error: BaseException) -> Transient:
    """No answer from the store."""
    return Transient(f"the store at {url} does not answer: {str(error) or type(error).__name__}")


def tls_context(ca: Path | None) -> ssl.SSLContext | None:
    """Trust one's own authority as well.

    Raises:
        ConfigError: the file cannot be used.
    """
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError.of("store.ca", f"{str(ca)!r} cannot be used as a certificate: {error}") from error


def _reason(words: str) -> str:
    lowered = words.lower()
    return next((reason for part, reason in _REASONS if part in lowered), "store_refused")


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,5}", text) else None
