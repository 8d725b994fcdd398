"""Copies that come back: a station's card and the cloud's arrival journal, cloned or put back to an earlier state.

Real processes, end to end. Nothing is lost silently, nothing is stored twice, and the operator is told, by count.
"""

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.campaign import Town
from support.campaign_copies import copy, put_back
from support.campaign_load import Key, rows_of
from support.servers import need
from support.stations import SocketClient, reading

STATION, AGENT = "town/bridge", "bridge"
PARTS = ("stored", "on_its_way", "quarantined", "dropped", "written_off", "lost")


class Observed:
    """A town with one agent at work, and every reading that it accepted."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.agent = town.parts[AGENT]
        self.cloud = town.parts["cloud"]
        self.accepted: dict[Key, float] = {}

    def push(self, packs: int, folder: str = AGENT) -> None:
        """So many packs of one reading."""
        with closing(SocketClient(self.town.folder / folder / "in.sock")) as client:
            client.wait_until_there()
            for _ in range(packs):
                number = len(self.accepted) + 1
                at = time.time_ns() // 1_000_000 - 3_600_000 + 10 * number
                answer = client.push(reading("gauge", "water_level", float(number), measured_at=at))
                assert answer["accepted"] == 1, answer
                self.accepted[STATION, "gauge", "water_level", at] = float(number)

    def acknowledged(self, seconds: float = 30.0) -> None:
        """Wait until the agent holds nothing and the cloud's journal neither."""
        self.town.until(lambda: self.town.totals(AGENT)["pending"] == 0, seconds)
        self.town.until(lambda: self.town.meter("town").get("on_its_way") == 0, seconds)

    def stored(self) -> dict[Key, float]:
        return rows_of(self.town.influx, self.town.folder / "hinomi.db")

    def notices(self) -> str:
        return "\n".join(self.town.status(AGENT)["notices"])

    def expect(self, **parts: int) -> None:
        """Wait until the loss meter says this, and nothing of the rest."""
        expected = {**dict.fromkeys(PARTS, 0), **parts}
        found: dict[str, int] = {}

        def shown() -> bool:
            meter = self.town.meter("town")
            found.update({key: meter[key] for key in expected} if meter else {})
            return found == expected

        with contextlib.suppress(AssertionError):
            self.town.until(shown, 5)
        assert found == expected
        assert found["accepted"] == sum(found[key] for key in PARTS), "it must always add up"


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    with Town(tmp_path, seed=1, agents=[AGENT], fleet=0) as town:
        town.wait_until_up()
        yield Observed(town)


def roll_back_the_card(observed: Observed, *, before: int, between: int, keep_mark: bool = False) -> None:
    """The agent is down; its folder is as it was ``between`` packs ago, but perhaps for the mark."""
    card, backup = observed.town.folder / AGENT, observed.town.folder / "backup"
    observed.push(before)
    observed.acknowledged()
    observed.agent.stop()
    copy(card, backup)
    observed.agent.start()
    observed.push(between)
    observed.acknowledged()
    observed.agent.kill()
    put_back(backup, card, "edge.db.lock" if keep_mark else "")


def test_a_rolled_back_card_begins_a_new_stream(observed: Observed) -> None:
    roll_back_the_card(observed, before=10, between=20)
    observed.agent.start()
    observed.push(5)
    observed.acknowledged()
    observed.push(5)
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    assert "older copy" in observed.notices()
    observed.expect(accepted=40, stored=40)


def test_a_rolled_back_card_that_was_out_of_reach_for_long_loses_nothing(observed: Observed) -> None:
    """It collects more packs than the copy lacks before it hears of any acknowledgement."""
    roll_back_the_card(observed, before=10, between=20)
    observed.town.proxies["bridge-broker"].refuse = True
    observed.agent.start()
    observed.push(50)
    observed.town.proxies["bridge-broker"].refuse = False
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    assert "older copy" in observed.notices()
    observed.expect(accepted=80, stored=80)


def test_a_rolled_back_card_asks_where_the_broker_has_forgotten(observed: Observed) -> None:
    """No acknowledgement is retained any more, and more packs wait than the copy lacks: nothing may go out yet."""
    roll_back_the_card(observed, before=10, between=5)
    broker = observed.town.parts["broker"]
    observed.cloud.stop()
    broker.kill()
    observed.agent.start()
    observed.push(30)
    broker.start()
    observed.town.until(lambda: "town.bridge" in broker.text.rpartition("root/admin")[2], 20)
    time.sleep(1.0)
    observed.cloud.start()
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    assert "older copy" in observed.notices()
    observed.expect(accepted=45, stored=45)


