"""The dashboard of readings: what is there, how old, and each quantity over time.

``python -m dashboards.readings`` writes ``dashboards/generated/readings.json``; a test compares and runs every
query on a real InfluxDB.
"""

import json
from pathlib import Path
from typing import Any

from sensing.quantity import QUANTITIES, Quantity

GENERATED = Path(__file__).parent / "generated" / "readings.json"

# What a neighbourhood looks at first; the rest of the table is one variable away in the last panel.
SHOWN = ("water_level", "rain_increment", "pm2_5", "wbgt", "temperature", "humidity")

# Grafana's spelling of units; a quantity without one is shown with its UCUM unit as a suffix.
_UNITS = {"m": "lengthm", "ug/m3": "conμgm3", "Cel": "celsius", "%": "percent", "hPa": "pressurehpa"}

_SOURCE = {"type": "influxdb", "uid": "${datasource}"}
_STATION = '"station" =~ /^${station:regex}$/'
_BY = '"station", "sensor"'
_ALIAS = "$tag_station $tag_sensor"

# A window's vector mean needs two fields of which a reading has one: directions show the last of each window.
_FUNCTIONS = {"mean": "mean", "sum": "sum", "max": "max", "last": "last", "vector_mean": "last"}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana's JSON."""
    chosen = [_over_time(QUANTITIES[name], place) for place, name in enumerate(SHOWN)]
    panels = [_latest(), *chosen, _any_quantity()]
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return {
        "uid": "hinomi-readings",
        "title": "Hinomi: readings 観測値",
        "description": "What the stations measured. 各局の観測値。",
        "tags": ["hinomi"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "panels": panels,
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), ensure_ascii=False, indent=2) + "\n"


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Community 地域", "type": "datasource", "query": "influxdb"},
        {
            "name": "station",
            "label": "Station 局",
            "type": "query",
            "datasource": _SOURCE,
            "query": 'SHOW TAG VALUES WITH KEY = "station"',
            "includeAll": True,
            "multi": True,
            "refresh": 2,
            "current": {"text": "All", "value": "$__all"},
        },
        {
            "name": "quantity",
            "label": "Quantity 項目",
            "type": "query",
            "datasource": _SOURCE,
            "query": "SHOW MEASUREMENTS",
            "refresh": 2,
        },
    ]


def _target(query: str, alias: str, form: str = "time_series") -> dict[str, Any]:
    return {
        "refId": "A",
        "datasource": _SOURCE,
        "rawQuery": True,
        "query": query,
        "alias": alias,
        "resultFormat": form,
    }


def _panel(title: str, description: str, kind: str, place: tuple[int, int, int, int]) -> dict[str, Any]:
    x, y, width, height = place
    return {
        "title": title,
        "description": description,
        "type": kind,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
    }


def _latest() -> dict[str, Any]:
    """The newest value of each datastream within the chosen time; its own time stands beside it."""
    query = f'SELECT last("value") AS "value" FROM /.*/ WHERE {_STATION} AND $timeFilter GROUP BY {_BY}'
    return {
        **_panel("Latest 最新値", "Newest value in the chosen time. 期間内の最新値。", "table", (0, 0, 24, 8)),
        "targets": [_target(query, "", form="table")],
    }


def _over_time(quantity: Quantity, place: int) -> dict[str, Any]:
    corner = (12 * (place % 2), 8 + 8 * (place // 2), 12, 8)
    title = f"{quantity.name_en} {quantity.name_ja}"
    unit = _UNITS.get(quantity.unit, f"suffix: {quantity.unit}")
    return {
        **_panel(title, f"{quantity.name_en}, {quantity.unit}. {quantity.name_ja}。", "timeseries", corner),
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [_target(_series(quantity.name, _FUNCTIONS[quantity.aggregate]), _ALIAS)],
    }


def _any_quantity() -> dict[str, Any]:
    corner = (0, 8 + 8 * ((len(SHOWN) + 1) // 2), 24, 8)
    return {
        **_panel("$quantity", "The quantity chosen above. 上で選んだ項目。", "timeseries", corner),
        "targets": [_target(_series("${quantity}", "mean"), _ALIAS)],
    }


def _series(measurement: str, function: str) -> str:
    """Empty windows stay empty: a line over a gap would show readings that nobody took."""
    return (
        f'SELECT {function}("value") FROM "{measurement}" WHERE {_STATION} AND $timeFilter '
        f"GROUP BY time($__interval), {_BY} fill(null)"
    )


if __name__ == "__main__":
    GENERATED.parent.mkdir(exist_ok=True)
    GENERATED.write_text(text(), "utf-8")
