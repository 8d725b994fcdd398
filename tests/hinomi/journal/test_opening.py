"""Opening: what a person has to fix is said in plain words; a crash in the middle of it is harmless."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.journals import everything, open_sqlite
from support.servers import die_with_parent

from hinomi.errors import ConfigError, Transient
from hinomi.journal import Entry, aside, schema
from hinomi.journal.sqlite import SqliteJournal

NAME = "journal.db"
HOLDER = """
import sys
from pathlib import Path
from support.journals import open_sqlite
from hinomi.journal import Entry
journal = open_sqlite(Path(sys.argv[1]))
journal.append([Entry(b"x", 3), Entry(b"y", 4)])
journal.remove(1)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A journal that another process has open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / NAME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
        preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
    )
    assert process.stdout.readline() == b"ready\n"
    yield tmp_path / NAME, process
    process.kill()
    process.communicate()


def fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        open_sqlite(path)
    (found,) = caught.value.faults
    assert found.path == str(path)
    return found.problem


def test_a_second_process_is_refused_and_told_which_one_has_it(held):
    path, process = held
    assert f"in use by another process (process {process.pid})" in fault(path)
    process.kill()
    process.communicate()
    journal = open_sqlite(path)
    assert journal.recovery is None
    assert [record.body for record in everything(journal)] == [b"y"]
    journal.close()


def test_a_second_opening_in_the_same_process_is_refused(tmp_path):
    journal = open_sqlite(tmp_path / NAME)
    assert "in use" in fault(tmp_path / NAME)
    journal.append([Entry(b"still works")])
    journal.close()


def test_peek_tells_the_counters_while_another_process_has_it(held):
    path, process = held
    stats = SqliteJournal.peek(path)
    assert (stats.accepted_readings, stats.removed_readings, stats.pending_readings, stats.base) == (7, 3, 4, 2)
    process.kill()
    process.communicate()
    assert SqliteJournal.peek(path) == stats


def test_peek_at_a_closed_journal_leaves_no_trace(tmp_path):
    journal = open_sqlite(tmp_path / NAME)
    journal.append([Entry(b"x", 3)])
    stats = journal.stats()
    journal.close()
    before = sorted(file.name for file in tmp_path.iterdir())
    assert SqliteJournal.peek(tmp_path / NAME).pending_readings == stats.pending_readings
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_peek_says_when_there_is_nothing_or_nothing_to_read(tmp_path):
    with pytest.raises(ConfigError, match="no journal here"):
        SqliteJournal.peek(tmp_path / NAME)
    (tmp_path / NAME).write_bytes(b"noise" * 2000)
    with pytest.raises(Transient, match="cannot be read now"):
        SqliteJournal.peek(tmp_path / NAME)


def test_a_missing_folder(tmp_path):
    assert "mkdir -p" in fault(tmp_path / "nowhere" / NAME)


def test_a_folder_in_the_place_of_the_file(tmp_path):
    assert "is not a file" in fault(tmp_path)


def test_a_path_longer_than_sqlite_takes(tmp_path):
    folder = tmp_path.joinpath(*["x" * 200] * 3)
    folder.mkdir(parents=True)
    assert "shorter path" in fault(folder / NAME)


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / NAME
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE addresses(name)")
    connection.close()
    before = path.read_bytes()
    assert "another program" in fault(path)
    assert path.read_bytes() == before


def test_a_newer_versions_journal_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / NAME
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", 7)
        open_sqlite(path).close()
    before = path.read_bytes()
    problem = fault(path)
    assert "newer Hinomi" in problem
    assert "version 7" in problem
    assert path.read_bytes() == before


def test_a_broken_version_number_is_damage_and_not_a_newer_version(tmp_path):
    path = tmp_path / NAME
    journal = open_sqlite(path)
    journal.append([Entry(b"x", 3)])
    journal.close()
    data = bytearray(path.read_bytes())
    data[60] ^= 0x10
    path.write_bytes(data)
    journal = open_sqlite(path)
    assert journal.recovery.kept_readings == 3
    journal.close()


def test_a_journal_whose_file_was_deleted_says_what_is_gone(tmp_path):
    path = tmp_path / NAME
    journal = open_sqlite(path)
    old = journal.stream
    journal.append([Entry(b"x", 3), Entry(b"y", 4)])
    journal.remove(1)
    journal.close()
    path.unlink()
    journal = open_sqlite(path)
    recovery = journal.recovery
    assert (recovery.old_stream, recovery.lost_records, recovery.lost_readings) == (old, 1, 4)
    assert journal.stream != old
    journal.close()
    path.unlink()
    journal = open_sqlite(path)
    assert journal.recovery is None, "an empty one is no loss"
    journal.close()


class Killed(BaseException):
    """The process ends here."""


def steps_until_done(monkeypatch, path: Path, limit: int = 100):
    """Open again and again, killed one step of the file system later each time; gives the journal at last."""
    for last in range(limit):
        steps = iter(range(last))

        def dying(original, steps=steps):
            def call(*args, **kwargs):
                if next(steps, None) is None:
                    raise Killed
                return original(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for owner, name in ((Path, "rename"), (Path, "unlink"), (os, "fsync")):
                patch.setattr(owner, name, dying(getattr(owner, name)))
            try:
                return last, open_sqlite(path)
            except Killed:
                continue
    raise AssertionError("never done")


def test_a_crash_at_any_step_of_making_it_is_harmless(tmp_path, monkeypatch):
    killed, journal = steps_until_done(monkeypatch, tmp_path / NAME)
    assert killed >= 4
    assert journal.recovery is None
    assert journal.append([Entry(b"x")]) == range(1, 2)
    journal.close()
    assert not aside.partial(tmp_path / NAME).exists()


@pytest.mark.parametrize("crashed", [False, True])
def test_a_crash_at_any_step_of_salvaging_loses_nothing(tmp_path, monkeypatch, crashed):
    path = tmp_path / NAME
    journal = open_sqlite(path)
    journal.append([Entry(b"%d" % number, 2) for number in range(50)])
    if crashed:
        files = [file for file in tmp_path.iterdir() if not file.name.endswith("-shm")]
        content = {file: file.read_bytes() for file in files}
    journal.close()
    if crashed:
        for file, data in content.items():
            file.write_bytes(data)
    data = path.read_bytes()
    path.write_bytes(b"broken" + data[6:])
    killed, journal = steps_until_done(monkeypatch, path)
    assert killed >= 6
    assert journal.recovery.kept_readings == 100
    assert journal.recovery.lost_readings == 0
    assert len(everything(journal)) == 50
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes().startswith(b"broken")
    journal.close()
    assert not aside.salvaged(path).exists()