def test_an_older_file_beside_the_newer_mark_is_told_at_once(observed: Observed) -> None:
    """Only the journal's own file was put back: the mark beside it knows how far it had come."""
    roll_back_the_card(observed, before=10, between=20, keep_mark=True)
    observed.town.proxies["bridge-broker"].refuse = True
    observed.agent.start()
    observed.push(5)
    assert "older copy" in observed.notices()
    assert "lost at most 20" in observed.notices()
    observed.town.proxies["bridge-broker"].refuse = False
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    observed.expect(accepted=35, stored=35)


def on_another_machine(town: Town, folder: Path, number: str) -> list[str]:
    """The agent's command in a machine that has another serial number."""
    (folder / "serial").write_text(number)
    places = ("/sys/firmware/devicetree/base/serial-number", "/etc/machine-id")
    place = next(place for place in places if Path(place).exists())
    command = shlex.join(town.agent_command(folder))
    script = f"mount --bind {shlex.quote(str(folder / 'serial'))} {place} && exec {command}"
    return [
        need("unshare"),
        *(["--mount"] if os.geteuid() == 0 else ["--map-root-user", "--mount"]),
        "sh",
        "-c",
        script,
    ]


def test_a_cloned_card_in_another_machine_begins_a_new_stream(observed: Observed) -> None:
    """The board was exchanged: readings wait on the card, some of them were sent already."""
    town = observed.town
    observed.push(10)
    observed.acknowledged()
    observed.cloud.stop()
    observed.push(5)
    time.sleep(1.0)
    observed.agent.kill()
    copy(town.folder / AGENT, town.folder / "clone")
    town.add("clone", lambda: on_another_machine(town, town.folder / "clone", "f00d"))
    observed.cloud.start()
    observed.push(10, "clone")
    town.until(lambda: town.totals("clone")["pending"] == 0, 30)
    town.until(lambda: town.meter("town").get("on_its_way") == 0, 30)
    assert observed.stored() == observed.accepted
    assert "another machine" in "\n".join(town.status("clone")["notices"])
    # The five that both journals held are counted in both.
    observed.expect(accepted=30, stored=30)


def test_a_card_and_its_clone_at_once_lose_nothing(observed: Observed) -> None:
    """Two machines under one name push each other off the broker; each keeps what is not acknowledged."""
    town = observed.town
    observed.push(10)
    observed.acknowledged()
    observed.agent.stop()
    copy(town.folder / AGENT, town.folder / "clone")
    observed.agent.start()
    clone = town.add("clone", lambda: on_another_machine(town, town.folder / "clone", "f00d"))
    for _ in range(6):
        observed.push(3)
        observed.push(3, "clone")
        time.sleep(0.3)
    town.until(lambda: town.totals("clone")["pending"] == 0, 60)
    clone.stop()
    observed.acknowledged(60)
    assert observed.stored() == observed.accepted
    observed.expect(accepted=46, stored=46)


def restore_the_cloud(observed: Observed, *, before: int, between: int, keep_mark: bool = False) -> None:
    """The cloud is down; its arrival journal is as it was ``between`` packs ago."""
    journal, backup = observed.town.folder / "arrival", observed.town.folder / "backup"
    observed.push(before)
    observed.acknowledged()
    observed.cloud.stop()
    copy(journal, backup)
    observed.cloud.start()
    observed.push(between)
    observed.acknowledged()
    observed.cloud.kill()
    put_back(backup, journal, "arrival.db.lock" if keep_mark else "")


def test_a_restored_cloud_reports_what_it_no_longer_knows_by_count(observed: Observed) -> None:
    restore_the_cloud(observed, before=10, between=20)
    observed.cloud.start()
    observed.push(5)
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    observed.expect(accepted=35, stored=15, lost=20)
    assert observed.notices() == ""
    observed.push(5)
    observed.acknowledged()
    observed.expect(accepted=40, stored=20, lost=20)


def test_a_restored_cloud_takes_what_waited_at_the_station(observed: Observed) -> None:
    """What was not acknowledged before the restore is no part of the loss."""
    restore_the_cloud(observed, before=10, between=20)
    observed.push(7)
    observed.cloud.start()
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    observed.expect(accepted=37, stored=17, lost=20)


def test_an_older_arrival_journal_is_told_to_the_operator(observed: Observed) -> None:
    """Only its file was put back; the mark beside it knows how far it had come."""
    restore_the_cloud(observed, before=10, between=20, keep_mark=True)
    observed.cloud.start()
    observed.push(5)
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    observed.expect(accepted=35, stored=15, lost=20)
    assert "older copy" in observed.cloud.text
    assert "older copy" in str(observed.town.health()["facts"])


def test_an_arrival_journal_that_is_gone_is_reported_by_count(observed: Observed) -> None:
    observed.push(10)
    observed.acknowledged()
    observed.cloud.kill()
    shutil.rmtree(observed.town.folder / "arrival")
    (observed.town.folder / "arrival").mkdir()
    observed.cloud.start()
    observed.push(5)
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    observed.expect(accepted=15, stored=5, lost=10)
