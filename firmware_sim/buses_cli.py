"""``hinomi sim buses SCENARIO.toml --root DIR``: all devices of one station in one process."""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from firmware_sim.scenario import Scenario, load
from firmware_sim.world import real_world
from hinomi.errors import ConfigError

_LOCK = ".simulator"
_LONGEST_ROOT = 107 - len("/gpiochip0.sock")
"""Linux takes 107 bytes for the name of a unix socket."""


def main(argv: Sequence[str]) -> int:
    """Host the devices; ``ready DIR`` is printed when everything is there; ends with 0 on SIGTERM or SIGINT.

    Raises:
        ConfigError: a fault in the scenario, or the folder cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="hinomi sim buses", description="Simulated sensors of one station, at the level of its buses."
    )
    parser.add_argument("scenario", type=Path, help="TOML file: devices, their signals and faults")
    parser.add_argument("--root", type=Path, required=True, help="folder for the sockets, ports and w1/devices")
    options = parser.parse_args(argv)
    scenario = load(options.scenario)
    with _folder(options.root) as root:
        asyncio.run(_host(scenario, root))
    return 0


async def _host(scenario: Scenario, root: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with scenario.rack(real_world(scenario.settings.clock)).serving(root):
        print(f"ready {root}", flush=True)
        await ended.wait()


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    """The folder, ours alone, without what a killed simulator left; afterwards as it was before."""
    if len(os.fsencode(root.absolute())) > _LONGEST_ROOT:
        raise ConfigError.of(str(root), f"is too long for a unix socket; at most {_LONGEST_ROOT} bytes")
    made = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError.of(str(root), f"cannot be used: {error.strerror}") from error
    try:
        _take(lock, root)
        try:
            yield root
        finally:
            (root / _LOCK).unlink(missing_ok=True)
            if made:
                # Somebody else may have put something there meanwhile.
                with contextlib.suppress(OSError):
                    root.rmdir()
    finally:
        os.close(lock)


def _take(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        raise ConfigError.of(
            str(root), "another simulator is running there; end it or name another --root"
        ) from error
