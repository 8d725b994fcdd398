"""Run as a program inside a small file system: stories of a journal on a full disk.

SQLite follows /proc's links to the world outside, so what uses it has to run inside (``support.small_disk``).
"""

import os
import random
import sys
from pathlib import Path

import pytest
from support.journals import counters, entry, everything, open_sqlite, refusal, tell

from hinomi.errors import ConfigError, Transient
from hinomi.journal import Entry
from hinomi.journal.sqlite import SqliteJournal

NAME = "journal.db"
MIB = 1 << 20


def opened(disk: Path) -> SqliteJournal:
    return open_sqlite(disk / NAME, cap_bytes=64 * MIB, headroom_bytes=2 * MIB)


def fill(disk: Path, leave: int = 0) -> None:
    """Another writer takes all but ``leave`` bytes."""
    with (disk / "filler").open("ab", buffering=0) as filler:
        for size in (65536, 4096):
            try:
                while filler.write(b"x" * size) == size:
                    pass
            except OSError:
                pass
        os.ftruncate(filler.fileno(), max(filler.tell() - leave, 0))


def free(disk: Path) -> None:
    (disk / "filler").unlink()


def until_refused(journal: SqliteJournal, rng: random.Random) -> int:
    """Append until the disk is full; returns how many packs were accepted."""
    for number in range(100_000):
        try:
            journal.append([entry(rng) for _ in range(10)])
        except Transient as error:
            if "space" not in str(error):
                raise
            return number * 10
    raise AssertionError("never full")


def refuses_whole_calls(disk: Path, rng: random.Random) -> None:
    """A full disk refuses whole calls and keeps what it has."""
    journal = opened(disk)
    accepted = until_refused(journal, rng)
    assert accepted > 1000
    told = tell(journal)
    for _ in range(20):
        with pytest.raises(Transient, match="space"):
            journal.append([Entry(rng.randbytes(5000), 9)], notes={"a": b"1"}, refusals=[refusal(rng)])
    assert tell(journal) == told
    assert counters(journal).records == accepted


def can_be_emptied(disk: Path, rng: random.Random) -> None:
    """Another writer takes the last byte; all that frees space or leads there still works."""
    journal = opened(disk)
    journal.append([entry(rng) for _ in range(5000)])
    journal.cursor("store")
    fill(disk)
    until_refused(journal, rng)
    held = counters(journal)
    journal.mark_sent(range(1, 100))
    assert journal.entomb(range(4000, 4500)) > 0
    journal.advance("store", 1000)
    assert journal.trim() == 1000
    for upto in range(1100, 4000, 100):
        assert journal.remove(upto, [(upto + 150, upto + 160)]) > 0
    journal.renew("a test")
    after = counters(journal)
    assert after.pending_readings < held.pending_readings
    assert after.records < held.records - 3000


def accepts_again(disk: Path, rng: random.Random) -> None:
    """It accepts again by itself when there is room."""
    journal = opened(disk)
    journal.append([entry(rng) for _ in range(2000)])
    fill(disk)
    until_refused(journal, rng)
    journal.remove(10)
    with pytest.raises(Transient, match="space"):
        journal.append([entry(rng)])
    next_seq = journal.stats().next_seq
    free(disk)
    journal.remove(20)
    assert (disk / f"{NAME}.headroom").stat().st_blocks * 512 == 2 * MIB, "taken as soon as it can be"
    assert journal.append([entry(rng)]) == range(next_seq, next_seq + 1)


def frees_itself(disk: Path, rng: random.Random) -> None:
    """Nobody else gives room back: the journal itself has filled the disk, and is then acknowledged."""
    journal = opened(disk)
    until_refused(journal, rng)
    end = journal.stats().next_seq
    for upto in range(0, end, 500):
        journal.remove(upto)
    journal.remove(end - 1)
    assert journal.append([entry(rng)]) == range(end, end + 1)
    assert until_refused(journal, rng) > 1000


def opens_after_a_crash(disk: Path, rng: random.Random) -> None:
    """Killed on a full disk, it opens on a full disk and can be emptied."""
    path = disk / NAME
    journal = opened(disk)
    journal.append([entry(rng) for _ in range(1000)])
    fill(disk)
    until_refused(journal, rng)
    told, stream = tell(journal), journal.stream
    files = {file: file.read_bytes() for file in disk.glob(f"{NAME}*") if not file.name.endswith(("-shm", "room"))}
    journal.close()
    for file in disk.glob(f"{NAME}*"):
        file.unlink()
    for file, content in files.items():
        file.write_bytes(content)
    with (disk / f"{NAME}.headroom").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * MIB)
    fill(disk)
    journal = opened(disk)
    assert (journal.recovery, journal.stream) == (None, stream)
    assert tell(journal) == told
    with pytest.raises(Transient, match="space"):
        journal.append([entry(rng)])
    assert journal.remove(500) == 500
    journal.close()
    assert SqliteJournal.peek(path).base == 501


def first_opening(disk: Path, rng: random.Random) -> None:
    """A full disk on the first opening is said and harmless."""
    fill(disk)
    with pytest.raises(Transient, match="space"):
        opened(disk)
    free(disk)
    journal = opened(disk)
    assert journal.recovery is None
    journal.append([entry(rng)])


def salvages_what_fits(disk: Path, rng: random.Random) -> None:
    """A damaged file on a disk too full for a copy: what does not fit stays set aside and is counted as lost."""
    journal = opened(disk)
    journal.append([entry(rng) for _ in range(15_000)])
    readings = counters(journal).pending_readings
    journal.close()
    path = disk / NAME
    data = path.read_bytes()
    path.write_bytes(b"broken" + data[6:])
    fill(disk, leave=MIB)
    journal = opened(disk)
    recovery = journal.recovery
    assert recovery is not None
    assert "full" in recovery.reason
    assert 1000 < recovery.kept_records < 15_000
    assert recovery.kept_readings + recovery.lost_readings == readings
    assert len(everything(journal)) == recovery.kept_records
    assert (disk / recovery.set_aside).stat().st_size == len(data)
    free(disk)
    journal.append([entry(rng)])


def cannot_be_written(disk: Path, rng: random.Random) -> None:
    """A disk mounted read-only is for a person to fix."""
    opened(disk).close()
    assert os.system(f"mount -o remount,ro {disk}") == 0
    with pytest.raises(ConfigError, match="cannot be written"):
        opened(disk)


STORIES = {
    story.__name__: story
    for story in (
        refuses_whole_calls,
        can_be_emptied,
        accepts_again,
        frees_itself,
        opens_after_a_crash,
        first_opening,
        salvages_what_fits,
        cannot_be_written,
    )
}

if __name__ == "__main__":
    STORIES[sys.argv[1]](Path(sys.argv[2]), random.Random(int(sys.argv[3])))
