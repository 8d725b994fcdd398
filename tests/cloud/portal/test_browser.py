"""The live page in a real browser: its script runs under its own policy, and names stay text there too."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator

import pytest
from support.portal import Portal, portal
from support.servers import die_with_parent, need

from hinomi.clock import SystemClock
from sensing.observation import Datastream, Observation
from sensing.topic import StationId

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Hurried(SystemClock):
    """The browser's time runs ahead of ours: whenever it asks, a second has passed."""

    asked = 0

    def monotonic(self) -> float:
        self.asked += 1
        return float(self.asked)


@pytest.fixture
async def page(tmp_path) -> AsyncIterator[Portal]:
    async with portal(tmp_path, SystemClock(), Hurried()) as made:
        yield made


async def dom(url: str, milliseconds: int) -> str:
    """The document as it is after so much of the page's own time."""
    with tempfile.TemporaryDirectory() as profile:
        process = await asyncio.create_subprocess_exec(
            need("chromium"),
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={milliseconds}",
            "--dump-dom",
            url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return out.decode()


async def test_the_page_refreshes_itself_and_draws_what_is_new(page):
    """Values, meter and a station that was not there at first, without a reload."""
    bridge = StationId("town", "bridge")
    page.add("town/bridge", ("gauge", "water_level", 60.0), romaji="Bridge")
    now = page.clock.now()
    await page.write(Observation(Datastream("town", "bridge", "gauge", "water_level"), now, 1.0))
    page.losses.put(bridge, accepted=10, stored=10)
    rows = page.losses.rows
    asked = []

    def and_then(community):
        """After the first answer the world goes on."""
        if len(asked) == 1:
            page.losses.put(bridge, accepted=2500, stored=2490, unaccounted=10)
            page.add("town/school", romaji="School")
        asked.append(community)
        return rows(community)

    page.losses.rows = and_then
    found = await dom(f"{page.url}/?lang=en", 9000)
    assert len(asked) > 1
    assert "Readings do not add up" in found
    assert '<dd data-part="accepted">2,500</dd>' in found
    assert 'data-station="town/school"' in found
    assert re.search(r'id="away"[^>]*hidden', found)


async def test_no_name_becomes_a_command_in_the_browser(page):
    hostile = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
    page.add("town/bridge", ("gauge", "water_level", 60.0), name=hostile, romaji=hostile)
    now = page.clock.now()
    await page.write(
        Observation(Datastream("town", "bridge", "gauge", "water_level"), now, 1.0),
        Observation(Datastream("town", "bridge", hostile, "temperature"), now, 20.0),
    )
    found = await dom(f"{page.url}/?lang=ja", 6000)
    assert "<title>ひのみ 観測の今</title>" in found
    assert "<img" not in found
    assert found.count("<script>") == 1
