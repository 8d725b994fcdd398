"""A real arrival journal for each test of ingest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hinomi.journal.sqlite import SqliteJournal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    opened = SqliteJournal.open(tmp_path / "arrival.db", cap_bytes=64 << 20, new_stream=lambda: "arrival")
    yield opened
    opened.close()
