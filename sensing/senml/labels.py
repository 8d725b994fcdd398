"""The labels of RFC 8428, table 1 and 4, our extension labels, and the limits of a record's fields."""

import re

CBOR_LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
    "t": 6,
    "ut": 7,
    "vd": 8,
}
LABEL_OF_CBOR = {number: label for label, number in CBOR_LABELS.items()}
BASE_LABELS = frozenset(label for label in CBOR_LABELS if label.startswith("b"))
HEADER_LABELS = ("hn_stream", "hn_seq", "hn_base", "hn_accepted", "hn_dropped", "hn_clock", "hn_kind")

# RFC 8428, 4.5.1; `\Z` because `$` lets a line feed through.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")

# Random ids of journals.
STREAM = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")

VERSION = 10
# RFC 9100: a version is a set of feature bits; 10 is bits 1 and 3, bit 4 allows the secondary units of RFC 8798.
VERSION_SECONDARY_UNITS = 26

# Below this number of seconds a time is relative to now (RFC 8428, 4.5.3).
RELATIVE_BELOW_S = 268_435_456.0
# End of the year 9999; later times overflow what a database or a calendar takes.
LATEST_MS = 253_402_300_799_999


def version_is_known(version: int) -> bool:
    """Whether this code understands a pack of that version (older ones, 10, and 10 with secondary units)."""
    return 1 <= version <= VERSION or version == VERSION_SECONDARY_UNITS
