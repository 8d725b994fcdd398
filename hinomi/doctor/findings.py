"""What the doctor finds, and what every kind of machine is looked at for."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Literal

import msgspec

from hinomi.clock import Clock
from hinomi.errors import ConfigError, Transient

Verdict = Literal["ok", "look", "fail"]

# A machine that never knew the time says 1970 or the day its card was written; ms since 1970, 1 November 2026.
_YOUNGEST_MS = 1_793_491_200_000


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        verdict: ``ok``; ``look``: works, but a person should know; ``fail``: will not work.
        what: the thing.
        words: what was found, and what to do about it.
    """

    verdict: Verdict
    what: str
    words: str


Findings = AsyncIterator[Finding]


async def tried(what: str, work: Awaitable[object], good: str) -> Finding:
    """``good`` when the work ends well, else what its error says."""
    try:
        await work
    except ConfigError as error:
        return Finding("fail", what, "; ".join(str(fault) for fault in error.faults))
    except (Transient, OSError, TimeoutError) as error:
        return Finding("fail", what, str(error) or type(error).__name__)
    return Finding("ok", what, good)


def clock(now: Clock, *, synced: bool, replayed: bool) -> Finding:
    """Whether this machine knows the time."""
    if replayed:
        return Finding("look", "clock", "a scaled clock is configured: this is a demo or a replay")
    if now.now() < _YOUNGEST_MS:
        return Finding("fail", "clock", "the clock is older than this software: set it, or let NTP set it")
    if not synced:
        return Finding("look", "clock", "nothing keeps this clock right; enable NTP: timedatectl set-ntp true")
    return Finding("ok", "clock", "kept right by NTP")


def folder(what: str, path: Path, *, needs_bytes: int) -> Finding:
    """Whether the folder of ``path`` can be written to and has room."""
    place = path.parent
    if not place.is_dir():
        return Finding("fail", what, f"the folder {place} does not exist; make it, owned by this user")
    if not os.access(place, os.W_OK):
        return Finding("fail", what, f"this user may not write into {place}")
    free = shutil.disk_usage(place).free
    room = f"{free >> 20} MiB free on the disk of {path}"
    if free < needs_bytes:
        return Finding(
            "look", what, f"{room}, less than its cap of {needs_bytes >> 20} MiB: make room, or lower it"
        )
    return Finding("ok", what, room)
