"""Each kind of bad input goes to quarantine with its reason, and the good data around it is stored."""

import asyncio
import base64
import json
import math
import random
import zlib
from collections import Counter

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import ManualClock
from support.ingest import BRIDGE, NOW, header, item, pack, running_ingest, tombstone

from cloud.ingest.accept import CUT_BYTES
from cloud.ingest.ingest import Ingest, Settings
from cloud.ingest.limits import LimitsSection
from cloud.ingest.loss import StationLoss
from sensing.observation import ClockQuality, Flag, Kind
from sensing.topic import StationId

OBS = BRIDGE.topic("obs")
MILL = StationId("town", "mill")
LABELS = {
    "hn_stream": "s1",
    "hn_seq": 1,
    "hn_base": 1,
    "hn_accepted": 1,
    "hn_dropped": 0,
    "hn_clock": "synced",
    "hn_kind": "reading",
}


def record(**fields: object) -> dict[str, object]:
    return {"n": f"{BRIDGE}/gauge/water_level", "u": "m", "v": 1.0, "t": NOW / 1000} | fields


async def send(ingest: Ingest, *payloads: bytes, topic: str = OBS) -> None:
    waiting = [ingest.accept.receive(topic, payload, {}) for payload in payloads]
    for future in waiting:
        assert future is None or await future


async def stored(ingest: Ingest) -> list[tuple[str, int, float, int]]:
    """What a consumer gets, and the account closed behind it."""
    await send(ingest, pack(header(1, stream="end"), item(0.5, at=NOW - 3_600_000, sensor="end")))
    found = []
    while not found or found[-1][0] != "end":
        batch = await ingest.feed.next_batch("store", limit=5000, max_wait_s=0)
        found += [(o.datastream.sensor, o.measured_at, o.value, o.flags) for one in batch for o in one.observations]
        await ingest.feed.done("store", batch[-1].seq)
    return found[:-1]


def reasons(ingest: Ingest, journal) -> Counter[str]:
    return Counter({refusal.reason: refusal.count for refusal in journal.refusals(0, 1000)})


def loss(ingest: Ingest) -> StationLoss:
    row = ingest.loss.row(BRIDGE)
    parts = (row.stored, row.pending_station, row.pending_journal, row.quarantined, row.dropped, row.written_off)
    assert row.accepted == sum(parts) + row.unaccounted
    return row


WHOLE = {
    "empty": (b"", "empty"),
    "empty array": (b"[]", "empty"),
    "not SenML": (b"hello", "malformed"),
    "cut off": (pack(header(1), item())[:-5], "malformed"),
    "random": (random.Random(1).randbytes(200), "malformed"),
    "oversized": (b"[" + b" " * 300_000 + b"]", "oversized"),
    "NaN": (json.dumps([record(v=math.nan)]).encode(), "not_finite"),
    "Infinity": (json.dumps([record(v=math.inf)]).encode(), "not_finite"),
    "NaN in CBOR": (cbor2.dumps([{0: f"{BRIDGE}/gauge/water_level", 2: math.nan, 6: NOW / 1000}]), "not_finite"),
    "deep": (b"[" * 5000 + b"]" * 5000, "too_deep"),
    "deep in CBOR": (b"\x81" * 5000 + b"\x80", "too_deep"),
    "bomb": (zlib.compress(b" " * 50_000_000), "bomb"),
    "must understand": (json.dumps([record(x_=1)]).encode(), "must_understand"),
    "wrong type": (json.dumps([record(v="high")]).encode(), "bad_field"),
    "forged": (pack(None, item(station=MILL)), "forged"),
    "forged within": (pack(None, item(), item(station=MILL, at=NOW - 1)), "forged"),
    "base above seq": (json.dumps([record(**LABELS | {"hn_base": 2})]).encode(), "bad_field"),
    "seq 0": (json.dumps([record(**LABELS | {"hn_seq": 0})]).encode(), "bad_field"),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_a_bad_pack_is_set_aside_and_the_good_around_it_is_stored(name: str, journal, clock: ManualClock):
    bad, reason = WHOLE[name]
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, pack(header(1, accepted=2), item(1.0)), bad, pack(header(2), item(2.0, at=NOW - 1)))
        assert [value for _, _, value, _ in await stored(ingest)] == [1.0, 2.0]
        (refusal,) = journal.refusals()
        assert refusal.reason == reason
        assert refusal.source == str(BRIDGE)
        assert refusal.at == NOW
        assert refusal.body == (bad if len(bad) <= 256 * 1024 else bad[:CUT_BYTES])
        assert refusal.detail
        assert loss(ingest).stored == 3
        assert ingest.counters.refused == {reason: 1}


