"""The loss meter: where every reading is that a station has accepted, in readings.

``accepted = stored + pending_station + pending_journal + quarantined + dropped + written_off + unaccounted``
"""

import msgspec

from cloud.ingest import accounts, tracker
from cloud.ingest.accounts import Accounts
from cloud.ingest.tracker import Tracker
from hinomi.journal.protocol import Journal
from sensing.topic import StationId


class StationLoss(msgspec.Struct, frozen=True):
    """One station's readings, summed over its journals' streams.

    Attributes:
        station: whose.
        accepted: committed in the station's journal, as it last told us.
        stored: in the store.
        pending_station: still in the station's journal, or on the network.
        pending_journal: in the arrival journal, not yet in the store.
        quarantined: set aside with a reason.
        dropped: thinned or given up by the station, declared by it.
        written_off: of streams that the station has given up (another journal took their place), and what a person
            deleted from the quarantine.
        unaccounted: anything else; not 0 means a defect or a restored backup, and a person must look.
    """

    station: StationId
    accepted: int
    stored: int
    pending_station: int
    pending_journal: int
    quarantined: int
    dropped: int
    written_off: int
    unaccounted: int


def read_books(journal: Journal) -> tuple[Tracker, "LossMeter"]:
    """What an arrival journal says while no service runs on it."""
    tracked, done = Tracker(), Accounts()
    tracked.load(journal.notes(tracker.PREFIX))
    done.load(journal.stream, journal.note(accounts.STREAM), journal.notes(accounts.PREFIX))
    return tracked, LossMeter(tracked, done)


class LossMeter:
    """Reads the tracker's and the consumers' accounts."""

    def __init__(self, tracked: Tracker, done: Accounts) -> None:
        self._tracker = tracked
        self._accounts = done

    def communities(self) -> list[str]:
        """Every community that has a row."""
        return sorted({station.community for station in self._tracker.stations()})

    def rows(self, community: str) -> list[StationLoss]:
        """One row a station of a community that ever sent something, in order of its id."""
        stations = sorted(station for station in self._tracker.stations() if station.community == community)
        return [self.row(station) for station in stations]

    def row(self, station: StationId) -> StationLoss:
        """One station's row."""
        streams = self._tracker.streams(station)
        current = self._tracker.current(station)
        account = self._accounts.of(station)
        pending = written_off = 0
        unaccounted = account.lost
        for name, state in streams.items():
            lost = min(max(state.lost, 0), max(state.missing, 0))
            rest = state.missing - lost
            unaccounted += lost
            written_off += state.written_off
            if rest < 0 or (state.skipped and state.lost < 0 and name != current):
                unaccounted += rest
            elif name == current:
                pending += rest
            else:
                written_off += rest
        good = sum(state.good for state in streams.values())
        return StationLoss(
            station,
            accepted=sum(state.accepted for state in streams.values()),
            stored=account.stored,
            pending_station=pending,
            pending_journal=good - account.stored - account.refused - account.lost,
            quarantined=sum(state.refused for state in streams.values()) + account.refused,
            dropped=sum(state.dropped for state in streams.values()),
            written_off=written_off,
            unaccounted=unaccounted,
        )
