"""What a person or systemd wants of the running agent, and what a new configuration may change."""

import asyncio
import signal

from edge.config import EdgeConfig
from edge.waiting import wait_for
from hinomi.clock import Clock
from hinomi.errors import ConfigError, Fault


class Orders:
    """Stop, or read the configuration again."""

    def __init__(self) -> None:
        self._given = asyncio.Event()
        self._stopped = asyncio.Event()

    def listen(self) -> None:
        """Take orders as signals: SIGTERM and SIGINT to stop, SIGHUP to reload."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._given.set()

    def reload(self) -> None:
        """Read the configuration again."""
        self._given.set()

    async def stop_wanted(self) -> bool:
        """Wait for an order; True: end, False: reload."""
        await self._given.wait()
        self._given.clear()
        return self._stopped.is_set()

    async def stop_within(self, clock: Clock, seconds: float) -> bool:
        """Wait ``seconds`` of ``clock``; True, and at once, when told to end."""
        return await wait_for(self._stopped, clock, seconds)


def check_reload(old: EdgeConfig, new: EdgeConfig) -> None:
    """What belongs to the open journal and its clock cannot change while it is open.

    Raises:
        ConfigError: with every setting that needs a restart.
    """
    fixed = {
        "station.id": (old.station, new.station),
        "station.clock_trusted": (old.clock_trusted, new.clock_trusted),
        "journal.path": (old.journal.path, new.journal.path),
        "journal.cap_mb": (old.journal.cap_mb, new.journal.cap_mb),
        "clock": (old.clock, new.clock),
    }
    faults = [
        Fault(path, "cannot change while the agent runs; restart it (systemctl restart hinomi-edge)")
        for path, (before, after) in fixed.items()
        if before != after
    ]
    if faults:
        raise ConfigError(faults)
