"""What became of the readings behind the arrival journal: the far side of the loss meter.

Each consumer's effect and its account would have to commit together; they lie in different databases. So the
account is committed first, with the number up to which it holds, and the cursor after it: a batch that is repeated
after a crash is recognised by its numbers and counted once.
"""

from collections.abc import Mapping

import msgspec

from sensing.topic import StationId

PREFIX = "done/"
UPTO = "done"


class Account(msgspec.Struct, array_like=True):
    """One station's sums.

    Attributes:
        stored: readings that the store took.
        refused: readings that the store refused for good.
        bytes: size of the packs that have left the arrival journal.
    """

    stored: int = 0
    refused: int = 0
    bytes: int = 0


class Accounts:
    """All stations' accounts; ``upto`` is the arrival number up to which they hold."""

    def __init__(self) -> None:
        self.upto = 0
        self._accounts: dict[StationId, Account] = {}

    def load(self, upto: bytes | None, notes: Mapping[str, bytes]) -> None:
        """Take over what the journal remembers."""
        self.upto = msgspec.msgpack.decode(upto, type=int) if upto else 0
        for key, body in notes.items():
            community, _, station = key.removeprefix(PREFIX).partition("/")
            self._accounts[StationId(community, station)] = msgspec.msgpack.decode(body, type=Account)

    def of(self, station: StationId) -> Account:
        """A station's account; an empty one for a stranger."""
        return self._accounts.get(station) or Account()

    def prepared(
        self, changes: Mapping[StationId, Account], upto: int
    ) -> tuple[dict[StationId, Account], dict[str, bytes]]:
        """The accounts with ``changes`` added, and the notes that make them durable."""
        encode = msgspec.msgpack.encode
        after = {}
        for station, change in changes.items():
            old = self.of(station)
            after[station] = Account(
                old.stored + change.stored, old.refused + change.refused, old.bytes + change.bytes
            )
        notes = {f"{PREFIX}{station}": encode(account) for station, account in after.items()}
        return after, {**notes, UPTO: encode(upto)}

    def committed(self, after: Mapping[StationId, Account], upto: int) -> None:
        """The notes are on the disk."""
        self._accounts.update(after)
        self.upto = upto
