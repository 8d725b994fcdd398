"""What the agent knows of itself: counters, which sensor fails and why; the station's status is made of it."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from hinomi.clock import Clock

_LOG = logging.getLogger("hinomi.edge")

_SERIALS = (Path("/sys/firmware/devicetree/base/serial-number"), Path("/etc/machine-id"))


class Trouble(msgspec.Struct, frozen=True):
    """A sensor or intake that does not work at present.

    Attributes:
        part: e.g. ``sensor air``.
        error: the last error's text.
        since: when it began, s of the pace.
    """

    part: str
    error: str
    since: float


class Health:
    """Counters and troubles; a change of the troubles raises ``version``.

    Attributes:
        counters: name -> how often.
        version: changes when the station's status should be published again.
    """

    def __init__(self, pace: Clock) -> None:
        self._pace = pace
        self.counters: Counter[str] = Counter()
        self.version = 0
        self._troubles: dict[str, Trouble] = {}
        self._notices: list[str] = []

    def count(self, counter: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counters[counter] += by

    def failed(self, part: str, error: str) -> None:
        """``part`` does not work; logged when this is news."""
        known = self._troubles.get(part)
        if known is None:
            _LOG.warning("%s: %s; trying again, the others go on", part, error)
            self.version += 1
        elif known.error != error:
            _LOG.debug("%s: %s", part, error)
        self._troubles[part] = Trouble(part, error, known.since if known else self._pace.monotonic())

    def works(self, part: str) -> None:
        """``part`` works (again)."""
        trouble = self._troubles.pop(part, None)
        if trouble is not None:
            _LOG.warning("%s: works again after %.0f s", part, self._pace.monotonic() - trouble.since)
            self.version += 1

    def tell(self, notice: str) -> None:
        """Tell the operator something that a person should know; it stays in the status."""
        _LOG.error("%s", notice)
        self._notices.append(notice)
        del self._notices[:-10]
        self.version += 1

    def keep(self, parts: set[str]) -> None:
        """Drop the troubles of parts that a new configuration no longer has."""
        for part in self._troubles.keys() - parts:
            del self._troubles[part]

    def summary(self) -> dict[str, Any]:
        """Counters, troubles and notices as plain data."""
        now = self._pace.monotonic()
        return {
            "counters": dict(sorted(self.counters.items())),
            "troubles": [
                {"part": trouble.part, "error": trouble.error, "for_s": round(now - trouble.since)}
                for trouble in self._troubles.values()
            ],
            "notices": list(self._notices),
        }


def machine_serial() -> str:
    """What tells this machine from a copy of its card: the board's serial number, else the machine id; or empty."""
    for path in _SERIALS:
        try:
            serial = path.read_text("ascii", errors="ignore").strip("\0\n ")
        except OSError:
            continue
        if serial:
            return serial
    return ""
