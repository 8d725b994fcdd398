"""Waiting for an event, but not longer than some time of a given clock."""

import asyncio

from hinomi.clock import Clock


async def wait_for(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait until ``event`` is set or ``seconds`` of ``clock`` have passed; returns whether it is set."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    tasks = {asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(event.wait())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return event.is_set()
