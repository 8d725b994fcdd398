"""The live page over HTTP, with a real registry and a real store below it."""

import asyncio
import html.parser
import json
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
from support.clock import ManualClock
from support.portal import Portal, portal, register_town

from cloud.portal import gather
from cloud.portal.gather import FRESH_S, PAGE_STATIONS
from hinomi.errors import Transient
from sensing.observation import Datastream, Flag, Observation
from sensing.topic import StationId

NOW = 1_700_000_000_000


@pytest.fixture
async def pace() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def page(tmp_path, clock, pace) -> AsyncIterator[Portal]:
    async with portal(tmp_path, clock, pace) as made:
        yield made


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def read(browser, url: str, **headers: str) -> str:
    async with browser.get(url, headers=headers) as answer:
        assert answer.status == 200
        return await answer.text()


async def live(browser, page: Portal, query: str = "?lang=en") -> dict:
    return json.loads(await read(browser, f"{page.url}/api/live.json{query}"))


def level(value: float, at: int, flags: int = 0, station: str = "bridge", community: str = "town") -> Observation:
    return Observation(Datastream(community, station, "gauge", "water_level"), at, value, flags)


class Outline(html.parser.HTMLParser):
    """Tags that were opened and closed, and what they carried."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


async def test_the_first_answer_is_complete_without_javascript(page, browser):
    page.add("town/bridge", ("gauge", "water_level", 300.0), name="中川・新橋", romaji="Nakagawa")
    await page.write(*(level(2.0 + i / 100, NOW - 300_000 * i) for i in range(5)))
    page.losses.put(StationId("town", "bridge"), accepted=1234, stored=1200, pending_station=30, pending_journal=4)
    text = await read(browser, f"{page.url}/?lang=ja")
    for words in (
        "中川・新橋",
        "水位",
        "2.00",
        "通信中",
        "0秒前",
        "失われた測定値はありません",
        "1,234",
        "1,200",
        "34",
    ):
        assert words in text
    assert '<path class="line" d="M' in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert Outline(text).open == []


async def test_nothing_on_the_page_comes_from_elsewhere(page, browser):
    register_town(page)
    async with browser.get(page.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = await answer.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://", text.replace("http://www.w3.org/2000/svg", ""))
    for tag, attributes in Outline(text).tags:
        assert "style" not in attributes, "the policy would drop it"
        assert not any(name.startswith("on") for name in attributes)
        assert tag not in {"img", "iframe", "object", "embed"}
        assert "src" not in attributes


async def test_style_and_script_are_those_the_policy_allows(page, browser):
    import base64
    import hashlib

    async with browser.get(page.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = await answer.text()
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("lang", ["ja", "en"])
async def test_names_are_text_wherever_they_stand(page, browser, lang):
    hostile = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>&amp; '; DROP TABLE station; --"
    page.add("town/bridge", ("gauge", "water_level", 300.0), name=hostile, romaji=hostile)
    await page.write(
        level(1.0, NOW),
        Observation(Datastream("town", "bridge", hostile, "temperature"), NOW, 20.0),
    )
    text = await read(browser, f"{page.url}/?lang={lang}")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    tags = Outline(text).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert page.registry.get(StationId("town", "bridge")) is not None
    got = await live(browser, page)
    assert got["stations"][0]["datastreams"][1]["sensor"] == hostile
    async with browser.get(f"{page.url}/api/live.json") as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("header", "query", "found"),
    [
        ("", "", "ja"),
        ("en", "", "en"),
        ("en-GB,en;q=0.9,ja;q=0.8", "", "en"),
        ("fr;q=1, ja;q=0.5, en;q=0.4", "", "ja"),
        ("en;q=nonsense", "", "ja"),
        ("en", "?lang=ja", "ja"),
        ("ja", "?lang=en", "en"),
        ("en", "?lang=../../etc", "en"),
    ],
)
async def test_the_language_is_the_readers(page, browser, header, query, found):
    text = await read(browser, f"{page.url}/{query}", **{"Accept-Language": header})
    assert f'<html lang="{found}">' in text


async def test_a_value_older_than_three_intervals_is_grey_and_says_so_in_words(page, browser, clock, pace):
    page.add("town/bridge", ("gauge", "water_level", 60.0))
    await page.write(level(1.0, NOW))
    clock.tick(60 * 3 + 15)
    got = await live(browser, page)
    assert not got["stations"][0]["datastreams"][0]["stale"]
    clock.tick(1)
    pace.tick(FRESH_S)
    got = await live(browser, page)
    row = got["stations"][0]["datastreams"][0]
    assert row["stale"]
    assert row["words"]["stale"] == "no update"
    text = await read(browser, f"{page.url}/?lang=en")
    assert 'class="row old"' in text
    assert "no update" in text


async def test_how_often_a_datastream_measures_is_what_the_station_said_last(page, browser, clock):
    from sensing.station import DatastreamInfo

    page.add("town/bridge", ("gauge", "water_level", 60.0))
    station = StationId("town", "bridge")
    slower = (DatastreamInfo("gauge", "water_level", 3600.0),)
    presence = page.registry.presence(station)
    page.registry._presence[station] = type(presence)(True, 0, {}, slower)
    await page.write(level(1.0, NOW))
    clock.tick(1000)
    got = await live(browser, page)
    assert got["stations"][0]["datastreams"][0]["interval_s"] == 3600.0
    assert not got["stations"][0]["datastreams"][0]["stale"]


async def test_personal_readings_never_reach_the_page(page, browser):
    page.add("town/house", ("door", "door_open", 60.0), ("hall", "motion", 60.0), ("air", "temperature", 60.0))
    for sensor, quantity in (("door", "door_open"), ("hall", "motion"), ("air", "temperature")):
        await page.write(Observation(Datastream("town", "house", sensor, quantity), NOW, 1.0))
    assert await page.store.personal.count("town") == 2
    # Not even if one slipped into the public store.
    await page.store.public.write([Observation(Datastream("town", "house", "door", "door_open"), NOW, 1.0)])
    _, _, text = (await read(browser, page.url)).partition("</style>")
    text += json.dumps(await live(browser, page))
    assert "temperature" in text
    for word in ("door", "motion", "扉", "人の動き"):
        assert word not in text


async def test_a_lost_reading_is_told_in_words_for_its_community_and_in_all(page, browser):
    page.add("town/bridge")
    page.add("village/school")
    page.losses.put(StationId("town", "bridge"), accepted=100, stored=93, unaccounted=7)
    page.losses.put(StationId("village", "school"), accepted=50, stored=40, dropped=6, written_off=3, quarantined=1)
    got = (await live(browser, page))["meters"]
    assert (got[""]["mood"], got["town"]["mood"], got["village"]["mood"]) == ("bad", "bad", "fine")
    assert got[""]["said"] == "Readings do not add up"
    assert (got[""]["accepted"], got[""]["stored"], got[""]["lost"]) == (150, 133, 7)
    assert (got["village"]["dropped"], got["village"]["written_off"], got["village"]["quarantined"]) == (6, 3, 1)
    for one in got.values():
        parts = ("stored", "on_its_way", "quarantined", "dropped", "written_off", "lost")
        assert one["accepted"] == sum(one[part] for part in parts)
        assert sum(one["widths"].values()) == pytest.approx(100, abs=0.1)
    text = await read(browser, f"{page.url}/?lang=en")
    assert text.count('class="meter bad"') == 2
    assert text.count('class="meter fine"') == 1


async def test_more_found_than_accepted_is_a_defect_too(page, browser):
    page.add("town/bridge")
    page.losses.put(StationId("town", "bridge"), accepted=10, stored=12, unaccounted=-2)
    assert (await live(browser, page))["meters"][""]["mood"] == "bad"


async def test_an_empty_installation_is_neither_green_nor_red(page, browser):
    assert (await live(browser, page))["meters"][""]["mood"] == "empty"
    assert Outline(await read(browser, page.url)).open == []


async def test_stations_say_whether_they_are_connected(page, browser):
    page.add("town/here")
    page.add("town/gone", online=False)
    page.add("town/new", online=None)
    got = {one["id"]: one["said"] for one in (await live(browser, page))["stations"]}
    assert got == {"town/here": "Online", "town/gone": "Offline", "town/new": "Never seen"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (0, ""),
        (Flag.RANGE, "doubtful"),
        (Flag.STUCK | Flag.CLOCK, "doubtful"),
        (Flag.MAINTENANCE | Flag.STEP, "maintenance"),
        (Flag.CLOCK, "clock not set"),
    ],
)
async def test_what_quality_control_thinks_stands_beside_the_value(page, browser, flags, words):
    page.add("town/bridge", ("gauge", "water_level", 60.0))
    await page.write(level(1.0, NOW, int(flags)))
    row = (await live(browser, page))["stations"][0]["datastreams"][0]
    assert row["words"]["remark"] == words


async def test_the_layout_changes_with_stations_and_not_with_values(page, browser, pace):
    page.add("town/bridge", ("gauge", "water_level", 60.0))
    await page.write(level(1.0, NOW))
    first = (await live(browser, page))["layout"]
    await page.write(level(2.0, NOW + 1000))
    pace.tick(FRESH_S)
    second = await live(browser, page)
    assert second["layout"] == first
    assert second["stations"][0]["datastreams"][0]["words"]["value"] == "2.00"
    page.add("town/school")
    pace.tick(FRESH_S)
    third = (await live(browser, page))["layout"]
    assert third != first
    assert f'data-layout="{third}"' in await read(browser, page.url)


async def test_many_watchers_cost_one_question_a_second(page, browser, pace, monkeypatch):
    page.add("town/bridge", ("gauge", "water_level", 60.0))
    asked = []
    latest = page.store.latest

    async def counting(community):
        asked.append(community)
        return await latest(community)

    monkeypatch.setattr(page.store, "latest", counting)
    for _ in range(10):
        await live(browser, page)
        await read(browser, page.url)
    assert len(asked) == 1
    pace.tick(FRESH_S)
    await live(browser, page)
    assert len(asked) == 2


async def test_a_store_that_is_away_leaves_the_meter_and_says_what_becomes_of_the_readings(
    page, browser, monkeypatch
):
    async def away(*_args):
        raise Transient("the store at http://10.1.2.3:8086 does not answer")

    page.add("town/bridge", ("gauge", "water_level", 60.0), name="新橋")
    page.losses.put(StationId("town", "bridge"), accepted=10, stored=4, pending_journal=6)
    monkeypatch.setattr(page.store, "latest", away)
    text = await read(browser, f"{page.url}/?lang=en")
    assert "The database does not answer." in text
    assert "新橋" in text
    assert "10.1.2.3" not in text, "addresses are for /healthz"
    assert (await live(browser, page))["meters"][""]["on_its_way"] == 6


async def test_a_value_stands_without_its_past(page, browser, monkeypatch):
    async def away(*_args):
        raise Transient("no")

    page.add("town/bridge", ("gauge", "water_level", 60.0))
    await page.write(level(1.5, NOW))
    monkeypatch.setattr(page.store, "series", away)
    assert "1.50" in await read(browser, page.url)


@pytest.mark.parametrize("part", ["latest", "series"])
async def test_a_store_that_hangs_does_not_hang_the_page(page, browser, monkeypatch, part):
    """However many datastreams there are, they wait together."""

    async def hang(*_args):
        await asyncio.sleep(60)

    for number in range(30):
        page.add(f"town/s{number}", ("gauge", "water_level", 60.0))
        await page.write(level(1.0, NOW, station=f"s{number}"))
    monkeypatch.setattr(gather, "PATIENCE_S", 0.2)
    monkeypatch.setattr(page.store, part, hang)
    began = asyncio.get_running_loop().time()
    text = await read(browser, page.url)
    assert asyncio.get_running_loop().time() - began < 2
    assert ("1.00" in text) == (part == "series")


async def test_a_thousand_stations_come_in_pages(page, browser):
    for number in range(PAGE_STATIONS + 3):
        page.add(f"town/s{number:03d}")
    first, second = await live(browser, page), await live(browser, page, "?page=2")
    assert (len(first["stations"]), len(second["stations"])) == (PAGE_STATIONS, 3)
    text = await read(browser, f"{page.url}/?lang=en&page=2")
    assert "page 2 of 2" in text
    assert "town/s050" in text
    assert "town/s000" not in text
    for nonsense in ("0", "-1", "99999", "1e9", "x", "²"):
        assert len((await live(browser, page, f"?page={nonsense}"))["stations"]) in {PAGE_STATIONS, 3}


async def test_a_device_nobody_registered_is_shown_by_its_id(page, browser):
    page.losses.put(StationId("town", "stranger"), accepted=1, stored=1)
    await page.write(level(3.25, NOW, station="stranger"))
    text = await read(browser, page.url)
    assert "stranger" in text
    assert "3.25" in text


async def test_healthz_is_200_or_503_with_the_reason(page, browser):
    page.health.fact("answer", lambda: 42)
    async with browser.get(f"{page.url}/healthz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"ok": True, "problems": [], "facts": {"answer": 42}}
    page.health.watch("store", lambda: "does not answer; start it")
    async with browser.get(f"{page.url}/healthz") as answer:
        assert answer.status == 503
        assert (await answer.json())["problems"] == ["store: does not answer; start it"]


async def test_metrics_are_prometheus_text(page, browser):
    page.metrics.gauge("arrival_behind", "packs not stored yet", lambda: 3.0)
    async with browser.get(f"{page.url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "hinomi_arrival_behind 3.0" in await answer.text()


async def test_the_page_changes_nothing(page, browser):
    for path in ("/", "/api/live.json", "/healthz", "/metrics"):
        async with browser.post(f"{page.url}{path}") as answer:
            assert answer.status == 405
