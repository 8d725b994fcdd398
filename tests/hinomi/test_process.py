"""What every process stands on: the command table, clocks, the disk thread."""

import asyncio
import importlib
import threading
import time

import pytest

from hinomi import cli
from hinomi.clock import ClockSection, ScaledClock, SystemClock, measurement_clock
from hinomi.disk import Disk
from hinomi.errors import ConfigError


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_of_the_table_exists(name):
    module, _, function = cli.COMMANDS[name][0].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_help_lists_every_command(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in cli.COMMANDS)


def test_an_unknown_command_is_a_configuration_fault(capsys):
    assert cli.main(["fly"]) == 2
    assert "no command 'fly'" in capsys.readouterr().err


def test_all_faults_are_printed_and_the_exit_status_is_2(monkeypatch, capsys):
    def broken(_args: object) -> int:
        raise ConfigError([*ConfigError.of("a.b", "first").faults, *ConfigError.of("c", "second").faults])

    monkeypatch.setattr(cli, "_load", lambda _name: broken)
    assert cli.main(["edge"]) == 2
    assert capsys.readouterr().err == "hinomi edge: a.b: first\nhinomi edge: c: second\n"


def test_a_missing_extra_says_which_to_install(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "edge", ("no_such_package.cli:main", ""))
    assert cli.main(["edge"]) == 2
    assert "pip install 'hinomi[no_such_package]'" in capsys.readouterr().err


def test_two_scaled_clocks_of_one_section_agree():
    section = ClockSection(speed=600.0, origin_ms=1_000_000, anchor_s=SystemClock().monotonic())
    one, other = ScaledClock(section), ScaledClock(section)
    first = one.now()
    time.sleep(0.01)
    second = other.now()
    assert 6_000 <= second - first < 600_000
    assert first >= 1_000_000


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_scaled_clock_is_allowed_on_loopback(host):
    section = ClockSection(speed=2.0, origin_ms=0, anchor_s=0.0)
    assert isinstance(measurement_clock(section, broker_host=host), ScaledClock)


@pytest.mark.parametrize("host", ["10.0.0.1", "mqtt.example.org", "0.0.0.0", ""])
def test_a_scaled_clock_is_refused_elsewhere(host):
    section = ClockSection(speed=2.0, origin_ms=0, anchor_s=0.0)
    with pytest.raises(ConfigError, match="not loopback"):
        measurement_clock(section, broker_host=host)
    assert isinstance(measurement_clock(None, broker_host=host), SystemClock)


async def test_a_cancelled_write_ends_before_its_owner_goes_on():
    """Without the shield the file would be closed under the running write."""
    begun, finish, ended = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        finish.wait(5)
        ended.set()

    async with Disk() as disk:
        task = asyncio.create_task(disk.run(write))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        finish.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


async def test_a_write_cancelled_twice_still_ends_first():
    finish, ended = threading.Event(), threading.Event()

    def write() -> None:
        finish.wait(5)
        ended.set()

    async with Disk() as disk:
        task = asyncio.create_task(disk.run(write))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        finish.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


async def test_writes_run_in_the_order_of_the_calls():
    seen: list[int] = []
    async with Disk() as disk:
        await asyncio.gather(*(disk.run(lambda n=n: seen.append(n)) for n in range(50)))
    assert seen == list(range(50))
