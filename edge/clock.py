"""When a reading was taken, on a machine whose clock may be wrong.

A small computer without a battery-backed clock boots at its last saved time or in 1970 and jumps when NTP answers.
So readings are never timed by the wall clock itself but by the time since boot plus an *offset* that holds for one
*setting* of the clock::

    boot ---- provisional setting ---- anchor ---- anchored setting ---- source lost ---- holdover --->
              last known time                      NTP, or `now` of a live acknowledgement

What was measured under a provisional setting is corrected from the boot's anchor before it is sent; the order is
kept, because both settings count the same time since boot. A provisional setting of an earlier boot, whose anchor
can never come, is sent as it is, as ``unsynced``.

No two readings of a datastream share a key, even where a wrong setting ran ahead and the right one passes through
the same days again: all times of a setting end in the same millisecond digit, and settings use the ten digits in
turn. Within a setting they rise by at least 10 ms.
"""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from hinomi.clock import Clock
from hinomi.errors import Rejected
from sensing.observation import ClockQuality

# No reading can be older than this software (ms since 1970: 1 November 2026).
EPOCH_MS = 1_793_491_200_000
# A wall clock that differs from the setting by more than this (ms) was set; less is two reads at two moments.
STEP_MS = 50
# Times are multiples of this (ms) plus the setting's digit.
GRID_MS = 10
# An acknowledgement that took longer (s) to come says too little about the time.
SLOW_ACK_S = 5.0
# The time from acknowledgements is renewed when it has drifted by more than this (ms).
DRIFT_MS = 500
# Readings of one datastream that come faster than the grid run ahead of the time, but not further than this (ms).
AHEAD_MS = 1000
# How many settings are remembered for packs that still wait; a forgotten one is sent as unsynced.
KEPT_SETTINGS = 300

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x0040

Source = Literal["", "kernel", "cloud"]


class Setting(msgspec.Struct, frozen=True):
    """One setting of the clock: time (ms) = time since boot (ms) + offset.

    Attributes:
        number: from 1; bodies in the journal name it.
        boot: the boot it belongs to.
        offset: ms; its last digit is the setting's.
        quality: how far its times may be trusted.
        source: who said what time it is; empty: nobody.
        corrected: the offset of the boot's anchor, once there is one, for a provisional setting.
    """

    number: int
    boot: str
    offset: int
    quality: ClockQuality
    source: Source = ""
    corrected: int | None = None


# Readings that came with a time of their own: never corrected.
DEVICE_TIME = Setting(0, "", 0, ClockQuality.SYNCED)


class Correction(msgspec.Struct, frozen=True):
    """What to do with the times of a pack: add ``shift_ms``, and say ``quality``."""

    shift_ms: int
    quality: ClockQuality


def boot_id() -> str:
    """The kernel's random id of this boot."""
    return BOOT_ID.read_text("ascii").strip()


