"""What can be measured: one row a quantity, nothing else anywhere.

``unit`` is UCUM and used inside and in the store; ``wire_unit`` is SenML's (RFC 8428 and RFC 8798) and differs from
it in spelling only, never in size, so that a value reaches the store bit for bit as it was measured. It is empty
where SenML registers no unit of that size; the field ``u`` is then left out and the quantity's own unit is meant.

Where the limits come from. They are wide on purpose: quality control flags what cannot be, not what is rare.

- Air, soil, humidity, pressure, wind, radiation and their steps: the gross error and step checks that WMO gives for
  automatic stations (Zahumenský, Guidelines on Quality Control Procedures for Data from Automatic Weather Stations,
  2004: -80 to 60 Cel and 3 Cel a minute, 500 to 1100 hPa and 2 hPa, 15 % humidity, 75 m/s mean wind and 20 m/s,
  1600 W/m2 and 1000 W/m2), narrowed to what Japan has seen with a margin (JMA: -41.0 Cel Asahikawa 1902).
- Rain: WMO's record of 38 mm in one minute (Guadeloupe 1970); snow: 1182 cm on Mount Ibuki in 1927 (JMA).
- Rivers: the Toga river in Kobe rose 1.34 m within 10 minutes in 2008, a metre of it within two: a step of 1 m a
  minute, so that the flag never stands on a flood that came true.
- PM: 999.9 is what an SDS011 shows when it is pinned, so the range ends below it. In the recording of Bonfire Night
  that ships with the simulator the five sensors that agree rise by at most 53 ug/m3 of PM2.5 a minute, the one that
  spikes alone by 266.
- CO2: an SCD4x ends at 40,000 ppm, and a breath on it shows thousands within seconds.
- Seismic intensity: JMA's scale ends at 7, its formula goes on; UV index: 43.3 was measured in the Andes in 2003.
- Supplies, signals, host health: what the parts can show at all.
- Hours until stuck: longer than any run of equal values in the recordings that ship (220 minutes of water level to
  0.01 ft, 8 hours of air temperature to 1 degF, 15 hours of dew point), never where a constant is natural: rain and
  snow that do not fall, light at night, a closed door.

A step of infinity means that any jump is credible (a door, a count, an angle that wraps round).
"""

import math
from typing import Literal

import msgspec

Aggregate = Literal["mean", "sum", "max", "last", "vector_mean"]

ANY = NEVER = math.inf


class Quantity(msgspec.Struct, frozen=True):
    """One observed property.

    Attributes:
        name: key of the table, also the measurement's name in the store.
        unit: UCUM.
        wire_unit: SenML, the same size as ``unit``; empty: left out on the wire.
        low: lowest plausible value, in ``unit``.
        high: highest plausible value, in ``unit``.
        resolution: smallest difference that means something, in ``unit``.
        step_per_minute: greatest credible change within one minute, in ``unit``; infinity: any.
        stuck_hours: after how many hours without any change a sensor is taken to be stuck; infinity: never.
        aggregate: how readings of one window become one value.
        personal: tells of a person's life; kept out of the time series database and of everything public.
        name_ja: Japanese name.
        name_en: English name.
    """

    name: str
    unit: str
    wire_unit: str
    low: float
    high: float
    resolution: float
    step_per_minute: float
    stuck_hours: float
    aggregate: Aggregate
    name_ja: str
    name_en: str
    personal: bool = False


