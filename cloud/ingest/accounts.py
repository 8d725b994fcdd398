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
        lost: readings that a damaged arrival journal no longer had.
    """

    stored: int = 0
    refused: int = 0
    bytes: int = 0
    lost: int = 0


class _Upto(msgspec.Struct, array_like=True):
    """A number means something only within its stream: a salvaged journal begins another one."""

    stream: str
    seq: int


class Accounts:
    """All stations' accounts.

    Attributes:
        upto: the arrival number up to which they hold; packs up to it are not counted again.
        stream: of the arrival journal.
        moved: the journal has begun another stream since; ``rebase`` is due.
    """

    def __init__(self) -> None:
        self.upto = 0
        self.stream = ""
        self.moved = False
        self._accounts: dict[StationId, Account] = {}

    def load(self, stream: str, upto: bytes | None, notes: Mapping[str, bytes]) -> None:
        """Take over what the journal remembers; ``stream`` is its present one."""
        self.stream = stream
        if upto:
            known = msgspec.msgpack.decode(upto, type=_Upto)
            self.moved = known.stream != stream
            self.upto = 0 if self.moved else known.seq
        for key, body in notes.items():
            community, _, station = key.removeprefix(PREFIX).partition("/")
            self._accounts[StationId(community, station)] = msgspec.msgpack.decode(body, type=Account)

    def rebase(
        self, brought: Mapping[StationId, Account], waiting: Mapping[StationId, Account]
    ) -> dict[str, bytes]:
        """After a damaged journal was salvaged: what is in no place any more is lost; returns the notes to commit.

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
        return {f"{PREFIX}{station}": msgspec.msgpack.encode(account) for station, account in after.items()}

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
                old.stored + change.stored, old.refused + change.refused, old.bytes + change.bytes, old.lost
            )
        notes = {f"{PREFIX}{station}": encode(account) for station, account in after.items()}
        return after, {**notes, UPTO: encode(_Upto(self.stream, upto))}

    def committed(self, after: Mapping[StationId, Account], upto: int) -> None:
        """The notes are on the disk."""
        self._accounts.update(after)
        self.upto = upto
