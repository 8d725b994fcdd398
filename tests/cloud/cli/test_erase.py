"""``hinomi cloud erase``: with and without a running service, and never by accident."""

import asyncio
from pathlib import Path

import pytest
from support.observations import ramp, stream

from cloud.cli.main import main
from cloud.db import Database
from cloud.ingest import hatch
from cloud.store.personal import PersonalStore
from cloud.store.routing import RoutedStore
from cloud.store.sqlite import SqliteStore
from hinomi.disk import Disk
from hinomi.errors import ConfigError

T0 = 1_700_000_000_000


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "cloud.toml"
    path.write_text(
        f"""
[journal]
path = "arrival.db"
[database]
url = "sqlite:///{tmp_path}/hinomi.db"
[store]
type = "sqlite"
path = "readings.db"
"""
    )
    return path


async def filled(folder: Path) -> tuple[RoutedStore, Database, Disk]:
    disk = Disk("database")
    database = await disk.run(lambda: Database(f"sqlite:///{folder}/hinomi.db", disk))
    store = RoutedStore(await SqliteStore.open(folder / "readings.db"), PersonalStore(database))
    for station in ("bridge", "school"):
        await store.write(ramp(stream(station), T0, 10))
        await store.write(ramp(stream(station, "motion"), T0, 4))
    return store, database, disk


async def counts(store: RoutedStore) -> tuple[int, int]:
    return await store.public.count("town"), await store.personal.count("town")


async def ended(store: RoutedStore, database: Database, disk: Disk) -> None:
    await store.close()
    await disk.run(database.close)
    await disk.__aexit__(None, None, None)


def run(*arguments: str) -> int:
    return main(["erase", *arguments])


def after(folder: Path) -> tuple[int, int]:
    async def look() -> tuple[int, int]:
        disk = Disk("database")
        database = await disk.run(lambda: Database(f"sqlite:///{folder}/hinomi.db", disk))
        store = RoutedStore(await SqliteStore.open(folder / "readings.db"), PersonalStore(database))
        found = await counts(store)
        await ended(store, database, disk)
        return found

    return asyncio.run(look())


@pytest.fixture
def readings(tmp_path) -> Path:
    async def fill() -> None:
        await ended(*await filled(tmp_path))

    asyncio.run(fill())
    return tmp_path


def test_a_station_is_erased_on_both_sides(config, readings, capsys):
    assert run("town/bridge", "--yes", "--config", str(config)) == 0
    assert after(readings) == (10, 4)
    assert "Erased all readings of town/bridge." in capsys.readouterr().out


def test_a_community_is_erased_before_a_date(config, readings):
    assert run("town", "--before", "2023-11-14T22:13:25+00:00", "--yes", "--config", str(config)) == 0
    assert after(readings) == (18, 6)


def test_without_yes_nothing_is_deleted(config, readings, capsys):
    assert run("town", "--config", str(config)) == 1
    assert after(readings) == (20, 8)
    assert "--yes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("Town!", "--yes"), ("town/", "--yes"), ("town", "--before", "soon", "--yes")]
)
def test_what_cannot_be_read_erases_nothing(config, readings, arguments):
    with pytest.raises(ConfigError):
        run(*arguments, "--config", str(config))
    assert after(readings) == (20, 8)


async def test_a_running_service_does_it_itself_and_forgets_what_it_held(config, tmp_path):
    store, database, disk = await filled(tmp_path)
    async with hatch.serve(None, hatch.socket_path(tmp_path / "arrival.db"), store):
        assert len(await store.latest("town")) == 2
        code = await asyncio.to_thread(run, "town/bridge", "--yes", "--config", str(config))
        assert code == 0
        assert [row.datastream.station for row in await store.latest("town")] == ["school"]
    await ended(store, database, disk)


async def test_a_store_that_cannot_erase_says_so(config, tmp_path, capsys):
    from hinomi.errors import Rejected

    class Unable:
        async def erase(self, *_args, **_more):
            raise Rejected("not_supported", "InfluxDB 3 Core deletes no rows")

    async with hatch.serve(None, hatch.socket_path(tmp_path / "arrival.db"), Unable()):
        code = await asyncio.to_thread(run, "town", "--yes", "--config", str(config))
    assert code == 1
    assert "deletes no rows" in capsys.readouterr().err
