"""What the doctor finds, and what every kind of machine is looked at for. The doctor makes and changes no file."""

import contextlib
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec

from hinomi.clock import Clock
from hinomi.errors import ConfigError, Transient

Verdict = Literal["ok", "look", "fail"]

# A machine that never knew the time says 1970 or the day its card was written; ms since 1970, 1 November 2026.
_YOUNGEST_MS = 1_793_491_200_000
# Below this (bytes) a journal has no room for its own emptying.
_FULL = 16 << 20
_MIB = 1 << 20


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


class Around(msgspec.Struct, frozen=True):
    """What the doctor takes from the machine; tests put their own in its place.

    Attributes:
        clock: its clocks.
        synced: whether something disciplines its wall clock.
    """

    clock: Clock
    synced: Callable[[], bool]

    @property
    def knows_the_time(self) -> bool:
        """Whether certificates can be judged by it."""
        return self.synced() and self.clock.now() >= _YOUNGEST_MS


async def tried(what: str, work: Awaitable[object], good: str) -> Finding:
    """``good`` when the work ends well, else what its error says."""
    try:
        await work
    except ConfigError as error:
        return Finding("fail", what, "; ".join(str(fault) for fault in error.faults))
    except (Transient, OSError, TimeoutError) as error:
        return Finding("fail", what, str(error) or type(error).__name__)
    return Finding("ok", what, good)


def clock(around: Around, *, trusted: bool, replayed: bool) -> Finding:
    """Whether this machine knows the time.

    Args:
        around: its clocks.
        trusted: the configuration says that the clock is right.
        replayed: a scaled clock is configured.
    """
    if replayed:
        return Finding("look", "clock", "a scaled clock is configured: this is a demo or a replay")
    if around.clock.now() < _YOUNGEST_MS:
        words = (
            "it is older than this software: set it (timedatectl set-time), or let NTP (timedatectl set-ntp true)"
        )
        return Finding("fail", "clock", words)
    if trusted:
        return Finding("ok", "clock", "the configuration trusts it")
    if not around.synced():
        return Finding("look", "clock", "nothing keeps it right: let NTP do it (timedatectl set-ntp true)")
    return Finding("ok", "clock", "kept right by NTP")


def user(path: Path) -> Finding | None:
    """Root sees no missing right: say so where the files are somebody else's."""
    with contextlib.suppress(OSError):
        owner = path.parent.stat().st_uid
        if os.geteuid() == 0 and owner != 0:
            words = f"you are root, and {path.parent} belongs to {_name(owner)}: what you may, that user may not"
            return Finding("look", "user", f"{words}; ask again as sudo -u {_name(owner)} hinomi doctor …")
    return None


def folder(what: str, path: Path, *, cap: int, setting: str) -> Finding:
    """Whether the folder of ``path`` can be written to and has room.

    Args:
        what: the name of the finding.
        path: a file that need not be there yet.
        cap: how large it may grow, bytes.
        setting: the name of that limit.
    """
    place = path.parent
    try:
        disk = os.statvfs(place)
    except OSError as error:
        return Finding("fail", what, f"the folder {place} cannot be used ({error.strerror}): make it, for our user")
    if disk.f_flag & os.ST_RDONLY:
        words = f"the disk of {place} is mounted read-only; a worn card does that by itself: see dmesg, exchange it"
        return Finding("fail", what, words)
    if (denied := _denied(place, path)) is not None:
        return Finding("fail", what, denied)
    free = disk.f_bavail * disk.f_frsize
    room = f"{free // _MIB} MiB free on the disk of {place}"
    if free < _FULL:
        return Finding("fail", what, f"{room}: it is full, nothing can be accepted; make room (df -h {place})")
    needed = cap - _size(path)
    if free < needed:
        words = f"it may grow by {needed // _MIB} MiB more: make room, or lower {setting}"
        return Finding("look", what, f"{room}; {words}")
    return Finding("ok", what, room)


def is_there(path: Path) -> bool:
    """Whether a file is there and may be looked at."""
    return os.access(path, os.F_OK)


def _denied(place: Path, path: Path) -> str | None:
    """Who would have to run this, when this user may not write here."""
    for file in (path, place):
        if is_there(file) and not os.access(file, os.W_OK):
            owner = _name(file.stat().st_uid)
            me = _name(os.geteuid())
            return f"user {me} may not write to {file}, it belongs to {owner}: sudo -u {owner} hinomi …, or give it"
    return None


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
