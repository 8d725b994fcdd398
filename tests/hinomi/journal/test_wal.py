"""What is said of a write-ahead log is what SQLite does with it, and what it would forget in silence."""

import random
import shutil
import sqlite3

import pytest
from support.journals import seed_of_run

from hinomi.journal.wal import parse

PAGE = 4096
FRAME = PAGE + 24
COMMITS = 12


@pytest.fixture
def crashed(tmp_path):
    """A database and its log after 12 commits of different sizes, the first 5 in an earlier generation."""
    path = tmp_path / "live.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t(a)")
    for number in range(COMMITS):
        if number == 5:
            connection.execute("PRAGMA wal_checkpoint")
        connection.execute("INSERT INTO t VALUES(zeroblob(?))", (1 + number * 2000,))
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{tmp_path}/copy.db{suffix}")
    connection.close()
    return tmp_path / "copy.db"


def taken_by_sqlite(path, data: bytes) -> int:
    """How many frames SQLite recovers from this log."""
    path.with_name("copy.db-wal").write_bytes(data)
    connection = sqlite3.connect(path, isolation_level=None)
    _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    connection.close()
    return frames


def ends(data: bytes) -> list[int]:
    """Where transactions end: index of the frame behind each."""
    return [index + 1 for index, frame in enumerate(parse(data, PAGE).frames) if frame.commit]


def test_a_sound_log_is_taken_whole(crashed):
    data = crashed.with_name("copy.db-wal").read_bytes()
    log = parse(data, PAGE)
    assert len(ends(data)) == COMMITS - 5
    assert log.sound == len(log.frames) == taken_by_sqlite(crashed, data)
    assert not log.forgets_commits
    assert not log.unused


def test_any_broken_log_is_taken_as_far_as_sqlite_takes_it(crashed):
    rng = random.Random(seed_of_run(1))
    data = crashed.with_name("copy.db-wal").read_bytes()
    database = crashed.read_bytes()
    for _ in range(150):
        broken = bytearray(data[: rng.choice([len(data), rng.randrange(len(data))])])
        for _ in range(rng.randrange(3) if broken else 0):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        crashed.write_bytes(database)
        assert parse(bytes(broken), PAGE).sound == taken_by_sqlite(crashed, bytes(broken))


def test_a_break_before_the_last_transaction_would_forget_commits(crashed):
    data = crashed.with_name("copy.db-wal").read_bytes()
    last = ends(data)[-2]
    for index in range(len(parse(data, PAGE).frames)):
        broken = bytearray(data)
        broken[32 + index * FRAME + 24 + 1000] ^= 4
        assert parse(bytes(broken), PAGE).forgets_commits == (index < last)
        assert parse(bytes(broken), PAGE).unused


def test_a_torn_tail_is_what_a_power_cut_leaves(crashed):
    data = crashed.with_name("copy.db-wal").read_bytes()
    last = ends(data)[-2]
    for size in range(32 + last * FRAME, 32 + ends(data)[-1] * FRAME, 500):
        assert not parse(data[:size], PAGE).forgets_commits


@pytest.mark.parametrize("data", [b"", b"x", bytes(32), b"noise" * 3000])
def test_what_is_no_log_has_nothing_to_take(data):
    log = parse(data, PAGE)
    assert not log.readable
    assert log.sound == 0
    assert not log.forgets_commits
