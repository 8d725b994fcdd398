"""Readings and what they belong to, in the words of OGC SensorThings.

A *Reading* is what a sensor gave, inside one station. An *Observation* is a reading that has reached the cloud and
knows its Datastream.
"""

import enum

import msgspec


class Flag(enum.IntFlag):
    """What quality control thinks of a value; flags never delete and never travel on the wire."""

    RANGE = 1
    STEP = 2
    STUCK = 4
    GAP = 8
    CLOCK = 16  # measured while the station's clock was not known to be right
    MAINTENANCE = 32  # somebody was working at the station; no rule reads it


class Kind(enum.StrEnum):
    """What a pack carries (``hn_kind`` on the wire)."""

    READING = "reading"
    EVENT = "event"
    MAINTENANCE = "maintenance"
    DROPPED = "dropped"  # a tombstone: its readings were thinned or given up, and are declared


class Status(enum.StrEnum):
    """CAP's status, carried from the rule to the adapter."""

    ACTUAL = "Actual"
    EXERCISE = "Exercise"
    TEST = "Test"


class ClockQuality(enum.StrEnum):
    """How far a station's wall time may be trusted (``hn_clock`` on the wire)."""

    SYNCED = "synced"  # set by NTP or a cloud anchor during this boot
    HOLDOVER = "holdover"  # was synced in this boot, source now out of reach
    CORRECTED = "corrected"  # measured before the clock was set, corrected from this boot's anchor
    UNSYNCED = "unsynced"  # never set in this boot: last known time plus monotonic; no rule, no rollup


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value of one sensor of a station.

    Attributes:
        sensor: id inside the station, ``[a-z0-9-]{1,32}``.
        quantity: a name of ``sensing.quantity.QUANTITIES``.
        measured_at: phenomenon time, integer milliseconds since 1970 UTC.
        value: in the quantity's UCUM unit; finite.
    """

    sensor: str
    quantity: str
    measured_at: int
    value: float


class Datastream(msgspec.Struct, frozen=True, order=True, gc=False):
    """One quantity of one sensor of one station of one community."""

    community: str
    station: str
    sensor: str
    quantity: str


class Observation(msgspec.Struct, frozen=True, gc=False):
    """A reading in the cloud.

    The key (datastream, measured_at) is unique; ``flags`` is a sum of Flag; ``seq`` the pack it came in (0: none).
    """

    datastream: Datastream
    measured_at: int
    value: float
    flags: int = 0
    seq: int = 0
