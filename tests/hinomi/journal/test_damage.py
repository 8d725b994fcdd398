"""Promise 11: whatever happened to the files, the journal is up, keeps what it can read, counts what is lost."""

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.journals import counters, entry, everything, memory_folder, open_sqlite, refusal, seed_of_run, tell

from hinomi.journal import Entry, Record
from hinomi.journal.faults import Damaged
from hinomi.journal.pages import cells, is_leaf
from hinomi.journal.schema import PAGE

NAME = "journal.db"
# Rows of up to 300 bytes: no page holds more of them.
MOST_ROWS_A_PAGE = 110


class Sample(NamedTuple):
    """A journal's files, as they were left, what it held, and all it ever held in order.

    ``older`` is the file as it was some commits before; ``base`` counts what was removed in order.
    """

    files: dict[str, bytes]
    older: bytes
    base: int
    ever: list[Entry]
    records: list[Record]
    told: tuple


@pytest.fixture(scope="module")
def folder():
    with memory_folder() as made:
        yield made


@pytest.fixture
def tmp_path():
    """Hundreds of openings: their syncs are not what is tested."""
    with memory_folder() as made:
        yield made


def made(folder: Path, *, crashed: bool) -> Sample:
    """A journal with a history: acknowledged, sent, thinned, quarantined; closed in order or not."""
    rng = random.Random(11)
    folder = folder / ("crashed" if crashed else "closed")
    folder.mkdir()
    journal = open_sqlite(folder / NAME, cap_bytes=1 << 24, machine="here")
    ever = []
    for number in range(120):
        ever += [entry(rng) for _ in range(6)]
        journal.append(ever[-6:], notes={f"note-{number % 7}": rng.randbytes(9)})
        if number % 20 == 3:
            ever.append(Entry(rng.randbytes(9000), 50))
            journal.append(ever[-1:], refusals=[refusal(rng)])
        if number % 10 == 0:
            journal.remove(number * 2, [(number * 4, number * 4 + 3)])
        if number == 100:
            journal.close()
            older = (folder / NAME).read_bytes()
            journal = open_sqlite(folder / NAME, cap_bytes=1 << 24, machine="here")
    journal.remove(300, [(500, 580)])
    stats = journal.stats()
    journal.mark_sent(range(stats.base, stats.base + 200))
    journal.entomb(range(stats.base + 200, stats.base + 220))
    journal.advance("store", stats.base + 50)
    journal.cursor("judge")
    if not crashed:
        journal.close()
    files = {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.split(".db")[1] in {"", "-wal", ".lock"}
    }
    if not crashed:
        journal = open_sqlite(folder / NAME, cap_bytes=1 << 24, machine="here")
    sample = Sample(files, older, stats.base, ever, everything(journal), tell(journal))
    journal.close()
    return sample


@pytest.fixture(scope="module")
def closed(folder):
    return made(folder, crashed=False)


@pytest.fixture(scope="module")
def crashed(folder):
    sample = made(folder, crashed=True)
    assert f"{NAME}-wal" in sample.files
    return sample


