"""Promise 2: after a power cut at any moment, every call that had returned is there, and the file is sound."""

import random
from pathlib import Path
from typing import NamedTuple

import pytest
from support.journals import call_of_story, entry, memory_folder, open_sqlite, seed_of_run, tell
from support.power import Disk, Op, recording

from hinomi.journal import schema
from hinomi.journal.sqlite import SqliteJournal

NAME = "journal.db"
WAYS = ("nothing", "all", "prefix", "some", "some")


class Standing(NamedTuple):
    """All that a journal says of itself, and what its sidecar holds."""

    content: object
    mark: bytes


def standing(journal: SqliteJournal, path: Path) -> Standing:
    return Standing((journal.stream, tell(journal)), path.with_name(NAME + ".lock").read_bytes())


def recorded(path: Path, rng: random.Random, calls: int) -> tuple[dict[str, bytes], list[object]]:
    """The files before, and all operations with the standing after each call in between."""
    journal = open_sqlite(path, headroom_bytes=0, cap_bytes=1 << 24)
    journal.append([entry(rng) for _ in range(30)])
    journal.cursor("store")
    journal.cursor("judge")
    journal.close()
    files = {NAME: path.read_bytes()}
    with recording(NAME) as recorder:
        journal = open_sqlite(path, headroom_bytes=0, cap_bytes=1 << 24)
        recorder.note(standing(journal, path))
        for _ in range(calls):
            call_of_story(rng, journal.stats())(journal)
            recorder.note(standing(journal, path))
        journal.close()
    kinds = [op.what if isinstance(op, Op) else "returned" for op in recorder.ops]
    print({kind: kinds.count(kind) for kind in sorted(set(kinds))})
    return files, recorder.ops


def cuts(calls: int, seed: int, folder: Path, share: float) -> int:
    """Cut the power at a share of all moments, in all ways; returns how many states were looked at."""
    rng = random.Random(seed)
    files, ops = recorded(folder / NAME, rng, calls)
    disk = Disk(files)
    returned: list[Standing] = []
    states = 0
    for index, op in enumerate(ops):
        if isinstance(op, Op):
            disk.do(op)
        else:
            returned.append(op)
        if not returned or rng.random() > share:
            continue
        following = next((each for each in ops[index + 1 :] if isinstance(each, Standing)), None)
        for way in WAYS:
            allowed = [returned[-1].content] + ([following.content] if following else [])
            check(folder / f"state-{states}", disk.after_cut(rng, way), allowed, rng.choice(returned[-3:]).mark)
            states += 1
    return states


def check(folder: Path, files: dict[str, bytes], allowed: list[object], mark: bytes) -> None:
    """It opens as if nothing had been, at what had returned or with the call under way whole."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / f"{NAME}.lock").write_bytes(mark)
    journal = open_sqlite(folder / NAME, headroom_bytes=0, cap_bytes=1 << 24)
    assert journal.recovery is None
    assert standing(journal, folder / NAME).content in allowed
    journal.close()


@pytest.fixture
def small_log(monkeypatch):
    """The write-ahead log is folded back every few commits, so that many cuts hit that."""
    monkeypatch.setattr(schema, "WAL_PAGES", 12)


@pytest.fixture
def folder():
    """The syncs of thousands of openings are not what is tested."""
    with memory_folder() as made:
        yield made


def test_a_power_cut_at_any_moment_loses_nothing_that_had_returned(small_log, folder):
    states = cuts(calls=60, seed=seed_of_run(2), folder=folder, share=0.35)
    assert states > 500


@pytest.mark.soak
@pytest.mark.parametrize("number", range(10))
def test_many_power_cuts(small_log, folder, number):
    cuts(calls=60, seed=seed_of_run(1000) + number, folder=folder, share=1.0)
