"""What recordings write into their time columns, as integer milliseconds since 1970 (UTC).

Understood without being told: ISO 8601 with ``-`` or ``/`` or 年月日, with or without zone, an hour of 24 (the next
day's 00:00, as Japanese offices write it), compact ``YYYYMMDD[HHMM[SS]]``, and numbers of seconds (10 digits) or
milliseconds (13 digits) since 1970. Anything else takes a ``strptime`` pattern.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from hinomi.errors import Rejected

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_SECONDS = re.compile(r"(\d{10})(?:\.(\d{1,9}))?")
_MILLISECONDS = re.compile(r"\d{13}")
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_WRITTEN = re.compile(
    r"(?P<year>\d{4})\s*[-/.年]\s*(?P<month>\d{1,2})\s*[-/.月]\s*(?P<day>\d{1,2})日?"
    r"(?:[T\s]\s*(?P<hour>\d{1,2})"
    r"(?:[:時]\s*(?:(?P<minute>\d{1,2})(?:[:分]\s*(?:(?P<second>\d{1,2})(?:[.,](?P<part>\d{1,9}))?秒?)?)?)?)?)?"
    + _ZONE
)
_COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:[T\s]?(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?)?" + _ZONE
)
_MIDNIGHT = re.compile(r"(?<!\d)24(?=:?00(:?00)?(?!\d))")


class Times:
    """Reads the time of one row after the other.

    Args:
        zone: where a time without an offset of its own was written; an IANA name.
        pattern: a ``strptime`` pattern instead of the forms understood by themselves.
    """

    def __init__(self, zone: str = "UTC", pattern: str | None = None) -> None:
        self._zone: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
        self._pattern = pattern

    def read(self, text: str, *, after: int | None = None) -> int:
        """The time in ms that ``text`` names.

        An hour that the end of summer time makes happen twice is the first one that lies after ``after``, the time
        of the row before.

        Raises:
            Rejected: ``bad_time`` when it cannot be read, ``nonexistent_time`` when the clocks skipped it.
        """
        clean = unicodedata.normalize("NFKC", text).strip()
        try:
            return self._pick(self._parse(clean), clean, after)
        except (ValueError, OverflowError) as error:
            raise Rejected("bad_time", f"{text!r} is not a time: {error}") from error

    def _parse(self, text: str) -> int | datetime:
        if self._pattern is not None:
            moment, rest = _without_24(text)
            return datetime.strptime(moment, self._pattern) + rest  # noqa: DTZ007 - the zone is added by _pick
        if found := _SECONDS.fullmatch(text):
            return int(found[1]) * 1000 + _part_ms(found[2])
        if _MILLISECONDS.fullmatch(text):
            return int(text)
        found = _WRITTEN.fullmatch(text) or _COMPACT.fullmatch(text)
        if found is None:
            raise ValueError("expected something like 2019-07-01 09:00, or tell the pattern")
        return _written(found)

    def _pick(self, moment: int | datetime, text: str, after: int | None) -> int:
        if isinstance(moment, int):
            return moment
        if moment.tzinfo is not None:
            return (moment - _EPOCH) // _MS
        first, second = (_ms(moment, self._zone, fold) for fold in (0, 1))
        if first == second:
            return first
        if _back(first, self._zone) != moment:
            raise Rejected("nonexistent_time", f"{text!r} was skipped when the clocks went forward")
        return first if after is None or first > after else second


def _ms(moment: datetime, zone: tzinfo, fold: int) -> int:
    return (moment.replace(tzinfo=zone, fold=fold) - _EPOCH) // _MS


def _back(at_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + at_ms * _MS).astimezone(zone).replace(tzinfo=None, fold=0)


def _written(found: re.Match[str]) -> datetime:
    year, month, day = (int(found[name]) for name in ("year", "month", "day"))
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    part = _part_ms(found["part"])
    days = 0
    if hour == 24:
        if minute or second or part:
            raise ValueError("only 24:00 itself can follow 23:59")
        hour, days = 0, 1
    moment = datetime(year, month, day, hour, minute, second, part % 1000 * 1000, _offset(found["zone"]))
    return moment + timedelta(days=days, seconds=part // 1000)


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in {"Z", "UTC", "GMT"}:
        return UTC
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0)))


def _part_ms(digits: str | None) -> int:
    """A fraction of a second, its digits, in ms; rounded, so ``9996`` is 1000."""
    return round(int(digits) / 10 ** (len(digits) - 3)) if digits else 0


def _without_24(text: str) -> tuple[str, timedelta]:
    replaced, count = _MIDNIGHT.subn("00", text, count=1)
    return replaced, timedelta(days=count)