def flip(rng: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def page_of(rng: random.Random, data: bytes, content: Callable[[], bytes]) -> bytes:
    at = rng.randrange(len(data) // PAGE) * PAGE
    return data[:at] + content() + data[at + PAGE :]


FILE_FAULTS = {
    "flipped bits": flip,
    "truncated": lambda rng, data: data[: rng.randrange(len(data))],
    "a page zeroed": lambda rng, data: page_of(rng, data, lambda: bytes(PAGE)),
    "a page of noise": lambda rng, data: page_of(rng, data, lambda: rng.randbytes(PAGE)),
    "a page that is another one": lambda rng, data: page_of(rng, data, lambda: data[PAGE * 9 : PAGE * 10]),
    "noise over the header": lambda rng, data: rng.randbytes(rng.choice([16, 100, PAGE])) + data[PAGE:],
    "all noise": lambda rng, data: rng.randbytes(rng.randrange(1, 50_000)),
    "zero-length": lambda rng, data: b"",
    "a text file": lambda rng, data: b"hello\n" * rng.randrange(1, 2000),
    "gone": lambda rng, data: None,
}  # fmt: skip
STALE = "a page as it was before (a write that never came)"
WAL_FAULTS = {name: FILE_FAULTS[name] for name in ("flipped bits", "truncated", "all noise", "zero-length", "gone")}


def damaged_file(rng: random.Random, fault: str, sample: Sample) -> bytes | None:
    data = sample.files[NAME]
    if fault != STALE:
        return FILE_FAULTS[fault](rng, data)
    changed = [
        at for at in range(0, len(sample.older), PAGE) if sample.older[at : at + PAGE] != data[at : at + PAGE]
    ]
    if not changed:
        return data
    at = rng.choice(changed)
    return data[:at] + sample.older[at : at + PAGE] + data[at + PAGE :]


def put(folder: Path, files: dict[str, bytes | None]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder / NAME


def sound_again(path: Path, sample: Sample, *, marked: bool = True) -> int:
    """Open what was damaged and see that nothing is lost in silence; returns how many records were lost."""
    began = time.monotonic()
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert time.monotonic() - began < 30
    recovery = journal.recovery
    records = everything(journal)
    if recovery is None:
        if marked:
            assert tell(journal) == sample.told
        journal.close()
        return 0
    places = [sample.ever.index(Entry(each.body, each.count, each.kind)) for each in records if not each.tombstone]
    assert places == sorted(places), "kept in order, and nothing that was not there"
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    pending = sum(record.count for record in records if not record.tombstone)
    assert (recovery.kept_records, recovery.kept_readings) == (len(records), pending)
    if recovery.exact:
        assert recovery.lost_records == len(sample.records) - len(records)
        before = sum(record.count for record in sample.records if not record.tombstone)
        assert recovery.lost_readings == before - pending
        assert recovery.lost_refusals == len(sample.told[2]) - len(journal.refusals())
    assert set(map(id_of, journal.refusals())) <= set(map(id_of, sample.told[2]))
    still_works(journal, path)
    return recovery.lost_records


def id_of(item):
    return item.id, item.body


def still_works(journal, path: Path) -> None:
    """All calls do what they do on a new one, and the next opening finds nothing amiss."""
    journal.mark_sent([1])
    journal.append([Entry(b"new", 3)], notes={"note-1": b"again", "more": b""})
    journal.remove(2)
    journal.advance("store", journal.stats().next_seq - 1)
    counters(journal)
    told = tell(journal)
    journal.close()
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert journal.recovery is None
    assert tell(journal) == told
    journal.close()


@pytest.mark.parametrize("fault", [*FILE_FAULTS, STALE])
@pytest.mark.parametrize("how", ["closed", "crashed"])
def test_a_damaged_file(fault, how, request, tmp_path):
    sample = request.getfixturevalue(how)
    rng = random.Random(seed_of_run(1))
    for number in range(12):
        files = {**sample.files, NAME: damaged_file(rng, fault, sample)}
        sound_again(put(tmp_path / str(number), files), sample)


@pytest.mark.parametrize("fault", WAL_FAULTS)
def test_a_damaged_write_ahead_log(fault, crashed, tmp_path):
    rng = random.Random(seed_of_run(2))
    for number in range(20):
        content = WAL_FAULTS[fault](rng, crashed.files[f"{NAME}-wal"])
        sound_again(put(tmp_path / str(number), {**crashed.files, f"{NAME}-wal": content}), crashed)


@pytest.mark.parametrize("how", ["closed", "crashed"])
def test_damage_without_the_mark_of_how_far_it_had_come(how, request, tmp_path):
    sample = request.getfixturevalue(how)
    rng = random.Random(seed_of_run(3))
    for number, fault in enumerate([*FILE_FAULTS, STALE] * 2):
        files = {**sample.files, NAME: damaged_file(rng, fault, sample), f"{NAME}.lock": None}
        sound_again(put(tmp_path / str(number), files), sample, marked=False)


@pytest.mark.soak
@pytest.mark.parametrize("how", ["closed", "crashed"])
def test_much_damage(how, request, tmp_path):
    sample = request.getfixturevalue(how)
    rng = random.Random(seed_of_run(4))
    for number in range(3000):
        folder = tmp_path / str(number)
        files = {**sample.files, NAME: damaged_file(rng, rng.choice([*FILE_FAULTS, STALE]), sample)}
        if f"{NAME}-wal" in files and rng.random() < 0.5:
            files[f"{NAME}-wal"] = rng.choice([*WAL_FAULTS.values()])(rng, files[f"{NAME}-wal"])
        sound_again(put(folder, files), sample)
        shutil.rmtree(folder)


def leaves_of(sample: Sample) -> list[int]:
    """Offsets of the pages that hold records."""
    data = sample.files[NAME]
    bodies = {record.body for record in sample.records if len(record.body) > 10}
    found = []
    for at in range(PAGE, len(data), PAGE):
        page = data[at : at + PAGE]
        if is_leaf(page) and any(cell and cell.values[-1] in bodies for cell in cells(page, lambda _: None)):
            found.append(at)
    return found


def test_one_broken_page_costs_its_own_records_only(closed, tmp_path):
    data = closed.files[NAME]
    losses = []
    for number, at in enumerate(random.Random(seed_of_run(5)).sample(leaves_of(closed), 8)):
        files = {**closed.files, NAME: data[:at] + bytes(PAGE) + data[at + PAGE :]}
        losses.append(sound_again(put(tmp_path / str(number), files), closed))
    # A free page may still show a record that lives elsewhere now: it costs nothing.
    assert sum(1 for lost in losses if lost) >= 4
    assert max(losses) < MOST_ROWS_A_PAGE


@pytest.mark.parametrize("how", ["closed", "crashed"])
def test_without_its_header_nothing_is_lost_and_nothing_comes_back_that_was_removed(how, request, tmp_path):
    """Nothing from below the base; single pages of free room cannot be told from others then."""
    sample = request.getfixturevalue(how)
    path = put(tmp_path / "it", {**sample.files, NAME: bytes(PAGE) + sample.files[NAME][PAGE:]})
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    bodies = [record.body for record in everything(journal)]
    assert [record.body for record in sample.records if record.body not in bodies] == []
    assert not {entry.body for entry in sample.ever[: sample.base - 1] if len(entry.body) > 4} & set(bodies)
    journal.close()


def test_what_was_removed_out_of_order_does_not_come_back(closed, tmp_path):
    """Its pages are free but for their content; the list of free pages says so."""
    data = closed.files[NAME]
    at = leaves_of(closed)[-1]
    path = put(tmp_path / "it", {**closed.files, NAME: data[:at] + bytes(PAGE) + data[at + PAGE :]})
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    removed = {entry.body for entry in closed.ever[499:580] if len(entry.body) > 4}
    assert not removed & {record.body for record in everything(journal)}
    assert journal.recovery.exact
    journal.close()


@pytest.mark.parametrize("table", ["sent", "cursor", "note"])
def test_an_empty_page_in_the_place_of_a_small_table_is_damage(table, closed, tmp_path):
    path = put(tmp_path / "it", closed.files)
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    connection.close()
    at = (page - 1) * PAGE
    data = closed.files[NAME]
    empty = b"\x0d\0\0\0\0\x10\0\0".ljust(PAGE, b"\0")
    path.write_bytes(data[:at] + empty + data[at + PAGE :])
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert "missing" in journal.recovery.reason
    assert journal.recovery.lost_records == 0
    journal.close()


def test_a_broken_list_of_free_pages_is_damage(closed, tmp_path):
    """Else the first append that takes a page from it would fail, and the one after."""
    data = closed.files[NAME]
    trunk = int.from_bytes(data[32:36], "big")
    assert trunk, "the sample has free pages"
    at = (trunk - 1) * PAGE + 8
    path = put(tmp_path / "it", {**closed.files, NAME: data[:at] + b"\0\xff\xff\xff" + data[at + 4 :]})
    assert sound_again(path, closed) == 0
    assert path.with_name(f"{NAME}.damaged-1").exists()


def test_a_log_broken_in_the_middle_is_damage_even_if_nothing_else_says_so(crashed, tmp_path):
    """SQLite would take what stands before the break and forget the rest in silence."""
    log = bytearray(crashed.files[f"{NAME}-wal"])
    log[32 + 24 + 4120 * 20 + 99] ^= 8
    path = put(tmp_path / "it", {**crashed.files, f"{NAME}-wal": bytes(log), f"{NAME}.lock": None})
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert "middle" in journal.recovery.reason
    journal.close()


def test_of_a_last_commit_that_is_broken_the_sound_pages_are_kept(tmp_path):
    """By the log alone it could be a torn write that never was committed; the mark knows better."""
    rng = random.Random(7)
    live = tmp_path / "live"
    live.mkdir()
    journal = open_sqlite(live / NAME, machine="here")
    journal.append([entry(rng)])
    journal.append([Entry(rng.randbytes(300), 1) for _ in range(100)])
    names = (NAME, f"{NAME}-wal", f"{NAME}.lock")
    files = {name: (live / name).read_bytes() for name in names}
    journal.close()
    log = bytearray(files[f"{NAME}-wal"])
    log[-4120 * 3 - 500] ^= 1
    path = put(tmp_path / "it", {**files, f"{NAME}-wal": bytes(log)})
    journal = open_sqlite(path, machine="here")
    assert journal.recovery.kind == "damaged"
    assert 0 < journal.recovery.lost_records < 20
    assert journal.recovery.kept_records == 101 - journal.recovery.lost_records
    journal.close()


def test_the_quarantine_and_the_notes_are_kept(closed, tmp_path):
    path = put(tmp_path / "it", {**closed.files, NAME: bytes(PAGE) + closed.files[NAME][PAGE:]})
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert journal.refusals() == closed.told[2]
    assert journal.notes("") == closed.told[3]
    journal.append([], refusals=[refusal(random.Random(1))])
    assert journal.refusals()[-1].id == closed.told[2][-1].id + 1
    journal.close()


def test_cursors_stand_behind_the_same_records(closed, tmp_path):
    path = put(tmp_path / "it", {**closed.files, NAME: bytes(PAGE) + closed.files[NAME][PAGE:]})
    passed = sum(1 for record in closed.records if record.seq <= closed.told[4][0])
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert [journal.cursor("store"), journal.cursor("judge")] == [passed, 0]
    journal.close()


def test_a_stream_is_never_taken_up_again_after_damage(closed, tmp_path):
    path = put(tmp_path / "it", {**closed.files, NAME: bytes(PAGE) + closed.files[NAME][PAGE:]})
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert journal.recovery.old_stream
    assert journal.stream != journal.recovery.old_stream
    journal.close()


def test_the_file_is_set_aside_and_only_the_last_two_are_kept(closed, tmp_path):
    path = put(tmp_path / "it", closed.files)
    for number in range(1, 5):
        damaged = path.read_bytes()[:-PAGE] + b"x" * PAGE
        path.write_bytes(b"noise" + damaged)
        journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
        assert journal.recovery.set_aside == f"{NAME}.damaged-{number}"
        assert path.with_name(journal.recovery.set_aside).read_bytes() == b"noise" + damaged
        journal.close()
    aside = sorted(file.name for file in path.parent.iterdir() if ".damaged-" in file.name)
    assert aside == [f"{NAME}.damaged-3", f"{NAME}.damaged-4"]


def test_damage_found_while_in_use_ends_the_process_and_is_salvaged_by_the_next(closed, tmp_path, monkeypatch):
    """Beyond what is read at opening, damage is found by reading; then the file is not opened as sound again."""
    monkeypatch.setattr("hinomi.journal.diagnosis.CHECKED_BYTES", 20_000)
    data = closed.files[NAME]
    body = closed.records[-20].body
    at = data.index(body)
    files = {**closed.files, NAME: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
    path = put(tmp_path / "it", files)
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert journal.recovery is None
    with pytest.raises(Damaged, match="checksum"):
        everything(journal)
    with pytest.raises(Damaged):
        journal.append([Entry(b"no more")])
    journal.close()
    journal = open_sqlite(path, cap_bytes=1 << 24, machine="here")
    assert "checksum" in journal.recovery.reason
    assert journal.recovery.lost_records == 1
    assert everything(journal)[-1].body == closed.records[-1].body
    journal.close()


def test_damage_found_while_a_clone_is_given_its_new_stream_is_salvaged_at_once(closed, tmp_path, monkeypatch):
    monkeypatch.setattr("hinomi.journal.diagnosis.CHECKED_BYTES", 20_000)
    data = closed.files[NAME]
    at = data.index(next(record.body for record in closed.records if record.seq > 470 and len(record.body) > 50))
    files = {**closed.files, NAME: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
    journal = open_sqlite(put(tmp_path / "it", files), cap_bytes=1 << 24, machine="elsewhere")
    assert (journal.recovery.kind, journal.recovery.lost_records) == ("damaged", 1)
    assert len(everything(journal)) == len(closed.records) - 1
    journal.close()


def test_a_month_without_network_is_up_within_30_seconds(tmp_path):
    """Ten channels every ten seconds in packs of fifty; the header gone, so that every page is read one by one."""
    path = tmp_path / NAME
    journal = open_sqlite(path, cap_bytes=1 << 30)
    packs = [Entry(random.Random(1).randbytes(380), 50, "reading")] * 1000
    for _ in range(52):
        journal.append(packs)
    journal.close()
    with path.open("r+b") as file:
        file.write(bytes(PAGE))
    began = time.monotonic()
    journal = open_sqlite(path, cap_bytes=1 << 30)
    assert time.monotonic() - began < 30
    assert (journal.recovery.kept_readings, journal.recovery.lost_readings) == (2_600_000, 0)
    journal.close()


def test_an_older_copy_is_noticed_and_gets_a_new_stream(tmp_path):
    """Else it would give numbers again that the other side has acknowledged."""
    rng = random.Random(6)
    path = tmp_path / NAME
    journal = open_sqlite(path)
    journal.append([entry(rng) for _ in range(10)])
    journal.close()
    copy = path.read_bytes()
    journal = open_sqlite(path)
    journal.append([Entry(b"later", 4), Entry(b"and later", 5)])
    old = journal.stream
    journal.remove(3)
    journal.close()
    path.write_bytes(copy)
    journal = open_sqlite(path)
    recovery = journal.recovery
    assert (recovery.kind, recovery.old_stream, recovery.exact) == ("rolled_back", old, False)
    assert (recovery.lost_records, recovery.lost_readings) == (2, 9)
    assert journal.stream != old
    assert len(everything(journal)) == 10
    still_works(journal, path)


def test_a_copy_on_another_machine_gets_a_new_stream(tmp_path):
    path = tmp_path / NAME
    journal = open_sqlite(path, machine="serial-1")
    journal.append([Entry(b"a", 1), Entry(b"b", 2)])
    journal.mark_sent([1, 2])
    journal.remove(1)
    old = journal.stream
    journal.close()
    journal = open_sqlite(path, machine="serial-1")
    assert (journal.recovery, journal.stream) == (None, old)
    journal.close()
    journal = open_sqlite(path, machine="serial-2")
    assert journal.recovery.kind == "cloned"
    assert "serial-1" in journal.recovery.reason
    assert journal.stream != old
    assert everything(journal) == [Record(1, b"b", 2)]
    journal.close()
    journal = open_sqlite(path, machine="serial-2")
    assert journal.recovery.old_stream == old, "told again until something is committed"
    journal.append([Entry(b"c", 3)])
    journal.close()
    journal = open_sqlite(path, machine="serial-2")
    assert journal.recovery is None
    journal.close()


def test_a_machine_that_cannot_be_told_is_no_other_machine(tmp_path):
    path = tmp_path / NAME
    for machine in ("", "serial-1", "", "serial-1"):
        journal = open_sqlite(path, machine=machine)
        assert journal.recovery is None
        journal.close()
