"""What the journal costs: time a pack, wear of a flash card, size of the file, time to open a damaged one.

``python bench/journal.py [--wear] [--out FILE.json]`` prints tables and writes JSON. Times stand beside a bare
SQLite table of two columns with the same commits in the same run, and the processor's share stands apart, so that
the disk's own slowness can be seen.
``--wear`` counts the bytes that reach the device of a file system of its own (a loop device: needs root).
"""

import argparse
import itertools
import json
import os
import platform
import random
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hinomi.journal import Entry, schema
from hinomi.journal.sqlite import SqliteJournal

PACKS = 40_000
READINGS_A_PACK = 50
PACK_BYTES = 380  # 50 readings, CBOR and zlib with a dictionary
_numbers = itertools.count()


def opened(path: Path, headroom_bytes: int = 0) -> SqliteJournal:
    """A journal without limits."""
    return SqliteJournal.open(
        path, cap_bytes=1 << 40, headroom_bytes=headroom_bytes, new_stream=lambda: f"bench-{next(_numbers)}"
    )


class Cost(NamedTuple):
    """Microseconds."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f}/{self.cpu:.2f}"


def timed(count: int, work: Callable[[], object]) -> Cost:
    """What each of ``count`` costs."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(
        (time.perf_counter() - began) / count * 1e6,
        (time.process_time() - cpu) / count * 1e6,
    )


def entries(size: int, count: int) -> list[Entry]:
    """Packs of that many bytes."""
    rng = random.Random(1)
    return [Entry(rng.randbytes(size), READINGS_A_PACK, "reading") for _ in range(count)]


