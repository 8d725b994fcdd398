"""What became of the readings behind the arrival journal: the far side of the loss meter.

The accounts are notes of the journal and are committed together with the cursor of the consumer that fills the
store, so that a batch that is repeated after a crash is counted once.
"""

from collections.abc import Mapping

import msgspec

from sensing.topic import StationId

PREFIX = "done/"
STREAM = "stream"


class Account(msgspec.Struct, array_like=True):
    """One station's sums.

    Attributes:
        stored: readings that the store took.
        refused: readings that the store refused for good.
        bytes: size of the packs that have left the arrival journal.
        lost: readings that a damaged arrival journal no longer had.
    """

    stored: int = 0
    refused: int = 0
    bytes: int = 0
    lost: int = 0


class Accounts:
    """All stations' accounts.

    Attributes:
        moved: the arrival journal was salvaged and has begun another stream; ``rebase`` is due.
    """

    def __init__(self) -> None:
        self.moved = False
        self._stream = ""
        self._accounts: dict[StationId, Account] = {}

    def load(self, stream: str, known: bytes | None, notes: Mapping[str, bytes]) -> None:
        """Take over what the journal remembers.

        Args:
            stream: the journal's present one.
            known: note ``STREAM``: the one that it had at the last ``rebase``.
            notes: those that begin with ``PREFIX``.
        """
        self._stream = stream
        self.moved = known != stream.encode()
        for key, body in notes.items():
            community, _, station = key.removeprefix(PREFIX).partition("/")
            self._accounts[StationId(community, station)] = msgspec.msgpack.decode(body, type=Account)

    def rebase(
        self, brought: Mapping[StationId, Account], waiting: Mapping[StationId, Account]
    ) -> dict[str, bytes]:
        """For a new or salvaged journal: what is in no place any more is lost; returns the notes to commit.

        Args:
            brought: ``stored``: good readings that ever came; ``bytes``: their packs.
            waiting: the same of what the journal still holds for the store.
        """
        after = {}
        for station, came in brought.items():
            old, rest = self.of(station), waiting.get(station, Account())
            lost = came.stored - old.stored - old.refused - rest.stored
            after[station] = Account(old.stored, old.refused, came.bytes - rest.bytes, max(lost, old.lost))
        self._accounts.update(after)
        self.moved = False
        return {**_notes(after), STREAM: self._stream.encode()}

    def of(self, station: StationId) -> Account:
        """A station's account; an empty one for a stranger."""
        return self._accounts.get(station) or Account()

    def prepared(self, changes: Mapping[StationId, Account]) -> tuple[dict[StationId, Account], dict[str, bytes]]:
        """The accounts with ``changes`` added, and the notes that make them durable."""
        after = {}
        for station, change in changes.items():
            old = self.of(station)
            after[station] = Account(
                old.stored + change.stored, old.refused + change.refused, old.bytes + change.bytes, old.lost
            )
        return after, _notes(after)

    def committed(self, after: Mapping[StationId, Account]) -> None:
        """The notes are on the disk."""
        self._accounts.update(after)


def _notes(accounts: Mapping[StationId, Account]) -> dict[str, bytes]:
    return {f"{PREFIX}{station}": msgspec.msgpack.encode(account) for station, account in accounts.items()}
