"""The fleet's log: whole lines only, one writer, every fault named."""

import resource
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.fleet.log import Log, read_log, read_packs
from firmware_sim.fleet.pack import Acked, Pack, Series
from hinomi.errors import ConfigError


def pack(seq, station="town/a"):
    return Pack(station, "s", seq, [Series("gauge", "water_level", [1541530800000 + seq], [seq / 10])])


async def test_what_was_appended_is_read_in_order(tmp_path):
    path = tmp_path / "new" / "fleet.jsonl"
    log = Log(path)
    await log.append([pack(1), pack(2)])
    await log.append([Acked("town/a", "s", 1, [(3, 4)])], sync=False)
    log.close()
    again = Log(path)
    await again.append([pack(3)])
    again.close()
    assert list(read_log(path)) == [pack(1), pack(2), Acked("town/a", "s", 1, [(3, 4)]), pack(3)]
    assert [each.seq for each in read_packs(path)] == [1, 2, 3]


async def test_it_is_on_the_disk_when_append_returns(tmp_path, monkeypatch):
    """Seen by another reader; and fdatasync was called after the write and before the return."""
    synced = []
    monkeypatch.setattr("os.fdatasync", lambda descriptor: synced.append(path.read_bytes()))
    path = tmp_path / "fleet.jsonl"
    log = Log(path)
    await log.append([pack(1)])
    assert synced == [path.read_bytes()]
    assert synced[0].endswith(b"\n")
    log.close()


@given(st.integers(0, 400), st.integers(0, 3))
def test_half_a_line_at_the_end_is_cut_off_and_nothing_else(tmp_path_factory, cut, junk):
    """Whatever a kill left of the file: the whole lines stay, and the next line begins where they end."""
    path = tmp_path_factory.getbasetemp() / "torn.jsonl"
    path.unlink(missing_ok=True)
    log = Log(path)
    log._write(b"", False)
    lines = [b'{"is":"acked","station":"town/a","stream":"s","upto":%d,"also":[]}\n' % seq for seq in range(1, 6)]
    log._write(b"".join(lines)[:cut] + b"{" * junk, False)
    log.close()
    whole = sum(1 for index in range(1, 6) if len(b"".join(lines[:index])) <= cut)
    Log(path).close()
    assert [line.upto for line in read_log(path)] == list(range(1, whole + 1))
    assert path.read_bytes() == b"".join(lines[:whole])


def test_a_very_long_half_line_is_cut_off_too(tmp_path):
    path = tmp_path / "fleet.jsonl"
    path.write_bytes(b'{"is":"acked","station":"town/a","stream":"s","upto":1}\n' + b"x" * 200_000)
    Log(path).close()
    assert len(list(read_log(path))) == 1
    assert path.stat().st_size < 100


def test_two_fleets_never_write_to_one_log(tmp_path):
    log = Log(tmp_path / "fleet.jsonl")
    with pytest.raises(ConfigError, match="another fleet"):
        Log(tmp_path / "fleet.jsonl")
    log.close()
    Log(tmp_path / "fleet.jsonl").close()


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "fleet.jsonl"
    path.write_bytes(b'{"is":"acked","station":"town/a","stream":"s","upto":1}\n{"is":"nonsense"}\n')
    with pytest.raises(ConfigError, match=r"fleet\.jsonl:2: is no line of a fleet's log"):
        list(read_log(path))


def test_no_file_is_an_empty_log(tmp_path):
    assert list(read_log(tmp_path / "none")) == []


async def test_a_full_disk_is_told_and_what_was_accepted_stays(tmp_path):
    """A limit on the size of files stands for the full disk: the write fails in the middle of a line."""
    path = tmp_path / "fleet.jsonl"
    log = Log(path)
    await log.append([pack(1)])
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(ConfigError, match="cannot be written"):
            await log.append([pack(2)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
        log.close()
    Log(path).close()
    assert list(read_log(path)) == [pack(1)]
