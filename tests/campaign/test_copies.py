"""Copies that come back: a station's card and the cloud's arrival journal, cloned or put back to an earlier state.

Real processes, end to end. Nothing is lost silently, nothing is stored twice, and the operator is told, by count.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.campaign import Town
from support.campaign_load import Key, rows_of
from support.stations import SocketClient, reading

STATION, AGENT = "town/bridge", "bridge"


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

    def meter(self) -> dict[str, int]:
        meter = self.town.meter("town")
        keys = ("accepted", "stored", "on_its_way", "quarantined", "dropped", "written_off", "lost")
        assert meter["accepted"] == sum(meter[key] for key in keys[1:]), "it must always add up"
        return {key: meter[key] for key in keys}


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    with Town(tmp_path, seed=1, fleet=0) as town:
        town.wait_until_up()
        yield Observed(town)


def copy(source: Path, target: Path) -> None:
    """A card, or a folder, to its last file; what stood at the target is gone."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=lambda _, names: [name for name in names if name.endswith(".sock")])


def roll_back_the_card(observed: Observed, *, before: int, between: int) -> None:
    """The agent is down; its folder is as it was ``between`` packs ago."""
    card, backup = observed.town.folder / AGENT, observed.town.folder / "backup"
    observed.push(before)
    observed.acknowledged()
    observed.agent.stop()
    copy(card, backup)
    observed.agent.start()
    observed.push(between)
    observed.acknowledged()
    observed.agent.kill()
    copy(backup, card)


def nothing(but: dict[str, int]) -> dict[str, int]:
    return {"on_its_way": 0, "quarantined": 0, "dropped": 0, "written_off": 0, "lost": 0, **but}


def test_a_rolled_back_card_begins_a_new_stream(observed: Observed) -> None:
    roll_back_the_card(observed, before=10, between=20)
    observed.agent.start()
    observed.push(5)
    observed.acknowledged()
    observed.push(5)
    observed.acknowledged()
    assert observed.stored() == observed.accepted
    assert "older copy" in observed.notices()
    assert observed.meter() == nothing({"accepted": 40, "stored": 40})


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
    assert observed.meter() == nothing({"accepted": 80, "stored": 80})
