"""Folders put back to an earlier state, and what was on a card that is no more."""

import shutil
from pathlib import Path

from support.journals import new_stream

from edge import body
from hinomi.journal.sqlite import SqliteJournal


def copy(source: Path, target: Path) -> None:
    """A card, or a folder, to its last file; what stood at the target is gone."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=lambda _, names: [name for name in names if name.endswith(".sock")])


def put_back(backup: Path, folder: Path, mark: str = "") -> None:
    """Restore all of a folder, or all but the mark of how far its journal had come."""
    kept = (folder / mark).read_bytes() if mark else b""
    copy(backup, folder)
    if mark:
        (folder / mark).write_bytes(kept)


def held_on(card: Path) -> set[int]:
    """The numbers (values) of the readings that a dead card's journal still held."""
    aside = card.with_name(f"{card.name}.looked-at")
    copy(card, aside)
    journal = SqliteJournal.open(aside / "edge.db", cap_bytes=1 << 30, new_stream=new_stream)
    try:
        records = journal.read(0, limit=1_000_000, max_bytes=1 << 30)
        return {int(one.value) for record in records if record.body for one in body.decode(record.body).readings}
    finally:
        journal.close()
        shutil.rmtree(aside)
