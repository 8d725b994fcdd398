"""The loss meter: where every reading is that a station has accepted, in readings.

``accepted = stored + pending_station + pending_journal + quarantined + dropped + written_off + unaccounted``
"""

import msgspec

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
        written_off: of streams that the station has given up (another journal took their place).
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


class LossMeter:
    """Reads the tracker's and the feed's accounts."""

    def rows(self, community: str) -> list[StationLoss]:
        """One row a station of a community that ever sent something, in order of its id."""
        raise NotImplementedError

    def communities(self) -> list[str]:
        """Every community that has a row."""
        raise NotImplementedError
