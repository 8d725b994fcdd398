"""The demo's light stations, in a process of their own: ``python -m hinomi.demo.neighbours PORT LOG CLOCK``.

SIGTERM ends the measuring; what was measured is delivered first, for at most ``DRAIN_S`` seconds.
"""

import asyncio
import random
import signal
import sys
from pathlib import Path

import msgspec

from firmware_sim.fleet.fleet import Fleet
from firmware_sim.fleet.link import Broker
from firmware_sim.fleet.station import Wire
from hinomi.clock import ClockSection, ScaledClock, SystemClock
from hinomi.demo.town import neighbours

DRAIN_S = 10.0


async def play(port: int, log: Path, section: ClockSection) -> None:
    """Run the light stations until SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    fleet = Fleet(
        neighbours(section.origin_ms),
        Wire(Broker("127.0.0.1", port), form="cbor", deflate=True),
        log,
        clock=ScaledClock(section),
        pace=SystemClock(),
        rng=random.Random(1),  # noqa: S311 - phases that repeat
    )
    async with fleet:
        running = asyncio.create_task(fleet.run())
        print("ready", flush=True)
        await ended.wait()
        await fleet.drained(DRAIN_S)
        running.cancel()
        await asyncio.wait([running])


if __name__ == "__main__":
    port_text, log_text, clock_text = sys.argv[1:]
    asyncio.run(play(int(port_text), Path(log_text), msgspec.json.decode(clock_text, type=ClockSection)))
