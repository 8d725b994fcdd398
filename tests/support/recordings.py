"""The recordings that ship with the simulator, as (ms since 1970, value) of one column each."""

import csv
import importlib.resources
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

from sensing.units import convert

Series = list[tuple[int, float]]
JAPAN = timezone(timedelta(hours=9))


def rows(name: str, delimiter: str = ",") -> Iterator[dict[str, str]]:
    text = (importlib.resources.files("firmware_sim.recordings") / name).read_text("utf-8-sig")
    yield from csv.DictReader(text.splitlines(), delimiter=delimiter)


def ms(at: datetime) -> int:
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def river(column: str, unit: str, to: str) -> Series:
    return [
        (ms(datetime.fromisoformat(row["time_utc"])), convert(float(row[column]), unit, to))
        for row in rows("usgs_01589330_dead_run_2018-06.csv")
        if row[column]
    ]


def airport(name: str, column: str, unit: str, to: str) -> Series:
    return [
        (ms(datetime.fromisoformat(row["time_hour"])), convert(float(row[column]), unit, to))
        for row in rows("noaa_nyc_airports_2013-07_hourly.csv")
        if row["origin"] == name and row[column]
    ]


def citizens(column: str) -> dict[str, Series]:
    """Aberdeen's SDS011 by sensor id."""
    found: dict[str, Series] = {}
    for row in rows("sensorcommunity_aberdeen_sds011_2018-11-04_07.csv", ";"):
        if row[column]:
            at = ms(datetime.fromisoformat(row["timestamp"]))
            found.setdefault(row["sensor_id"], []).append((at, float(row[column])))
    return {sensor: sorted(series) for sensor, series in found.items()}


def office(column: str) -> Series:
    return [
        (ms(datetime.fromisoformat(row["date"])), float(row[column]))
        for row in rows("uci_occupancy_training_2015-02.csv")
    ]


def fukushima() -> list[tuple[datetime, float, float]]:
    """Hours of July 2019 in Japan's time with WBGT and globe temperature, Cel; 24:00 is the next day's 0:00."""
    found = []
    for row in rows("moe_wbgt_36126_201907.csv"):
        if row["WBGT"] and row["Tg"]:
            day = datetime.strptime(row["Date"], "%Y/%m/%d").replace(tzinfo=JAPAN)
            hour = int(row["Time"].partition(":")[0])
            found.append((day + timedelta(hours=hour), float(row["WBGT"]), float(row["Tg"])))
    return found
