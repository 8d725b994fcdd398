"""Promise 9, of the store: one bad point among good ones is set aside with the server's words, the rest stored."""

import time
import urllib.request
from collections.abc import Iterator

import pytest
from support.flow import STATIONS, Generator, cloud, compare, drained, losses
from support.ingest import item
from support.observations import HOUR
from support.servers import Influx

from sensing import series


@pytest.fixture
def server(tmp_path) -> Iterator[Influx]:
    """In ``town``, somebody else wrote PM10 as whole numbers."""
    server = Influx(tmp_path / "influx")
    server.start()
    name = series.database("town")
    urllib.request.urlopen(f"{server.url}/query", f"q={series.create_query(name, 90)}".encode()).close()
    day = (time.time_ns() // 1_000_000 - 4 * HOUR) // (24 * HOUR) * 24 * HOUR
    for at in (day + HOUR, day + 25 * HOUR):
        line = f"pm10,community=town,sensor=x,station=other value=1i {at}".encode()
        urllib.request.urlopen(f"{server.url}/write?db={name}&precision=ms", line).close()
    yield server
    server.kill()


async def test_bad_points_are_in_quarantine_with_the_servers_words_and_all_others_are_stored(tmp_path, server):
    bridge = STATIONS[0]
    start = time.time_ns() // 1_000_000 - 4 * HOUR
    oracle = tmp_path / "oracle"
    async with cloud(tmp_path, server, 9) as (ingest, writer):
        generator = Generator(ingest, oracle, start)
        for number in range(60):
            bad = item(7.5, at=start + number * 1000, sensor="dust", quantity="pm10", unit="ug/m3", station=bridge)
            await generator.send(bridge, *([bad] if number % 3 == 0 else []))
            await generator.send(STATIONS[2])
        began = time.monotonic()
        await drained(ingest, 5)
        for _ in range(30):
            await generator.send(bridge)
        await drained(ingest, 5)
        assert time.monotonic() - began < 5, "throughput is back in 5 s"
        rows = await ingest.desk.rows(0, 100)
        assert sum(row.count for row in rows) == 20
        assert {row.reason for row in rows} == {"type_conflict"}
        assert {row.source for row in rows} == {"town/bridge"}
        assert all('measurement "pm10" is type float, already exists as type integer' in row.detail for row in rows)
        found = {row.station: row for row in losses(ingest)}
        assert (found[bridge].quarantined, found[bridge].stored) == (20, 90 * 60)
        assert found[STATIONS[2]].quarantined == 0
        assert all(row.unaccounted == row.pending_journal == 0 for row in found.values())
        assert (writer.refused, writer.problem) == (20, None)
    assert compare(oracle, server) == 150 * 60
