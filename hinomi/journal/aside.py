"""Names beside a journal, and how a new file takes a damaged one's place so that a crash in between is harmless.

``NAME.partial`` is being built; ``NAME.salvaged`` is complete and waits; ``NAME.damaged-N`` was set aside.
"""

import re
from pathlib import Path

from hinomi.journal.build import sync

KEPT = 2


def partial(path: Path) -> Path:
    """Where a new file is built; worth nothing after a crash."""
    return path.with_name(path.name + ".partial")


def salvaged(path: Path) -> Path:
    """Where a complete new file waits; after a crash the swap is finished with it."""
    return path.with_name(path.name + ".salvaged")


def latest(path: Path) -> str:
    """The name under which a damaged file was last set aside; empty if there is none."""
    numbers = _numbers(path)
    return f"{path.name}.damaged-{max(numbers)}" if numbers else ""


def swap(path: Path) -> None:
    """Set the damaged file and its log aside, oldest ones give way, and put the salvaged one in its place."""
    aside = path.with_name(f"{path.name}.damaged-{max(_numbers(path), default=0) + 1}")
    # The old log must be gone before the new file has the name: SQLite would take it for the new file's.
    for suffix in ("", "-wal"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    sync(path.parent)
    salvaged(path).rename(path)
    sync(path.parent)
    for number in sorted(_numbers(path))[:-KEPT]:
        for suffix in ("", "-wal"):
            path.with_name(f"{path.name}.damaged-{number}{suffix}").unlink(missing_ok=True)


def _numbers(path: Path) -> set[int]:
    pattern = re.compile(re.escape(path.name) + r"\.damaged-(\d+)(-wal)?")
    found = (pattern.fullmatch(file.name) for file in path.parent.iterdir())
    return {int(match[1]) for match in found if match}
