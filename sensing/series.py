"""The only place where a name in InfluxDB is spelt.

Measurement = quantity; tags community, station, sensor; fields ``value`` (float), ``flags`` and ``seq`` (integers);
timestamps in milliseconds. One database a community.
"""

from collections.abc import Collection, Iterable, Mapping

from hinomi.errors import Rejected
from sensing.observation import Datastream, Observation

PRECISION = "ms"
RETENTION = "raw"  # the retention policy of the readings as they came
OWN_PREFIX = "hinomi_"  # measurements of the cloud's own matters, never a quantity
LOSS = OWN_PREFIX + "loss"  # the loss meter
STATION = OWN_PREFIX + "station"  # online, counters, clock quality
INCIDENT = OWN_PREFIX + "incident"
DELIVERY = OWN_PREFIX + "delivery"

_TAGS = frozenset({"community", "station", "sensor"})
_STATIONS_MAX = 100
_FIRST = "-9223372036854775806"

_PREFIXES: dict[Datastream, str] = {}
_PREFIXES_MAX = 65536


def database(community: str) -> str:
    """The database (1.x, 3.x) or bucket (2.x) of a community."""
    return f"hinomi_{community}"


def line(observation: Observation) -> str:
    """One line of line protocol, without the line's end.

    Raises:
        Rejected: ``bad_name`` when a name cannot be spelt in line protocol.
    """
    prefix = _PREFIXES.get(observation.datastream) or _prefix(observation.datastream)
    return (
        f"{prefix}{observation.value!r},flags={observation.flags}i,seq={observation.seq}i {observation.measured_at}"
    )


def lines(observations: Iterable[Observation]) -> str:
    """Line protocol of many observations, separated by line feeds."""
    return "\n".join(map(line, observations))


def own_line(measurement: str, *, tags: Mapping[str, str], fields: Mapping[str, float | str], at: int) -> str:
    """One line about the cloud itself.

    Args:
        measurement: LOSS, STATION, INCIDENT or DELIVERY.
        tags: few values each; empty ones are left out, as InfluxDB refuses them.
        fields: at least one; bool, int, float or text.
        at: ms since 1970.

    Raises:
        Rejected: ``bad_name`` when a name cannot be spelt in line protocol.
    """
    pairs = [f"{_tag(_checked(key))}={_tag(_checked(value))}" for key, value in sorted(tags.items()) if value]
    values = [f"{_tag(_checked(key))}={_field(value)}" for key, value in fields.items()]
    return f"{','.join([_escape(_checked(measurement)), *pairs])} {','.join(values)} {at}"


def _prefix(datastream: Datastream) -> str:
    d = datastream
    for name in (d.community, d.station, d.sensor, d.quantity):
        _checked(name)
    if len(_PREFIXES) >= _PREFIXES_MAX:
        _PREFIXES.clear()
    prefix = (
        f"{_escape(d.quantity)},community={_tag(d.community)},sensor={_tag(d.sensor)},"
        f"station={_tag(d.station)} value="
    )
    _PREFIXES[d] = prefix
    return prefix


def _checked(name: str) -> str:
    # A backslash before a separator has no escape of its own, a line feed would begin another point, # a comment.
    if not name or "\\" in name or name[0] == "#" or not name.isprintable():
        raise Rejected("bad_name", f"{name!r} cannot be a name in InfluxDB")
    return name


def _field(value: float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_quote(value)}"'
    return f"{value}i" if isinstance(value, int) else repr(value)


def _escape(text: str) -> str:
    return text.replace(",", "\\,").replace(" ", "\\ ")


def _tag(text: str) -> str:
    return _escape(text).replace("=", "\\=")


def series_of(measurement: str, tags: Mapping[str, str]) -> Datastream | None:
    """The datastream of a series in an answer; None for a measurement that is not a quantity's."""
    if measurement.startswith(OWN_PREFIX) or not tags.keys() >= _TAGS:
        return None
    return Datastream(tags["community"], tags["station"], tags["sensor"], measurement)


