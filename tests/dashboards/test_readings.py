"""The provisioned dashboard: generated as committed, and each query answered by a real InfluxDB."""

import json
import re
import urllib.parse
import urllib.request

import pytest
from support.servers import http_get

from dashboards.readings import GENERATED, SHOWN, dashboard, text
from sensing import series
from sensing.observation import Datastream, Observation

DATABASE = series.database("dash")
START = 1_750_000_200_000  # a multiple of five minutes
END = START + 3_600_000


@pytest.fixture(scope="module")
def filled(influx):
    """An hour of every shown quantity at two stations, written through sensing.series."""
    http_post(influx.url, "/query", q=f'CREATE DATABASE "{DATABASE}"')
    observations = [
        Observation(Datastream("dash", station, "s1", quantity), START + minute * 60_000, float(minute))
        for quantity in SHOWN
        for station in ("bridge", "school")
        for minute in range(60)
    ]
    query = urllib.parse.urlencode({"db": DATABASE, "precision": series.PRECISION})
    request = urllib.request.Request(f"{influx.url}/write?{query}", series.lines(observations).encode())
    urllib.request.urlopen(request, timeout=10).close()
    return influx.url


def http_post(url, path, **form):
    urllib.request.urlopen(url + path, urllib.parse.urlencode(form).encode(), timeout=10).close()


def interpolated(query: str, station: str = "(bridge|school)") -> str:
    """As Grafana does: the time filter in ms, the interval, the variables."""
    values = {
        "$timeFilter": f"time >= {START}ms and time <= {END}ms",
        "$__interval": "5m",
        "${station:regex}": station,
        "${quantity}": "water_level",
    }
    for name, value in values.items():
        query = query.replace(name, value)
    assert "$" not in re.sub(r"\$/", "", query), f"a variable was left over: {query}"
    return query


def answer(url: str, query: str) -> list:
    parameters = urllib.parse.urlencode({"db": DATABASE, "q": query, "epoch": "ms"})
    result = json.loads(http_get(f"{url}/query?{parameters}"))["results"][0]
    assert "error" not in result, result
    return result.get("series", [])


PANELS = dashboard()["panels"]


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_each_panels_query_returns_rows_of_both_stations(filled, panel):
    for target in panel["targets"]:
        found = answer(filled, interpolated(target["query"]))
        assert {row["tags"]["station"] for row in found} == {"bridge", "school"}
        if panel["type"] == "timeseries":
            values = [value for _, value in found[0]["values"] if value is not None]
            assert len(values) == 12
            assert found[0]["columns"][0] == "time"
        else:
            assert {row["name"] for row in found} == set(SHOWN)
            assert all(row["values"][0][1] == 59.0 for row in found)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_an_unknown_station_gives_no_rows_and_no_error(filled, panel):
    for target in panel["targets"]:
        assert answer(filled, interpolated(target["query"], station="nobody")) == []


def test_variable_queries_list_stations_and_quantities(filled):
    queries = [v["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
    stations, quantities = (answer(filled, query) for query in queries)
    assert {row[1] for row in stations[0]["values"]} == {"bridge", "school"}
    assert {row[0] for row in quantities[0]["values"]} == set(SHOWN)


def test_the_committed_file_is_what_the_code_generates():
    assert GENERATED.read_text("utf-8") == text(), "run: python -m dashboards.readings"


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    cells = [
        (x, y)
        for panel in PANELS
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