_ROWS = (
    Quantity("water_level", "m", "m", -10, 30, 0.001, 1, 24, "mean", "水位", "water level"),
    Quantity("water_distance", "m", "m", 0, 40, 0.001, 1, 24, "mean", "水面までの距離", "distance to water"),
    Quantity("discharge", "m3/s", "m3/s", -1000, 30000, 0.001, 1000, 24, "mean", "流量", "discharge"),
    Quantity("water_temperature", "Cel", "Cel", -5, 60, 0.01, 5, 24, "mean", "水温", "water temperature"),
    Quantity("rain_increment", "mm", "mm", 0, 200, 0.1, ANY, NEVER, "sum", "雨量", "rain"),
    Quantity("rain_rate", "mm/h", "mm/h", 0, 2300, 0.1, ANY, NEVER, "max", "降水強度", "rain rate"),
    Quantity("snow_depth", "cm", "cm", -5, 1300, 0.1, 20, NEVER, "mean", "積雪深", "snow depth"),
    Quantity("temperature", "Cel", "Cel", -50, 60, 0.01, 3, 12, "mean", "気温", "air temperature"),
    Quantity("humidity", "%", "%RH", 0, 100, 0.01, 15, 24, "mean", "湿度", "relative humidity"),
    Quantity("dew_point", "Cel", "Cel", -80, 35, 0.01, 4, 24, "mean", "露点温度", "dew point"),
    Quantity("pressure", "hPa", "hPa", 500, 1100, 0.01, 2, 6, "mean", "気圧", "air pressure"),
    Quantity("wbgt", "Cel", "Cel", -40, 50, 0.1, 3, 12, "mean", "暑さ指数", "WBGT"),
    Quantity("globe_temperature", "Cel", "Cel", -50, 100, 0.1, 10, 12, "mean", "黒球温度", "globe temperature"),
    Quantity("wind_speed", "m/s", "m/s", 0, 75, 0.1, 20, 24, "mean", "風速", "wind speed"),
    Quantity("wind_gust", "m/s", "m/s", 0, 150, 0.1, 50, 24, "max", "最大瞬間風速", "wind gust"),
    Quantity("wind_direction", "deg", "deg", 0, 360, 1, ANY, 24, "vector_mean", "風向", "wind direction"),
    Quantity("irradiance", "W/m2", "W/m2", -20, 1600, 1, 1000, NEVER, "mean", "日射量", "solar irradiance"),
    Quantity("illuminance", "lx", "lx", 0, 200000, 0.1, 150000, NEVER, "mean", "照度", "illuminance"),
    Quantity("uv_index", "1", "/", 0, 45, 0.1, 15, NEVER, "max", "UVインデックス", "UV index"),
    Quantity("soil_moisture", "%", "/100", 0, 100, 0.1, 30, NEVER, "mean", "土壌水分", "soil moisture"),
    Quantity("soil_temperature", "Cel", "Cel", -50, 80, 0.01, 2, 48, "mean", "地温", "soil temperature"),
    Quantity("pm1", "ug/m3", "ug/m3", 0, 999, 0.1, 100, 24, "mean", "PM1", "PM1"),
    Quantity("pm2_5", "ug/m3", "ug/m3", 0, 999, 0.1, 100, 24, "mean", "PM2.5", "PM2.5"),
    Quantity("pm10", "ug/m3", "ug/m3", 0, 1990, 0.1, 200, 24, "mean", "PM10", "PM10"),
    Quantity("co2", "[ppm]", "ppm", 300, 40000, 1, 5000, 6, "mean", "二酸化炭素濃度", "carbon dioxide"),
    Quantity("no2", "[ppb]", "", -50, 5000, 0.1, 500, 12, "mean", "二酸化窒素濃度", "nitrogen dioxide"),
    Quantity("o3", "[ppb]", "", -50, 2000, 0.1, 200, 12, "mean", "オゾン濃度", "ozone"),
    Quantity("noise", "dB[SPL]{A}", "dB", 0, 150, 0.1, ANY, 6, "mean", "騒音レベル", "sound level"),
    Quantity("radiation_dose_rate", "uSv/h", "", 0, 100000, 0.001, 100, NEVER, "mean", "空間線量率", "dose rate"),
    Quantity("seismic_intensity", "1", "/", -5, 8, 0.1, ANY, NEVER, "max", "震度相当値", "seismic intensity"),
    Quantity("people_count", "1", "count", 0, 100000, 1, ANY, NEVER, "mean", "人数", "people"),
    Quantity("door_open", "1", "/", 0, 1, 1, ANY, NEVER, "max", "扉の開閉", "door open", personal=True),
    Quantity("motion", "1", "/", 0, 1, 1, ANY, NEVER, "max", "人の動き", "motion", personal=True),
    Quantity("battery_voltage", "V", "V", 0, 60, 0.01, 20, NEVER, "mean", "電池電圧", "battery voltage"),
    Quantity("battery_level", "%", "%EL", 0, 100, 1, 50, NEVER, "last", "電池残量", "battery level"),
    Quantity("signal_strength", "dB{mW}", "dBm", -150, 30, 1, ANY, NEVER, "mean", "電波強度", "signal strength"),
    Quantity("cpu_temperature", "Cel", "Cel", -40, 125, 0.1, 60, NEVER, "max", "CPU温度", "CPU temperature"),
    Quantity("disk_free", "%", "/100", 0, 100, 0.1, ANY, NEVER, "last", "ディスク空き", "free disk"),
    Quantity("memory_free", "%", "/100", 0, 100, 0.1, ANY, NEVER, "last", "メモリ空き", "free memory"),
)

QUANTITIES: dict[str, Quantity] = {row.name: row for row in _ROWS}
