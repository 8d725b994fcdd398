"""The maintenance button: while somebody works at the station, its readings say so and no rule reads them.

A small file beside the journal, written by the command and read by the agent, so that it works whether or not the
agent is running and outlives a restart of either. It ends by itself: in the same boot by the time since boot, after
a reboot by the wall clock, and never later than two hours after the boot in which it is found.
"""

import os
from pathlib import Path

import msgspec

from hinomi.clock import Clock
from hinomi.errors import ConfigError

LASTS_S = 2 * 3600.0


class Mark(msgspec.Struct, frozen=True):
    """When maintenance began: in which boot, how long after it (s), and the wall time (ms)."""

    boot: str
    booted_s: float
    wall_ms: int


def file_of(journal: Path) -> Path:
    """Where the mark is."""
    return journal.with_name(journal.name + ".maintenance")


def start(journal: Path, boot: str, clock: Clock) -> None:
    """Begin (again): it ends in two hours.

    Raises:
        ConfigError: the file cannot be written by this user.
    """
    mark = Mark(boot, clock.monotonic(), clock.now())
    path = file_of(journal)
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(msgspec.json.encode(mark))
        os.replace(temporary, path)  # noqa: PTH105 - the words of the manual: atomic
    except OSError as error:
        raise ConfigError.of(str(path), f"cannot be written ({error.strerror}); run as the agent's user") from error


def stop(journal: Path) -> None:
    """End it now.

    Raises:
        ConfigError: the file cannot be removed by this user.
    """
    path = file_of(journal)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError.of(str(path), f"cannot be removed ({error.strerror}); run as the agent's user") from error


def left_s(journal: Path, boot: str, clock: Clock) -> float:
    """Seconds of maintenance that are left; 0: none."""
    try:
        mark = msgspec.json.decode(file_of(journal).read_bytes(), type=Mark)
    except (OSError, msgspec.DecodeError):
        return 0.0
    booted = clock.monotonic()
    passed = booted - mark.booted_s if mark.boot == boot else max((clock.now() - mark.wall_ms) / 1000, booted)
    return max(0.0, LASTS_S - max(passed, 0.0))
