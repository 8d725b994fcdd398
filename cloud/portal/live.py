"""The page's HTTP side: ``/``, ``/api/live.json``, ``/healthz``, ``/metrics``. Nothing here changes anything."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from cloud.ingest.health import Health
from cloud.ingest.metrics import CONTENT_TYPE, Metrics
from cloud.portal.gather import Gatherer, Losses, Registry, Store
from cloud.portal.page import POLICY, page, row_words, state, verdict, widths
from cloud.portal.view import Meter, Row, Station, View
from cloud.portal.words import LANGS, Lang, moment
from hinomi.clock import Clock, SystemClock

SCHEMA = 1
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
}


class _Portal:
    def __init__(self, gatherer: Gatherer, health: Health, metrics: Metrics, zone: ZoneInfo) -> None:
        self._gatherer = gatherer
        self._health = health
        self._metrics = metrics
        self._zone = zone

    async def live(self, request: web.Request) -> web.Response:
        lang = language(request)
        view = await self._gatherer.view(_page_number(request))
        body = page(view, lang, self._zone)
        headers = _HEADERS | {"Content-Language": lang}
        return web.Response(text=body, content_type="text/html", charset="utf-8", headers=headers)

    async def json(self, request: web.Request) -> web.Response:
        view = await self._gatherer.view(_page_number(request))
        return _json(live_json(view, language(request), self._zone))

    async def healthz(self, _request: web.Request) -> web.Response:
        report = self._health.report()
        return _json(report, status=200 if report.ok else 503)

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def build_app(
    *,
    registry: Registry,
    store: Store,
    loss: Losses,
    health: Health,
    metrics: Metrics,
    clock: Clock,
    pace: Clock | None = None,
    zone: ZoneInfo | None = None,
    refusing: Callable[[], bool] = lambda: False,
) -> web.Application:
    """The application; whoever starts it chooses address and port.

    Args:
        registry: stations and their presence.
        store: what answers ``latest`` and ``series``; only its public side is asked for.
        loss: where every reading is.
        health: what ``/healthz`` says.
        metrics: what ``/metrics`` says.
        clock: the measuring clock: a reading's age is counted on it.
        pace: real time; the machine's own when None.
        zone: where people read the page; Japan when None.
        refusing: whether the store takes nothing at present.
    """
    gatherer = Gatherer(
        registry=registry, store=store, loss=loss, clock=clock, pace=pace or SystemClock(), refusing=refusing
    )
    portal = _Portal(gatherer, health, metrics, zone or ZoneInfo("Asia/Tokyo"))
    app = web.Application()
    app.add_routes(
        [
            web.get("/", portal.live),
            web.get("/api/live.json", portal.json),
            web.get("/healthz", portal.healthz),
            web.get("/metrics", portal.metrics),
        ]
    )
    return app


def language(request: web.Request) -> Lang:
    """``?lang=``, else the best of ``Accept-Language``, else Japanese."""
    asked = request.query.get("lang", "")
    for lang in LANGS:
        if asked == lang:
            return lang
    best: Lang = "ja"
    weight = 0.0
    for part in request.headers.get("Accept-Language", "")[:200].split(","):
        tag, _, rest = part.strip().partition(";")
        found = tag.split("-")[0].lower()
        quality = _quality(rest)
        for lang in LANGS:
            if found == lang and quality > weight:
                best, weight = lang, quality
    return best


def live_json(view: View, lang: Lang, zone: ZoneInfo) -> dict[str, Any]:
    """The view for programs, and for the page's own script: numbers, and beside them the words that show them."""
    return {
        "schema": SCHEMA,
        "now": view.now,
        "now_text": moment(view.now, lang, zone),
        "layout": view.layout,
        "page": view.page,
        "pages": view.pages,
        "store_away": view.store_away,
        "meters": {"": _meter_json(view.total, lang)}
        | {one.name: _meter_json(one.meter, lang) for one in view.communities},
        "stations": [_station_json(one, lang) for community in view.communities for one in community.stations],
    }


def _meter_json(meter: Meter, lang: Lang) -> dict[str, Any]:
    mood, said = verdict(meter, lang)
    counts: dict[str, int] = msgspec.to_builtins(meter)
    return {
        **counts,
        "mood": mood,
        "said": said,
        "widths": {key: round(one, 2) for key, one in widths(meter).items()},
    }


def _station_json(station: Station, lang: Lang) -> dict[str, Any]:
    mood, said = state(station, lang)
    return {
        "id": str(station.id),
        "online": station.online,
        "state": mood,
        "said": said,
        "datastreams": [_row_json(row, lang) for row in station.rows],
    }


def _row_json(row: Row, lang: Lang) -> dict[str, Any]:
    return {
        "sensor": row.datastream.sensor,
        "quantity": row.datastream.quantity,
        "unit": row.quantity.unit,
        "value": row.newest.value,
        "flags": row.newest.flags,
        "measured_at": row.newest.measured_at,
        "age_ms": row.age_ms,
        "interval_s": row.interval_s,
        "stale": row.stale,
        "words": row_words(row, lang),
        "line": row.spark.line,
        "area": row.spark.area,
        "dot": row.spark.dot,
    }


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", headers=_HEADERS
    )


def _page_number(request: web.Request) -> int:
    text = request.query.get("page", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