def kernel_synced() -> Callable[[], bool]:
    """A function that asks the kernel whether something disciplines its clock (``ntp_adjtime``, STA_UNSYNC).

    NTP daemons (systemd-timesyncd, chrony, ntpd) all report there, so none of them has to be asked by name.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # struct timex begins with modes (int, padded), offset, freq, maxerror, esterror (long), status (int).
    timex = ctypes.create_string_buffer(256)
    status_at = 5 * ctypes.sizeof(ctypes.c_long)
    status_end = status_at + ctypes.sizeof(ctypes.c_int)

    def synced() -> bool:
        ctypes.memset(timex, 0, len(timex))
        if libc.ntp_adjtime(timex) < 0:
            return False
        return not int.from_bytes(timex.raw[status_at:status_end], sys.byteorder) & _STA_UNSYNC

    return synced


class StationClock:
    """Gives times to readings, and knows later how to correct them.

    Attributes:
        boot: id of this boot.
        setting: the present setting.
        latest: the latest time given under it, ms; 0: none yet.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        boot: str,
        synced: Callable[[], bool],
        saved: list[Setting],
        known_ms: int,
        latest: int = 0,
    ) -> None:
        """Begin, or go on where ``dump()`` of an earlier run ended.

        Args:
            clock: the measurement clock.
            boot: id of this boot.
            synced: whether something disciplines the wall clock.
            saved: the settings of earlier runs.
            known_ms: a moment that had passed when the run before ended; 0: none is known.
            latest: the latest time that the run before gave, where it ran ahead of the clock.
        """
        self.boot = boot
        self._clock = clock
        self._synced = synced
        self._settings = {setting.number: setting for setting in saved}
        self._floors: dict[tuple[str, str], int] = {}
        last = self._settings[max(self._settings)] if self._settings else DEVICE_TIME
        self.setting = last
        # What the run before gave to any datastream is not given again; a time of another setting means nothing.
        self.latest = self._start = latest if latest <= self.now() + 2 * AHEAD_MS else 0
        if last.boot != boot:
            start = max(clock.now(), known_ms, EPOCH_MS)
            self._adopt(self._with_new_digit(start - self._monotonic()), ClockQuality.UNSYNCED, "")
        self.check()

    def now(self) -> int:
        """The station's best knowledge of the time, ms."""
        return self._monotonic() + self.setting.offset

    def dump(self) -> list[Setting]:
        """The settings to keep; they change only where ``check`` or ``anchor`` returned True."""
        return [self._settings[number] for number in sorted(self._settings)]

    def stamp(self, sensor: str, quantity: str, *, age_s: float = 0.0) -> int:
        """The time (ms) of a reading taken ``age_s`` ago; unique and rising within the setting.

        Raises:
            Rejected: ``too_fast``, the datastream had so many readings that their times ran ahead by a second.
        """
        grid = (self._monotonic() - round(age_s * 1000) + GRID_MS // 2) // GRID_MS * GRID_MS + self.setting.offset
        key = (sensor, quantity)
        at = max(grid, self._floors.get(key, self._start) + GRID_MS)
        if at > grid + AHEAD_MS + age_s * 1000:
            raise Rejected("too_fast", f"{sensor}/{quantity} has more than {1000 // GRID_MS} readings a second")
        self._floors[key] = at
        self.latest = max(self.latest, at)
        return at

    def check(self) -> bool:
        """Look at the wall clock and at who disciplines it; True when the setting changed."""
        now = self.setting
        if not self._synced():
            if now.source != "kernel" or now.quality is ClockQuality.HOLDOVER:
                return False
            # Whatever the wall clock shows from here on, the anchor and the time since boot know better.
            self._adopt(now.offset, ClockQuality.HOLDOVER, "kernel")
            return True
        offset = self._clock.now() - self._monotonic()
        if now.quality is ClockQuality.SYNCED and now.source == "kernel" and abs(offset - now.offset) <= STEP_MS:
            return False
        self._anchor(offset, STEP_MS, "kernel")
        return True

    def anchor(self, now_ms: int, *, waited_s: float) -> bool:
        """Take the time from a live acknowledgement while NTP is out of reach; True when the setting changed.

        Args:
            now_ms: the cloud's time when it acknowledged.
            waited_s: seconds from the sending of what is acknowledged until now; ``now_ms`` lies within them.
        """
        now = self.setting
        if waited_s > SLOW_ACK_S or (now.source == "kernel" and now.quality is ClockQuality.SYNCED):
            return False
        latest = now_ms - self._monotonic() + round(waited_s * 1000)
        offset = now_ms - self._monotonic()
        fits = offset - DRIFT_MS <= now.offset <= latest + DRIFT_MS
        if now.source and fits:
            return False
        self._anchor(now.offset if fits else offset, STEP_MS, "cloud")
        return True

    def correction(self, number: int) -> Correction | None:
        """How to send what was measured under setting ``number``; None: not yet, its anchor may still come."""
        setting = DEVICE_TIME if number == DEVICE_TIME.number else self._settings.get(number)
        if setting is None:
            return Correction(0, ClockQuality.UNSYNCED)
        if setting.quality is not ClockQuality.UNSYNCED:
            return Correction(0, setting.quality)
        if setting.corrected is not None:
            return Correction(setting.corrected - setting.offset, ClockQuality.CORRECTED)
        return None if setting.boot == self.boot else Correction(0, ClockQuality.UNSYNCED)

    def _anchor(self, offset: int, tolerance: int, source: Source) -> None:
        """The time is known: go on under it, and correct what this boot measured before."""
        near = abs(offset - self.setting.offset) <= tolerance
        self._adopt(self.setting.offset if near else self._with_new_digit(offset), ClockQuality.SYNCED, source)
        for setting in list(self._settings.values()):
            provisional = setting.quality is ClockQuality.UNSYNCED and setting.corrected is None
            if provisional and setting.boot == self.boot:
                self._settings[setting.number] = msgspec.structs.replace(setting, corrected=self.setting.offset)

    def _adopt(self, offset: int, quality: ClockQuality, source: Source) -> None:
        if self.setting.quality is ClockQuality.UNSYNCED and self.setting.boot == self.boot:
            # What was measured before will be corrected by as much, and shares the digit from then on.
            shift = offset - self.setting.offset
            self._floors = {key: at + shift for key, at in self._floors.items()}
            self._start, self.latest = self._start + shift, self.latest + shift
        elif offset != self.setting.offset:
            self._floors.clear()
            self._start = self.latest = 0
        self.setting = Setting(self.setting.number + 1, self.boot, offset, quality, source)
        self._settings[self.setting.number] = self.setting
        for number in sorted(self._settings)[:-KEPT_SETTINGS]:
            del self._settings[number]

    def _with_new_digit(self, offset: int) -> int:
        digit = (self.setting.offset + 1) % GRID_MS
        return (offset - digit + GRID_MS // 2) // GRID_MS * GRID_MS + digit

    def _monotonic(self) -> int:
        return round(self._clock.monotonic() * 1000)
