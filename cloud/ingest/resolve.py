"""From the records of a pack to observations; what is wrong with one reading does not touch the others.

This is the inner loop of the cloud: the usual reading costs one look-up, a few comparisons and one Observation.
Everything unusual goes through ``_value`` and ends with a Rejected that names the field.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from hinomi.errors import Rejected
from sensing.observation import ClockQuality, Datastream, Flag, Kind, Observation
from sensing.quality import Checker, State
from sensing.quantity import QUANTITIES, Quantity
from sensing.senml import Item, Pack
from sensing.topic import IDENTIFIER, StationId
from sensing.units import linear

MAX_DATASTREAMS = 512
# Nobody measured for us before; such a time is a clock that was never set.
EARLIEST_MS = 946_684_800_000  # 2000-01-01
_FLAGGED = 64


class Forged(Rejected):
    """A station speaks as somebody else: nothing of the pack can be believed."""


class Series(msgspec.Struct):
    """What is looked up for each name on the wire.

    Attributes:
        station: whose name it is.
        datastream: the one object that all its observations share.
        quantity: what is measured.
        unit: as it usually comes; None: left out.
        checker: limits.
        state: what came last.
        flagged: time to flags of the last flagged readings; a resend must come out as it did at first, because it
            replaces the row in the store.
    """

    station: StationId
    datastream: Datastream
    quantity: Quantity
    unit: str | None
    checker: Checker
    state: State
    flagged: dict[int, int]

    def judge_late(self, at: int, value: float) -> int:
        """A reading that is not the newest."""
        return self.flagged.get(at) or self.checker.check(self.state, at, value)

    def remember(self, at: int, flags: int) -> None:
        """Keep a flagged reading."""
        if len(self.flagged) >= _FLAGGED and at not in self.flagged:
            del self.flagged[next(iter(self.flagged))]
        self.flagged[at] = flags


class Bad(msgspec.Struct, frozen=True):
    """One record that was refused."""

    index: int
    reason: str
    detail: str


class Outcome(msgspec.Struct):
    """A pack, resolved.

    Attributes:
        observations: in the order of the pack.
        bad: refused records.
        flags: (index of the record, flags by quality control), where there are any.
    """

    observations: list[Observation]
    bad: list[Bad]
    flags: list[tuple[int, int]]


class Resolver:
    """Knows every name that was ever in order, so that it is checked once.

    Args:
        ahead_ms: how far a time may lie in the future.
        interval_s: (station, sensor, quantity) -> seconds between readings as announced, or None.
    """

    def __init__(self, ahead_ms: int, interval_s: Callable[[StationId, str, str], float | None]) -> None:
        self._ahead_ms = ahead_ms
        self._interval_s = interval_s
        self._series: dict[str, Series] = {}
        self._of: dict[StationId, list[Series]] = {}

    def take(self, station: StationId, pack: Pack, now_ms: int) -> Outcome:
        """Check and judge a pack that just came; moves quality control forward.

        Raises:
            Forged: a name in it belongs to somebody else; then nothing of the pack counts.
        """
        known = self._series
        latest = now_ms + self._ahead_ms
        base, seq = _pack_flags(pack), pack.header.seq if pack.header is not None else 0
        outcome = Outcome([], [], [])
        add = outcome.observations.append
        in_order = True
        for index, item in enumerate(pack.records):
            series = known.get(item.name)
            at, value = item.measured_at, item.value
            if (
                series is None
                or series.station is not station
                or value is None
                or item.unit != series.unit
                or not EARLIEST_MS <= at <= latest
            ):
                found = self._unusual(station, index, item, now_ms, outcome.bad)
                if found is None:
                    continue
                series, value = found
            if at > series.state.at:
                flags = series.checker.check(series.state, at, value)
            else:
                in_order = False
                flags = series.judge_late(at, value)
            if flags:
                series.remember(at, flags)
                outcome.flags.append((index, flags))
            add(Observation(series.datastream, at, value, flags | base, seq))
        return outcome if in_order else _without_twins(pack, outcome)

    def again(
        self, station: StationId, pack: Pack, skip: Sequence[int], flags: Sequence[tuple[int, int]]
    ) -> Outcome:
        """Resolve a pack that was judged before: the same readings, the same flags."""
        base, seq = _pack_flags(pack), pack.header.seq if pack.header is not None else 0
        skipped, found = set(skip), dict(flags)
        observations: list[Observation] = []
        bad: list[Bad] = []
        for index, item in enumerate(pack.records):
            if index in skipped:
                continue
            try:
                series = self._series.get(item.name) or self._learn(station, item.name)
                value = _value(item, series.quantity)
            except Rejected as error:
                bad.append(Bad(index, error.reason, f"[{index}] {item.name}: {error.detail}"))
                continue
            own = found.get(index, 0) | base
            observations.append(Observation(series.datastream, item.measured_at, value, own, seq))
        return Outcome(observations, bad, list(flags))

    def _unusual(
        self, station: StationId, index: int, item: Item, now_ms: int, bad: list[Bad]
    ) -> tuple[Series, float] | None:
        """A reading that is new, in another unit, or wrong: then it is added to ``bad``."""
        try:
            series = self._series.get(item.name) or self._learn(station, item.name)
            if series.station != station:
                raise _forged(station, item.name)
            value = _value(item, series.quantity)
            self._timely(item.measured_at, now_ms)
        except Forged:
            raise
        except Rejected as error:
            bad.append(Bad(index, error.reason, f"[{index}] {item.name}: {error.detail}"))
            return None
        return series, value

    def seed(self, observations: Iterable[Observation]) -> None:
        """Begin quality control where an earlier process left it: these were the newest of their datastreams."""
        for one in observations:
            stream = one.datastream
            name = f"{stream.community}/{stream.station}/{stream.sensor}/{stream.quantity}"
            try:
                series = self._series.get(name) or self._learn(StationId(stream.community, stream.station), name)
            except (Rejected, ValueError):
                continue  # a quantity of an earlier version
            if one.measured_at > series.state.at:
                series.checker.check(series.state, one.measured_at, one.value)

    def announced(self, station: StationId) -> None:
        """A station told its intervals."""
        for series in self._of.get(station, ()):
            series.checker = self._checker(station, series.datastream.sensor, series.quantity)

    def _checker(self, station: StationId, sensor: str, quantity: Quantity) -> Checker:
        return Checker(quantity, self._interval_s(station, sensor, quantity.name))

    def _learn(self, station: StationId, name: str) -> Series:
        prefix = f"{station.community}/{station.station}/"
        if not name.startswith(prefix):
            raise _forged(station, name)
        sensor, _, quantity_name = name[len(prefix) :].partition("/")
        quantity = QUANTITIES.get(quantity_name)
        if not IDENTIFIER.fullmatch(sensor):
            raise Rejected("bad_name", f"{sensor[:40]!r} is no id of a sensor")
        if quantity is None:
            raise Rejected("unknown_quantity", f"{quantity_name[:40]!r} is no quantity known here")
        own = self._of.setdefault(station, [])
        if len(own) >= MAX_DATASTREAMS:
            raise Rejected("too_many_datastreams", f"{station} has {len(own)} already")
        datastream = Datastream(station.community, station.station, sensor, quantity.name)
        series = Series(
            station,
            datastream,
            quantity,
            quantity.wire_unit or None,
            self._checker(station, sensor, quantity),
            State(),
            {},
        )
        own.append(series)
        self._series[name] = series
        return series

    def _timely(self, at: int, now_ms: int) -> None:
        if at < EARLIEST_MS:
            raise Rejected("time_behind", f"measured at {at} ms, before the year 2000: a clock that was never set")
        if at > now_ms + self._ahead_ms:
            seconds, most = (at - now_ms) / 1000, self._ahead_ms / 1000
            raise Rejected(
                "time_ahead", f"measured {seconds:.0f} s ahead of our clock, at most {most:.0f} s may be"
            )


def _value(item: Item, quantity: Quantity) -> float:
    value = item.value
    if value is None:
        if item.boolean is None or quantity.unit != "1":
            raise Rejected("no_number", "has no value that is a number")
        value = float(item.boolean)
    if item.unit is None or item.unit in {quantity.wire_unit, quantity.unit}:
        return value
    scale, offset = linear(item.unit, quantity.unit)
    return value if (scale, offset) == (1.0, 0.0) else scale * value + offset


def _without_twins(pack: Pack, outcome: Outcome) -> Outcome:
    """Refuse a second reading of one datastream and moment: the store keeps one, the loss meter would miss it."""
    seen: set[tuple[Datastream, int]] = set()
    refused = {bad.index for bad in outcome.bad}
    places = [index for index in range(len(pack.records)) if index not in refused]
    kept = Outcome([], outcome.bad, outcome.flags)
    for index, one in zip(places, outcome.observations, strict=True):
        key = (one.datastream, one.measured_at)
        if key in seen:
            name = pack.records[index].name
            kept.bad.append(Bad(index, "duplicate", f"[{index}] {name}: a second reading of {one.measured_at} ms"))
            continue
        seen.add(key)
        kept.observations.append(one)
    return kept


def _forged(station: StationId, name: str) -> "Forged":
    return Forged("forged", f"{station} speaks as {name[:100]!r}")


def _pack_flags(pack: Pack) -> int:
    header = pack.header
    if header is None:
        return 0
    flags = Flag.CLOCK if header.clock is ClockQuality.UNSYNCED else Flag(0)
    if header.kind is Kind.MAINTENANCE:
        flags |= Flag.MAINTENANCE
    return int(flags)
