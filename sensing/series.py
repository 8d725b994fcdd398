"""The only place where a name in InfluxDB is spelt.

Measurement = quantity; tags community, station, sensor; fields ``value`` (float), ``flags`` and ``seq`` (integers);
timestamps in milliseconds. One database a community.
"""

from collections.abc import Iterable

from sensing.observation import Datastream, Observation

PRECISION = "ms"

_PREFIXES: dict[Datastream, str] = {}
_PREFIXES_MAX = 65536


def database(community: str) -> str:
    """The database (1.x, 3.x) or bucket (2.x) of a community."""
    return f"hinomi_{community}"


def line(observation: Observation) -> str:
    """One line of line protocol, without the line's end."""
    prefix = _PREFIXES.get(observation.datastream) or _prefix(observation.datastream)
    return (
        f"{prefix}{observation.value!r},flags={observation.flags}i,seq={observation.seq}i {observation.measured_at}"
    )


def lines(observations: Iterable[Observation]) -> str:
    """Line protocol of many observations, separated by line feeds."""
    return "\n".join(map(line, observations))


def _prefix(datastream: Datastream) -> str:
    d = datastream
    if len(_PREFIXES) >= _PREFIXES_MAX:
        _PREFIXES.clear()
    prefix = (
        f"{_escape(d.quantity)},community={_tag(d.community)},sensor={_tag(d.sensor)},"
        f"station={_tag(d.station)} value="
    )
    _PREFIXES[d] = prefix
    return prefix


def _escape(text: str) -> str:
    return text.replace(",", "\\,").replace(" ", "\\ ")


def _tag(text: str) -> str:
    return _escape(text).replace("=", "\\=")