def series_of_key(key: str) -> Datastream | None:
    """The datastream of a series key as ``SHOW SERIES`` lists it (``measurement,tag=value,…``)."""
    measurement, *parts = (part.replace("\0", ",") for part in key.replace("\\,", "\0").split(","))
    pairs = [part.replace("\\=", "\0").partition("=") for part in parts]
    tags = {name: _unescape(value.replace("\0", "=")) for name, _, value in pairs}
    return series_of(_unescape(measurement), tags)


KNOWN_SERIES = "SHOW SERIES"


def newest_query(start: int, end: int | None, missing: Collection[Datastream] = ()) -> str:
    """The newest ``value`` and ``flags`` of each series with start <= time (ms) < end.

    Ordering by time and stopping at one row is what keeps the database from reading a whole history, as ``last()``
    does. ``missing`` narrows it to those measurements and stations (and perhaps some of their neighbours).
    """
    source = ", ".join(_name(name) for name in sorted({d.quantity for d in missing})) or "/.*/"
    stations = sorted({d.station for d in missing})
    where = [f"time >= {start}ms"]
    if end is not None:
        where.append(f"time < {end}ms")
    if stations and len(stations) <= _STATIONS_MAX:
        where.append("(" + " OR ".join(f"{_name('station')} = {_text(name)}" for name in stations) + ")")
    return (
        f"SELECT value, flags FROM {source} WHERE {' AND '.join(where)} "  # noqa: S608 - names pass _name or _text, the rest are integers
        "GROUP BY community, station, sensor ORDER BY time DESC LIMIT 1"
    )


def buckets_query(datastream: Datastream, start: int, end: int, step: int) -> str:
    """Columns time, mean, min, max, count of one datastream, start <= time < end, buckets aligned to 1970 (ms)."""
    d = datastream
    return (
        f"SELECT mean(value), min(value), max(value), count(value) FROM {_name(d.quantity)} "  # noqa: S608 - names pass _name or _text, the rest are integers
        f"WHERE community = {_text(d.community)} AND station = {_text(d.station)} AND sensor = {_text(d.sensor)} "
        f"AND time >= {start}ms AND time < {end}ms GROUP BY time({step}ms) fill(none)"
    )


def count_query() -> str:
    """How many values each measurement holds; a row each, those of ``OWN_PREFIX`` included."""
    return "SELECT count(value) FROM /.*/"


def erase_query(station: str | None, before: int | None) -> str:
    """Delete a database's points, or those of a station, or those with time (ms) < before (InfluxDB 1.x)."""
    where = []
    if station is not None:
        where.append(f"station = {_text(station)}")
    if before is not None:
        where.append(f"time < {before}ms")
    # Without a condition DELETE is refused; the year 1677 is where InfluxDB's time begins.
    return "DELETE FROM /.*/ WHERE " + (" AND ".join(where) or f"time > {_FIRST}")  # noqa: S608 - quoted by _text


def erase_predicate(station: str | None) -> str:
    """The same as a predicate of ``/api/v2/delete`` (InfluxDB 2.x; its times are sent beside it); empty: all."""
    return "" if station is None else f'station="{_quote(station)}"'


def create_query(name: str, days: int) -> str:
    """Make a database that keeps its points for ``days`` (InfluxDB 1.x); harmless when it exists alike."""
    policy = f"DURATION {days}d REPLICATION 1 SHARD DURATION 1d NAME {_name(RETENTION)}"
    return f"CREATE DATABASE {_name(name)} WITH {policy}"


def retention_query(name: str, days: int) -> str:
    """Change how long a database keeps its points (InfluxDB 1.x)."""
    return f"ALTER RETENTION POLICY {_name(RETENTION)} ON {_name(name)} DURATION {days}d SHARD DURATION 1d"


def _name(text: str) -> str:
    return f'"{_quote(text)}"'


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _unescape(text: str) -> str:
    return text.replace("\\ ", " ").replace("\\,", ",").replace("\\=", "=")