READINGS = {
    "wrong unit": (item(unit="Cel"), "wrong_unit"),
    "no such unit": (item(unit="furlong"), "wrong_unit"),
    "unknown quantity": (item(quantity="happiness"), "unknown_quantity"),
    "no quantity": (item(quantity=""), "unknown_quantity"),
    "no sensor": (item(sensor=""), "bad_name"),
    "sensor in capitals": (item(sensor="Gauge"), "bad_name"),
    "far ahead": (item(at=NOW + 301_000), "time_ahead"),
    "long ago": (item(at=NOW - 1_700_000_000_000 + 500_000_000_000), "time_behind"),
}


@pytest.mark.parametrize("name", READINGS)
async def test_a_bad_reading_is_set_aside_and_its_pack_is_stored(name: str, journal, clock: ManualClock):
    bad, reason = READINGS[name]
    async with running_ingest(journal, clock=clock) as ingest:
        payload = pack(header(1, accepted=3), item(1.0, at=NOW - 2), bad, item(2.0, at=NOW - 1))
        await send(ingest, payload, payload)
        assert [value for _, _, value, _ in await stored(ingest)] == [1.0, 2.0, 1.0, 2.0]
        (refusal,) = journal.refusals()
        assert (refusal.reason, refusal.count) == (reason, 1), "a resend is not set aside again"
        assert refusal.detail.startswith("[1] town/bridge/")
        row = loss(ingest)
        assert (row.stored, row.quarantined, row.pending_station, row.unaccounted) == (3, 1, 0, 0)
        assert ingest.tracker.streams(BRIDGE)["s1"].upto == 1


async def test_a_reading_within_five_minutes_ahead_is_in_order(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, pack(header(1), item(at=NOW + 299_000)))
        assert len(await stored(ingest)) == 1


