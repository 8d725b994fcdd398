"""MQTT topics as frozen, validated values: ``hinomi/v1/{community}/{station}/{leaf}``."""

import re
from typing import Self

import msgspec

ROOT = "hinomi/v1"
LEAVES = frozenset({"obs", "ack", "status", "media", "cmd", "cmd/result", "config", "config/applied"})
# SenML names must begin with a letter or digit (RFC 8428, 4.5.1), and a name begins with the community.
IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class StationId(msgspec.Struct, frozen=True, order=True):
    """Who speaks: ``community/station``, which is also the MQTT user name and the certificate's CN."""

    community: str
    station: str

    def __post_init__(self) -> None:
        for part in (self.community, self.station):
            if not IDENTIFIER.fullmatch(part):
                raise ValueError(f"{part!r} is not an identifier: a-z, 0-9 and -, at most 32, not starting with -")

    def __str__(self) -> str:
        return f"{self.community}/{self.station}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``community/station``; ValueError says what is wrong."""
        community, slash, station = text.partition("/")
        if not slash:
            raise ValueError(f"{text!r} is not COMMUNITY/STATION")
        return cls(community, station)

    @property
    def client_id(self) -> str:
        """The MQTT client id; with a dot, because some brokers refuse a slash."""
        return f"{self.community}.{self.station}"

    def topic(self, leaf: str) -> str:
        """The topic of one leaf of this station."""
        if leaf not in LEAVES:
            raise ValueError(f"{leaf!r} is not a leaf of a station's topics")
        return f"{ROOT}/{self.community}/{self.station}/{leaf}"


def parse_topic(topic: str) -> tuple[StationId, str]:
    """Split a topic into station and leaf; ValueError when it is not one of ours."""
    prefix = f"{ROOT}/"
    if not topic.startswith(prefix):
        raise ValueError(f"{topic!r} does not begin with {prefix}")
    community, _, rest = topic[len(prefix) :].partition("/")
    station, _, leaf = rest.partition("/")
    if leaf not in LEAVES:
        raise ValueError(f"{topic!r} does not end with a leaf of a station's topics")
    return StationId(community, station), leaf


def everybody(leaf: str) -> str:
    """The cloud's subscription to one leaf of all stations."""
    return f"{ROOT}/+/+/{leaf}"
