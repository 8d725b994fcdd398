"""A recorded CSV: the good is kept, the bad is named by line and column, and nothing is made up."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.signals.layout import Column, Layout
from firmware_sim.signals.order import increasing
from firmware_sim.signals.table import read
from hinomi.errors import ConfigError

LEVEL = Layout(columns=(Column("level", "water_level", "cm"),), time_columns=("time",))
TWO = Layout(columns=(Column("a", "temperature"), Column("b", "humidity")), time_columns=("time",))
STATIONS = Layout(columns=(Column("a", "temperature"),), time_columns=("time",), station_column="id")


@pytest.fixture
def table(tmp_path):
    def parsed(text, layout=LEVEL, encoding="utf-8"):
        path = tmp_path / "recorded.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return read(path, layout)

    return parsed


def values(found):
    return [row.values for row in found.rows]


def refusals(found):
    return [(refusal.line, refusal.column, refusal.reason) for refusal in found.refusals]


def test_an_empty_cell_is_a_gap_and_never_a_zero(table):
    found = table("time,a,b\n2020-01-01,0,\n2020-01-02,,5\n2020-01-03,  ,\n2020-01-04\n", TWO)
    assert values(found) == [(0.0, None), (None, 5.0), (None, None), (None, None)]
    assert found.count == 4
    assert not found.refusals


def test_bad_cells_are_named_and_the_rest_of_the_row_goes_on(table):
    found = table("time,a,b\n2020-01-01,warm,40\n2020-01-02,nan,-Infinity\n2020-01-03,1e999,1_0\n", TWO)
    assert values(found) == [(None, 40.0), (None, None), (None, None)]
    assert [row.whole for row in found.rows] == [False, False, False]
    assert refusals(found) == [
        (2, "a", "not_a_number"),
        (3, "a", "not_finite"),
        (3, "b", "not_finite"),
        (4, "a", "not_finite"),
        (4, "b", "not_a_number"),
    ]


def test_rows_out_of_order_or_at_the_same_time_are_refused(table):
    times = ["01", "02", "02", "04", "03", "05"]
    found = table("time,level\n" + "".join(f"2020-01-{day},{index}\n" for index, day in enumerate(times)))
    assert values(found) == [(0.0,), (1.0,), (3.0,), (5.0,)]
    assert refusals(found) == [(4, "time", "duplicate_time"), (6, "time", "out_of_order")]


def test_one_wild_time_does_not_condemn_the_rows_after_it(table):
    found = table("time,level\n2020-01-01,1\n2099-01-01,2\n2020-01-03,3\n2020-01-04,4\n")
    assert values(found) == [(1.0,), (3.0,), (4.0,)]
    assert refusals(found) == [(3, "time", "out_of_order")]


def test_each_station_has_an_order_of_its_own(table):
    found = table("id,time,a\nx,2020-01-02,1\ny,2020-01-01,2\nx,2020-01-01,3\n,2020-01-09,4\n", STATIONS)
    assert [(row.station, row.values[0]) for row in found.rows] == [("x", 1.0), ("y", 2.0)]
    assert refusals(found) == [(4, "time", "out_of_order"), (5, "id", "bad_station")]


def test_two_time_columns_are_one_time(table):
    layout = Layout(
        columns=(Column("Tg", "globe_temperature"),), time_columns=("Date", "Time"), time_zone="Asia/Tokyo"
    )
    found = table("Date,Time,Tg\n2019/7/1,23:00,1\n2019/7/1,24:00,2\n2019/7/2,,\n2019/7/2,1:00,3\n,,4\n", layout)
    assert [row.at for row in found.rows] == [1561989600000, 1561993200000, 1562000400000 - 3600_000]
    assert refusals(found) == [(4, "Date,Time", "duplicate_time"), (6, "Date,Time", "bad_time")]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_a_byte_order_mark_comments_and_blank_lines_are_no_matter(table, ending):
    lines = ["\ufefftime;level", "# it's \"odd", "", '"2020-01-01";"1.5"', "   ", "2020-01-02; 2 "]
    layout = Layout(columns=LEVEL.columns, time_columns=("time",), delimiter=";")
    found = table(ending.join(lines), layout)
    assert [(row.line, row.values) for row in found.rows] == [(4, (1.5,)), (6, (2.0,))]


def test_japanese_offices_files(table):
    """cp932, lines above the header, full-width digits."""
    layout = Layout(columns=(Column("水位", "water_level", "m"),), time_columns=("日時",), encoding="cp932", skip=2)
    text = '観測所,"駅前\n単位,m\n日時,水位\n2019年7月1日 24時,1.25\n2019/7/2 1:00,-0.5\n'
    found = table(text, layout, "cp932")
    assert [(row.line, row.values) for row in found.rows] == [(4, (1.25,)), (5, (-0.5,))]


def test_a_quote_that_never_closes_costs_its_line_only(table):
    found = table('time,level\n2020-01-01,1\n2020-01-02,"4"x\n2020-01-03,3\n2020-01-04,"2\n2020-01-05,5\n')
    assert values(found) == [(1.0,), (3.0,), (5.0,)]
    assert [(line, reason) for line, _, reason in refusals(found)] == [(3, "bad_quotes"), (5, "unclosed_quote")]
    assert found.count == 5


def test_a_quoted_cell_may_hold_line_breaks(table):
    found = table('note,time,level\n"two\nlines, ""quoted""",2020-01-01,1\nx,2020-01-02,y\n', LEVEL)
    assert [(row.line, row.values) for row in found.rows] == [(2, (1.0,)), (4, (None,))]
    assert refusals(found) == [(4, "level", "not_a_number")]