async def test_a_convertible_unit_is_converted_and_a_switch_becomes_a_number(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        switch = {"n": f"{BRIDGE}/door/door_open", "vb": True, "t": NOW / 1000}
        await send(ingest, json.dumps([record(u="mm", v=1500), switch]).encode())
        assert sorted(value for _, _, value, _ in await stored(ingest)) == [1.0, 1.5]


async def test_text_for_a_number_and_a_second_reading_of_one_moment(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        text = {"n": f"{BRIDGE}/gauge/water_level", "vs": "high", "t": NOW / 1000 - 5}
        rows = [record(**LABELS | {"hn_accepted": 4}), record(v=9.0), text, record(t=NOW / 1000 - 9)]
        await send(ingest, json.dumps(rows).encode())
        assert [value for _, _, value, _ in await stored(ingest)] == [1.0, 1.0]
        assert reasons(ingest, journal) == {"duplicate": 1, "no_number": 1}
        assert loss(ingest).quarantined == 2


async def test_a_pack_without_one_good_reading_is_acknowledged_by_its_number(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, pack(header(1, accepted=2), item(unit="Cel"), item(unit="s", at=NOW - 1)))
        assert ingest.feed.head == 0
        assert ingest.tracker.streams(BRIDGE)["s1"].upto == 1
        assert loss(ingest).quarantined == 2


async def test_a_forged_pack_counts_under_its_sender_and_is_not_sent_for_ever(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        forged = pack(header(1, accepted=1), item(station=MILL))
        await send(ingest, forged, forged)
        assert ingest.tracker.streams(BRIDGE)["s1"].upto == 1
        assert ingest.loss.rows("town")[0].station == BRIDGE
        assert loss(ingest).quarantined == 1
        assert len(journal.refusals()) == 1


async def test_garbage_without_a_header_is_set_aside_once(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        for _ in range(5):
            await send(ingest, b"garbage", b"other garbage")
        assert len(journal.refusals()) == 2
        assert ingest.counters.turned_away == {"repeated": 8}
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, b"garbage")
        assert len(journal.refusals()) == 2


async def test_strangers_are_refused_and_counted_and_nothing_of_them_is_kept(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, pack(header(1), item(station=MILL)), topic=MILL.topic("obs"))
        await send(ingest, b"{}", topic="hinomi/v1/town/obs")
        await send(ingest, b"{}", topic="homeassistant/sensor/x")
        assert ingest.counters.turned_away == {"unregistered": 1, "foreign_topic": 2}
        assert ingest.accept.strangers.recent()[0] == "hinomi/v1/town/mill/obs"
        assert (journal.stats().records, journal.stats().quarantined) == (0, 0)


async def test_strangers_are_taken_where_that_is_configured(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock, settings=Settings(foreign_devices=True)) as ingest:
        await send(ingest, pack(None, item(station=MILL)), topic=MILL.topic("obs"))
        assert ingest.feed.head == 1


async def test_plain_senml_of_another_maker_is_stored(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        rows = [{"bn": f"{BRIDGE}/air/", "n": "pm2_5", "u": "ug/m3", "v": 12.5}]
        await send(ingest, json.dumps(rows).encode())
        assert await stored(ingest) == [("air", NOW, 12.5, 0)]
        row = loss(ingest)
        assert (row.accepted, row.stored, row.unaccounted) == (2, 2, 0)


async def test_a_tombstone_moves_the_number_and_the_dropped_count(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, tombstone(header(1, accepted=5, dropped=5, kind=Kind.DROPPED), 5))
        assert ingest.tracker.streams(BRIDGE)["s1"].upto == 1
        row = loss(ingest)
        assert (row.accepted, row.dropped, row.pending_station) == (5, 5, 0)
        assert journal.stats().records == 0


async def test_flags_of_clock_maintenance_and_quality_reach_the_consumer(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        await send(
            ingest,
            pack(header(1, clock=ClockQuality.UNSYNCED), item(1.0, at=NOW - 50_000)),
            pack(header(2, kind=Kind.MAINTENANCE), item(1.0, at=NOW - 40_000)),
            pack(header(3), item(99.0, at=NOW - 30_000)),
            pack(header(4), item(9.0, at=NOW - 20_000)),
        )
        flags = [Flag(flags) for *_, flags in await stored(ingest)]
        assert flags == [Flag.CLOCK, Flag.MAINTENANCE, Flag.RANGE, Flag.STEP]


async def test_a_resend_has_the_flags_it_had_at_first_and_back_fill_disturbs_nothing(journal, clock: ManualClock):
    async with running_ingest(journal, clock=clock) as ingest:
        first = pack(header(1), item(1.0, at=NOW - 50_000))
        jump = pack(header(2), item(9.0, at=NOW - 40_000))
        await send(ingest, first, jump, jump, first, pack(header(3), item(-9.0, at=NOW - 3_000_000)))
        await send(ingest, pack(header(4), item(1.1, at=NOW - 30_000)))
        assert [flags for *_, flags in await stored(ingest)] == [0, Flag.STEP, Flag.STEP, 0, 0, 0]


async def test_after_a_restart_consumers_see_the_same_flags_and_quality_goes_on(journal, clock: ManualClock):
    packs = [pack(header(1), item(1.0, at=NOW - 50_000)), pack(header(2), item(9.0, at=NOW - 40_000))]
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, *packs)
    async with running_ingest(journal, clock=clock) as ingest:
        await send(ingest, pack(header(3), item(8.9, at=NOW - 30_000)))
        assert [flags for *_, flags in await stored(ingest)] == [0, Flag.STEP, Flag.STEP]


async def test_a_full_quarantine_stops_no_good_reading_and_is_counted(journal, clock: ManualClock):
    tight = Settings(limits=LimitsSection(quarantine_rows=100))
    async with running_ingest(journal, clock=clock, settings=tight) as ingest:
        await send(ingest, *(b"garbage %d" % number for number in range(100)))
        await send(ingest, b"one more", pack(header(1, accepted=2), item(), item(unit="Cel", at=NOW - 1)))
        assert journal.stats().quarantined == 100
        assert len(await stored(ingest)) == 1
        assert ingest.counters.turned_away == {"quarantine_full": 2}
        assert loss(ingest).written_off == 1


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=20)
)
_NAMES = st.sampled_from(
    ["bn", "bt", "bu", "bv", "n", "u", "v", "vs", "vb", "vd", "t", "s", "ut", "bver", *LABELS, "x_"]
)
_RECORDS = st.lists(st.dictionaries(_NAMES, _VALUES, max_size=8), max_size=5)


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        _RECORDS.map(cbor2.dumps),
        _RECORDS.map(lambda rows: json.dumps(rows, default=lambda b: base64.b64encode(b).decode()).encode()),
    )
)
def test_whatever_arrives_ingest_raises_nothing(judge, payload: bytes):
    taken = judge(BRIDGE, payload)
    assert taken.good == len(taken.observations)
    assert taken.refused == sum(refusal.count for refusal in taken.refusals)
    for refusal in taken.refusals:
        assert refusal.reason
        assert refusal.detail


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    from hinomi.journal.sqlite import SqliteJournal

    path = tmp_path_factory.mktemp("fuzz") / "arrival.db"
    journal = SqliteJournal.open(path, cap_bytes=1 << 20, new_stream=lambda: "arrival")
    loop = asyncio.new_event_loop()

    async def make():
        async with running_ingest(journal, clock=ManualClock()) as ingest:
            return ingest.accept.judge

    yield loop.run_until_complete(make())
    loop.close()
    journal.close()