def ours(folder: Path, size: int, group: int, packs: int) -> dict[str, Cost]:
    """Microseconds a pack of each call, in groups."""
    journal = opened(folder / "ours.db")
    some = entries(size, group)
    starts = range(0, packs, group)
    times = {
        "append": timed(packs, lambda: [journal.append(some) for _ in starts]),
        "read": timed(packs, lambda: [journal.read(start, limit=group) for start in starts]),
    }
    half = packs // 2
    times["mark_sent"] = timed(
        half, lambda: [journal.mark_sent(range(start + 1, start + group + 1)) for start in starts if start < half]
    )
    times["remove"] = timed(half, lambda: [journal.remove(start + group) for start in starts if start < half])
    journal.advance("store", packs)

    def trim() -> None:
        journal.advance("other", half)
        for start in starts[len(starts) // 2 :]:
            journal.advance("other", start + group)
            journal.trim()

    times["advance+trim"] = timed(packs - half, trim)
    times["stats"] = timed(1000, lambda: [journal.stats() for _ in range(1000)])
    journal.close()
    return times


def bare(folder: Path, size: int, group: int, packs: int) -> dict[str, Cost]:
    """The same with nothing but SQLite."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in ("page_size = 4096", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE log(seq INTEGER PRIMARY KEY, body BLOB)")
    body = random.Random(1).randbytes(size)
    starts = range(0, packs, group)

    def append(start: int) -> None:
        connection.execute("BEGIN")
        rows = [(number, body) for number in range(start + 1, start + group + 1)]
        connection.executemany("INSERT INTO log VALUES(?, ?)", rows)
        connection.execute("COMMIT")

    read = "SELECT seq, body FROM log WHERE seq > ? ORDER BY seq LIMIT ?"
    times = {
        "append": timed(packs, lambda: [append(start) for start in starts]),
        "read": timed(packs, lambda: [connection.execute(read, (start, group)).fetchall() for start in starts]),
        "remove": timed(
            packs, lambda: [connection.execute("DELETE FROM log WHERE seq <= ?", (at + group,)) for at in starts]
        ),
    }
    connection.close()
    return times


def times() -> list[dict[str, object]]:
    """Each size of pack and of group."""
    rows: list[dict[str, object]] = []
    calls = ("append", "read", "mark_sent", "remove", "advance+trim")
    print(f"{'us a pack, wall/processor':27}" + "".join(f"{call:>15}" for call in calls))
    for size, group in ((60, 100), (PACK_BYTES, 100), (2000, 100), (PACK_BYTES, 10), (PACK_BYTES, 1)):
        packs = PACKS if group == 100 else PACKS // 4 if group == 10 else 2000
        with tempfile.TemporaryDirectory() as folder:
            mine, plain = ours(Path(folder), size, group, packs), bare(Path(folder), size, group, packs)
        rows.append({"bytes": size, "group": group, "journal_us": mine, "bare_sqlite_us": plain})
        for name, costs in ((f"{size} bytes, groups of {group}", mine), ("  bare SQLite", plain)):
            print(f"{name:27}" + "".join(f"{costs.get(call, '')!s:>15}" for call in calls))
    return rows


def size_of_file() -> dict[str, float]:
    """Bytes a reading on the disk after a month without network, and what draining gives back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "month.db"
        journal = opened(path)
        packs = 100_000
        some = entries(PACK_BYTES, 10)
        for _ in range(packs // 10):
            journal.append(some)
        full = journal.stats().file_bytes
        for upto in range(0, packs + 1, 100):
            journal.remove(upto)
        drained = journal.stats().file_bytes
        journal.close()
    per_reading = full / packs / READINGS_A_PACK
    print(
        f"\nfile: {full / 1e6:.1f} MB for {packs:,} packs = {per_reading:.2f} bytes a reading "
        f"({PACK_BYTES / READINGS_A_PACK:.2f} of it the packs); drained: {drained / 1e6:.1f} MB"
    )
    return {"bytes_a_reading": per_reading, "full_bytes": full, "drained_bytes": drained}


def openings() -> list[dict[str, float]]:
    """Seconds to open a sound and a damaged file of several sizes."""
    rows = []
    print(f"\n{'file':>10}{'records':>10}{'open, sound':>13}{'open, header destroyed':>24}{'kept':>10}")
    for packs in (10_000, 100_000, 500_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "large.db"
            journal = opened(path)
            some = entries(PACK_BYTES, 1000)
            for _ in range(packs // 1000):
                journal.append(some)
            journal.close()
            size = path.stat().st_size
            sound = timed(1, lambda path=path: opened(path).close()).wall / 1e6
            with path.open("r+b") as file:
                file.write(os.urandom(schema.PAGE))
            began = time.perf_counter()
            journal = opened(path)
            damaged = time.perf_counter() - began
            kept = journal.stats().records
            journal.close()
        rows.append({"file_bytes": size, "records": packs, "sound_s": sound, "damaged_s": damaged, "kept": kept})
        print(f"{size / 1e6:8.1f} MB{packs:10,}{sound:11.2f} s{damaged:22.2f} s{kept:10,}")
    return rows


@contextmanager
def device() -> Iterator[tuple[Path, Callable[[], tuple[int, int]]]]:
    """An ext4 of its own, and what reads how many writes and bytes its device has taken."""
    with tempfile.TemporaryDirectory() as folder:
        image, mount = Path(folder) / "image", Path(folder) / "mount"
        mount.mkdir()
        with image.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 256 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        loop = subprocess.run(
            ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
        ).stdout.strip()
        try:
            subprocess.run(["mount", loop, str(mount)], check=True)
            counters = Path("/sys/block") / Path(loop).name / "stat"

            def written() -> tuple[int, int]:
                os.sync()
                fields = counters.read_text().split()
                return int(fields[4]), int(fields[6]) * 512

            yield mount, written
        finally:
            subprocess.run(["umount", str(mount)], check=False)
            subprocess.run(["losetup", "--detach", loop], check=True)


def wear() -> list[dict[str, object]]:
    """KiB that reach the card for each pack, commits back to back."""
    rows: list[dict[str, object]] = []
    print(f"\n{'wear of one pack':44}{'KiB':>8}{'writes':>8}")
    for wal_pages in (64, schema.WAL_PAGES, 1000, 4000):
        for story in ("offline: append", "live: append, mark_sent, remove"):
            schema.WAL_PAGES = wal_pages
            with device() as (mount, written):
                journal = opened(mount / "wear.db")
                (one,) = entries(PACK_BYTES, 1)
                before = written()
                packs = 2000
                for _ in range(packs):
                    (seq,) = journal.append([one])
                    if story.startswith("live"):
                        journal.mark_sent([seq])
                        journal.remove(seq)
                after = written()
                journal.close()
            kib = (after[1] - before[1]) / packs / 1024
            writes = (after[0] - before[0]) / packs
            rows.append({"wal_pages": wal_pages, "story": story, "kib_a_pack": kib, "writes_a_pack": writes})
            print(f"{f'{story}, log of {wal_pages} pages':44}{kib:8.2f}{writes:8.2f}")
    return rows


def machine() -> str:
    """What this was measured on."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    )
    return (
        f"{next(names, platform.processor())}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.release()}"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-journal.json"))
    parser.add_argument("--wear", action="store_true", help="bytes that reach the device (needs root)")
    options = parser.parse_args()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n")
    result = {"schema": 1, "machine": machine(), "load": os.getloadavg()[0], "times": times()}
    result |= {"file": size_of_file(), "openings": openings()}
    if options.wear:
        result["wear"] = wear()
    options.out.write_text(json.dumps(result, indent=1))
    print(f"\n{options.out}")


if __name__ == "__main__":
    main()
