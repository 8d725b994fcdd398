"""Promise 1, the journal's part: what had returned survives kill -9 at any moment, also while it is opened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.journals import memory_folder, seed_of_run
from support.servers import die_with_parent

TESTS = Path(__file__).parents[2]


@pytest.fixture
def folder():
    """A killed process leaves its writes to the kernel: no real disk is needed."""
    with memory_folder() as made:
        yield made


def campaign(folder: Path, seed: int, kills: int) -> dict[str, int]:
    done = subprocess.run(
        [
            sys.executable,
            str(TESTS / "support" / "journal_kills.py"),
            str(folder / "journal.db"),
            str(seed),
            str(kills),
        ],
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    result: dict[str, int] = json.loads(done.stdout)
    return result


def test_hundreds_of_kills_lose_nothing_that_had_returned(folder):
    result = campaign(folder, seed_of_run(7), 200)
    assert result["kills"] == 200
    assert result["calls"] > 500
    assert result["one_further"] > 0, "no kill hit between a commit and its return: the test is too tame"


@pytest.mark.soak
def test_thousands_of_kills(folder):
    assert campaign(folder, seed_of_run(100_000), 5000)["kills"] == 5000