def test_more_cells_than_the_header_has_are_refused_unless_empty(table):
    found = table("time,level\n2020-01-01,1,\n2020-01-02,1,234\n")
    assert values(found) == [(1.0,)]
    assert refusals(found) == [(3, "#3", "surplus_cells")]


def test_a_decimal_comma_and_signs_for_a_gap(table):
    layout = Layout(
        columns=LEVEL.columns, time_columns=("time",), delimiter=";", decimal=",", gaps=("-9999", "///")
    )
    found = table("time;level\n2020-01-01;1,5\n2020-01-02;-9999\n2020-01-03;///\n2020-01-04;1,5,5\n", layout)
    assert values(found) == [(1.5,), (None,), (None,), (None,)]
    assert refusals(found) == [(5, "level", "not_a_number")]


def faults(caught):
    return "\n".join(str(fault) for fault in caught.value.faults)


def test_unknown_columns_are_all_named_with_the_nearest_one(table):
    layout = Layout(columns=(Column("Levl", "water_level"), Column("rain", "rain_rate")), time_columns=("when",))
    with pytest.raises(ConfigError) as caught:
        table("time,level\n", layout)
    assert len(caught.value.faults) == 3
    assert "no column 'Levl'; did you mean 'level'?" in faults(caught)


@pytest.mark.parametrize(
    ("content", "layout", "says"),
    [
        (b"", LEVEL, "is empty"),
        (b"time;level\n", LEVEL, "';': is that the delimiter?"),
        ("時刻,水位\n".encode("cp932"), LEVEL, "e.g. cp932"),
        (b"time,level,level\n", LEVEL, "more than once"),
        (b"time,level\n", Layout(columns=LEVEL.columns, time_columns=("time",), encoding="utf-16"), "utf-16"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_to_do(table, content, layout, says):
    with pytest.raises(ConfigError) as caught:
        table(content, layout)
    assert says in faults(caught)


def test_every_fault_of_a_layout_is_named_at_once(tmp_path):
    layout = Layout(
        columns=(Column("a", "watr_level"), Column("b", "water_level", "degC"), Column("c", "co2", "parsecs")),
        time_columns=("time",),
        time_zone="Asia/Tokio",
        delimiter="::",
        encoding="klingon",
        decimal=";",
        skip=-1,
    )
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "absent.csv", layout)
    assert len(caught.value.faults) == 8
    assert "did you mean 'water_level'?" in faults(caught)
    assert "did you mean 'Asia/Tokyo'?" in faults(caught)


def test_a_missing_file_is_the_persons_to_fix(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.csv: cannot be read"):
        read(tmp_path / "absent.csv", LEVEL)


CELLS = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
)


DIALECTS = st.tuples(st.sampled_from([",", ";", "\t"]), st.booleans(), st.sampled_from(["\n", "\r\n"]))


@given(st.lists(CELLS, max_size=30), DIALECTS)
def test_what_was_written_is_read(tmp_path_factory, cells, dialect):
    """Every number comes back bit for bit, every gap as a gap, whatever the dialect."""
    delimiter, quoted, ending = dialect
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=ending,
        quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
    )
    writer.writerow(["time", "level"])
    writer.writerows([1_500_000_000 + 60 * index, cell or ""] for index, cell in enumerate(cells))
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text(text.getvalue(), newline="")
    found = read(path, Layout(columns=LEVEL.columns, time_columns=("time",), delimiter=delimiter))
    assert values(found) == [(None if cell is None else float(cell),) for cell in cells]
    assert [row.at for row in found.rows] == [(1_500_000_000 + 60 * index) * 1000 for index in range(len(cells))]


@given(st.text(alphabet='time,level"\n\r#;0123456789.- \x00あ', max_size=200))
def test_no_text_after_a_good_header_is_ever_a_crash(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    path.write_text("time,level\n2020-01-01,1\n" + text + "\n2030-01-01,2\n", newline="")
    found = read(path, LEVEL)
    assert found.count >= len(found.rows)
    assert found.rows[0].values == (1.0,)
    assert [row.at for row in found.rows] == sorted({row.at for row in found.rows})
    good = sum(row.whole for row in found.rows)
    assert found.count - good == len({refusal.line for refusal in found.refusals})


@given(st.lists(st.integers(0, 12), max_size=9))
def test_the_longest_run_in_order_is_kept(times):
    """As long as any run that trying every subset finds, and strictly increasing."""
    kept = [time for time, keep in zip(times, increasing(times), strict=True) if keep]
    assert kept == sorted(set(kept))
    longest = 0
    for mask in range(1 << len(times)):
        chosen = [time for index, time in enumerate(times) if mask >> index & 1]
        if chosen == sorted(set(chosen)):
            longest = max(longest, len(chosen))
    assert len(kept) == longest
