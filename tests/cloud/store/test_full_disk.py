"""A full disk under the store: an honest Transient, nothing half stored; it goes on when there is room again."""

import subprocess
import sys
import time

import pytest
from support.observations import DAY, ramp, stream
from support.small_disk import SmallInflux, small_disk

from cloud.store import influx1
from hinomi.clock import SystemClock
from hinomi.errors import Transient

T0 = (time.time_ns() // 1_000_000 - DAY) // DAY * DAY

# SQLite follows /proc's links to the world outside, so what uses it has to run inside.
FULL = """
import asyncio, sys
from pathlib import Path
import pytest
from support.observations import ramp, stream
from cloud.store.sqlite import SqliteStore
from hinomi.errors import Transient

def fill(path, leave):
    with (path / "filler").open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            filler.truncate(max(filler.tell() - leave, 0))

async def main(path, t0):
    store = await SqliteStore.open(path / "store.db")
    assert await store.write(ramp(stream(), t0, 100)) == []
    fill(path, leave=40_000)
    for number in range(20):
        with pytest.raises(Transient, match="full"):
            await store.write(ramp(stream(), t0 + (number + 1) * 10_000_000, 5000, step=1000))
        assert await store.count("town") == 100
    assert (await store.latest("town"))[0].value == 99.0
    (path / "filler").unlink()
    assert await store.write(ramp(stream(), t0 + 10_000_000, 5000, step=1000)) == []
    assert await store.count("town") == 5100
    await store.close()

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""
BEGIN = """
import asyncio, sys
from pathlib import Path
import pytest
from cloud.store.sqlite import SqliteStore
from hinomi.errors import ConfigError

async def main(path):
    (path / "filler").write_bytes(b"x" * 1_040_000)
    with pytest.raises(ConfigError, match="free the disk"):
        await SqliteStore.open(path / "store.db")

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(("size", "script"), [("3m", FULL), ("1m", BEGIN)], ids=["under way", "at the beginning"])
def test_sqlite_on_a_full_disk_stores_nothing_of_the_batch_and_recovers_alone(tmp_path, size, script):
    with small_disk(tmp_path, size) as disk:
        command = disk.inside([sys.executable, "-c", script, str(disk.mount), str(T0)])
        environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


async def test_influxdb_on_a_full_disk_is_transient_and_loses_nothing_that_it_took(tmp_path):
    """InfluxDB 1.6.7 shows readings it could not write, and refuses until it is restarted: only its 204 counts.

    Even that does not count after the first start: its log is cut then, but it goes on writing behind the cut, and
    what it takes is gone with the next start. So nothing is written until it was restarted twice.
    """
    with small_disk(tmp_path, "48m") as disk:
        server = SmallInflux(tmp_path / "influx", disk)
        server.start()
        store = await influx1.Config(type="influx1", url=server.url).open(SystemClock())
        try:
            d = stream()
            await store.write(ramp(d, T0, 100))
            disk.fill()
            for number in range(5):
                with pytest.raises(Transient, match=r"no space left.*restart InfluxDB twice"):
                    await store.write(ramp(d, T0 + 10_000_000, 1000, step=1000, first=number))
            disk.free()
            server.kill()
            server.start()
            assert await store.count("town") == 100
            for _ in range(3):
                with pytest.raises(Transient, match="once more now"):
                    await store.write(ramp(d, T0 + 10_000_000, 1000, step=1000))
            server.stop()
            server.start()
            assert await store.write(ramp(d, T0 + 10_000_000, 1000, step=1000)) == []
            server.kill()
            server.start()
            assert await store.count("town") == 1100
            assert await store.write(ramp(d, T0 + 20_000_000, 10)) == []
        finally:
            await store.close()
            server.kill()
