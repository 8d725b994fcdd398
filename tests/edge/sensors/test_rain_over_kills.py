"""The rain gauge in a real agent that is killed with SIGKILL: the journal holds each tip once."""

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from support.sensors import GpioChip, unix_server
from support.servers import free_port
from support.stations import AgentProcess, write_config

from edge import body
from hinomi.journal.sqlite import SqliteJournal

MM = 0.5
KILLS = 7


def wait(condition: Callable[..., bool], *arguments: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition(*arguments):
        assert time.monotonic() < end
        time.sleep(0.005)


def opened(journal: Path) -> SqliteJournal:
    return SqliteJournal.open(journal, cap_bytes=1 << 24, headroom_bytes=1 << 16, new_stream=lambda: "other")


def in_journal(path: Path) -> tuple[int, float]:
    """Tips seen, and millimetres in committed readings."""
    journal = opened(path)
    try:
        seen = int(journal.note("sensor/rain/seen") or b"0")
        readings = [one for record in journal.read(0, limit=10_000) for one in body.decode(record.body).readings]
    finally:
        journal.close()
    return seen, sum(one.value for one in readings if one.quantity == "rain_increment")


def saved(path: Path) -> int:
    """Tips on the disk, read beside the running agent."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as database:
        (table,) = [
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table'")
            if "note" in name
        ]
        row = database.execute(f"select value from {table} where key = 'sensor/rain/seen'").fetchone()
    database.close()
    return int(row[0]) if row else 0


def is_saved(path: Path, tips: int) -> bool:
    return saved(path) == tips


def test_each_tip_is_reported_once_whenever_the_agent_is_killed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    chip, tips = GpioChip(1), 0
    sensor = (
        f'[[sensor]]\ntype = "rain_gauge"\nname = "rain"\ninterval_s = 0.15\nline = 17\nmm_per_tip = {MM}\n'
        'chip = "gpio.sock"\n'
    )
    agent = AgentProcess(write_config(tmp_path, free_port(), extra=sensor, commit_s=0.1))
    journal = tmp_path / "edge.db"
    with unix_server(tmp_path / "gpio.sock", chip.serve):
        for _ in range(KILLS):
            agent.start()
            wait(lambda: bool(chip._listeners))
            time.sleep(0.1)
            for _ in range(rng.randrange(1, 6)):
                chip.change(0, 1000)
                chip.change(1, 80)
                tips += 1
                wait(is_saved, journal, tips)
                time.sleep(rng.random() * 0.15)
            agent.kill()
            wait(lambda: not chip._listeners)
            seen, millimetres = in_journal(journal)
            assert seen == tips
            assert millimetres <= tips * MM  # what was killed before its commit is told by the next run
        agent.start()
        wait(lambda: bool(chip._listeners))
        time.sleep(1.0)
        assert agent.stop() == 0
    seen, millimetres = in_journal(journal)
    assert (seen, millimetres) == (tips, tips * MM)
