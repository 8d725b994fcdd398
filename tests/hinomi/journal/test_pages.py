"""Rows read without SQLite are the rows that SQLite wrote; noise never does worse than not being read."""

import sqlite3

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from hinomi.journal.pages import cells, is_leaf, lowest

PAGE = 4096
values = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, 1, -1, 127, 128, -129, 1 << 15, 1 << 23, -(1 << 31), 1 << 47]),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=40),
    st.integers(3900, 9000).map(lambda size: b"\xa5" * size),
)


def pages_of(path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(-(1 << 63), (1 << 63) - 1), st.tuples(values, values), min_size=1, max_size=12))
def test_every_kind_of_value_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("pages") / "file.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB, b BLOB)")
    connection.executemany("INSERT INTO t VALUES(?, ?, ?)", [(key, *row) for key, row in rows.items()])
    connection.close()
    pages = pages_of(path)
    found = {}
    for page in pages[1:]:
        here = list(cells(page, lambda number: pages[number - 1]))
        assert None not in here
        assert not here or lowest(page) is not None
        found |= {cell.rowid: cell.values[1:] for cell in here}
    assert found == rows


@pytest.mark.parametrize("kept", [8, 100, 2000])
@given(st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_noise_is_not_read_and_breaks_nothing(kept, rng):
    page = b"\x0d\0\0" + (20).to_bytes(2, "big") + rng.randbytes(PAGE - 5)
    assert is_leaf(page)
    for each in (page, page[:kept], page[:kept] + bytes(PAGE - kept)):
        list(cells(each, lambda number: rng.randbytes(PAGE) if number % 2 else None))
        lowest(each)


def test_a_chain_of_pages_that_is_a_ring_ends():
    """A row of a gigabyte whose pages point at each other."""
    payload = b"\x83\x80\x80\x80\x00" + b"\x01" + bytes(500)
    page = b"\x0d\0\0\0\x01\0\0\0" + (3000).to_bytes(2, "big")
    page = page.ljust(3000, b"\0") + payload
    page = page.ljust(PAGE, b"\x01")
    ring = (2).to_bytes(4, "big") + bytes(PAGE - 4)
    assert list(cells(page, lambda _: ring)) == [None]


def test_a_column_far_beyond_the_row_is_not_read():
    """A length of more than 2^63 bytes, then a number with a fraction behind it."""
    types = b"\xff" * 8 + b"\xfe" + b"\x07"
    payload = bytes([len(types) + 1]) + types + bytes(20)
    row = bytes([len(payload), 1]) + payload
    page = (b"\x0d\0\0\0\x01\0\0\0" + (3000).to_bytes(2, "big")).ljust(3000, b"\0") + row
    assert list(cells(page.ljust(PAGE, b"\0"), lambda _: None)) == [None]
