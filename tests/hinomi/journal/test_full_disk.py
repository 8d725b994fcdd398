"""Promise 8, the journal's part: on a full disk it refuses honestly, can be emptied, and recovers alone."""

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.journal_disk import STORIES
from support.journals import entry, open_sqlite, seed_of_run, tell
from support.small_disk import small_disk

from hinomi.errors import Transient
from hinomi.journal import Entry

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("story", STORIES)
def test_on_a_small_disk(story, tmp_path):
    """Eight MiB, shared with another writer; the stories are told in ``support.journal_disk``."""
    with small_disk(tmp_path, "8m") as disk:
        program = str(TESTS / "support" / "journal_disk.py")
        done = subprocess.run(
            disk.inside([sys.executable, program, story, str(disk.mount), str(seed_of_run(1))]),
            env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def test_a_file_size_limit_is_a_full_disk_too(tmp_path):
    """Where nothing can be mounted this still shows the refusal: the kernel's limit for one file."""
    rng = random.Random(seed_of_run(7))
    journal = open_sqlite(tmp_path / "journal.db", cap_bytes=1 << 26)
    journal.append([entry(rng) for _ in range(100)])
    told = tell(journal)

    def append_forever():
        nonlocal told
        while True:
            told = tell(journal)
            journal.append([entry(rng) for _ in range(10)])

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        with pytest.raises(Transient):
            append_forever()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert tell(journal) == told
    journal.append([Entry(b"again")])
    journal.close()
