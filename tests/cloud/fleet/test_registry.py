"""The registry and the relational database under it."""

import msgspec
import pytest
import sqlalchemy as sa

from cloud.db import MIGRATIONS, Database
from cloud.fleet.registry import Presence, Registry
from hinomi.disk import Disk
from hinomi.errors import ConfigError, Transient
from sensing.station import DatastreamInfo, StationRecord
from sensing.topic import StationId

BRIDGE = StationId("town", "bridge")
RECORD = StationRecord(
    id=BRIDGE,
    name="新橋",
    kana="しんばし",
    romaji="Shinbashi",
    purpose="public",
    marks={"water_level": (1.5, 1.8, 2.0, 2.8)},
    lowest_bank=3.2,
)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/hinomi.db"


def test_what_was_registered_is_there_for_another_process(url):
    Registry(Database(url)).add(RECORD, "$7$x", now=5)
    registry = Registry(Database(url))
    assert registry.get(BRIDGE) == RECORD
    assert registry.get(StationId("town", "school")) is None
    assert registry.password_hashes() == {"town/bridge": "$7$x"}
    assert registry.stations("town") == [RECORD]
    assert registry.stations("city") == []


async def test_a_running_service_sees_a_new_station_after_refresh(url):
    async with Disk() as disk:
        registry = Registry(Database(url, disk))
        Registry(Database(url)).add(RECORD, None, now=5)
        assert registry.get(BRIDGE) is None
        await registry.refresh()
        assert registry.get(BRIDGE) == RECORD


def test_twice_the_same_station_or_none_is_a_persons_fault(url):
    registry = Registry(Database(url))
    registry.add(RECORD, None, now=5)
    with pytest.raises(ConfigError, match="town/bridge: is registered already"):
        registry.add(RECORD, None, now=6)
    registry.remove(BRIDGE)
    with pytest.raises(ConfigError, match="is not registered"):
        registry.remove(BRIDGE)


async def test_a_goodbye_keeps_the_datastreams_announced_before(url):
    infos = (DatastreamInfo("river", "water_level", 60.0),)
    async with Disk() as disk:
        registry = Registry(Database(url, disk))
        await registry.seen_status(BRIDGE, Presence(online=True, changed_at=1, body={"v": 1}, datastreams=infos))
        await registry.seen_status(BRIDGE, Presence(online=False, changed_at=2, body={}))
    known = Registry(Database(url)).presence(BRIDGE)
    assert known == Presence(online=False, changed_at=2, body={}, datastreams=infos)


def test_names_with_quotes_and_sql_are_only_names(url):
    nasty = msgspec.structs.replace(RECORD, name="x'); DROP TABLE station; --\"<b>")
    Registry(Database(url)).add(nasty, None, now=5)
    assert Registry(Database(url)).get(BRIDGE) == nasty


def test_a_newer_database_is_refused_and_left_alone(url):
    database = Database(url)
    database.transact(lambda c: c.execute(sa.text(f"UPDATE schema_version SET version = {len(MIGRATIONS) + 1}")))
    with pytest.raises(ConfigError, match="install the newer Hinomi"):
        Database(url)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("nonsense", "database.url: got 'nonsense'"),
        ("oracle9://x", "database.url: got 'oracle9://x'"),
        ("sqlite:////no/such/folder/x.db", "the folder '/no/such/folder' does not exist"),
    ],
)
def test_a_wrong_address_says_so(address, expected):
    with pytest.raises(ConfigError) as caught:
        Database(address)
    assert expected in str(caught.value)


def test_a_failed_transaction_leaves_nothing(url):
    database = Database(url)

    def half(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO station VALUES ('a', 'b', '{}', NULL, 1)"))
        connection.execute(sa.text("INSERT INTO no_such_table VALUES (1)"))

    with pytest.raises(Transient):
        database.transact(half)
    count = database.transact(lambda c: c.execute(sa.text("SELECT count(*) FROM station")).scalar())
    assert count == 0
