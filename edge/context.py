"""What the agent gives to one sensor: durable values, a thread of its own, a way to push."""

import asyncio
import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from edge.backlog import Backlog
from edge.sensors.base import Measured, State
from hinomi.clock import Clock
from hinomi.errors import Transient

T = TypeVar("T")


class Push(Protocol):
    """How pushed readings of a sensor reach the journal."""

    async def __call__(self, sensor: str, measured: Sequence[Measured], *, age_s: float) -> None:
        """Commit at once what ``sensor`` measured ``age_s`` ago."""
        ...


class SensorState:
    """Durable values of one sensor, kept as notes of the journal under the sensor's name."""

    def __init__(self, sensor: str, backlog: Backlog, saved: Mapping[str, bytes]) -> None:
        self._prefix = prefix_of(sensor)
        self._backlog = backlog
        self._values = {key.removeprefix(self._prefix): value for key, value in saved.items()}
        self._staged: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """What was staged or saved last, or None."""
        return self._staged.get(key, self._values.get(key))

    def stage(self, key: str, value: bytes) -> None:
        """Commit ``value`` together with the readings of the present ``read()``."""
        self._staged[key] = value

    async def save(self, key: str, value: bytes) -> None:
        """Commit ``value`` now."""
        self._staged.pop(key, None)
        await self._backlog.append((), {self._prefix + key: value})
        self._values[key] = value

    def take(self) -> dict[str, bytes]:
        """The staged values as notes, handed over to the commit of their readings."""
        taken, self._staged = self._staged, {}
        self._values |= taken
        return {self._prefix + key: value for key, value in taken.items()}

    def discard(self) -> None:
        """The reading failed: what it staged is not kept."""
        self._staged.clear()


def prefix_of(sensor: str) -> str:
    """Where a sensor's notes are."""
    return f"sensor/{sensor}/"


class OwnThread:
    """One daemon thread for one sensor's blocking calls, started at the first one.

    A call that hangs on its bus occupies this thread and nobody else; the next call is refused until it returns.
    The thread is a daemon, so not even then can it keep the agent from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and return what it returns.

        Raises:
            Transient: the call before has not returned.
        """
        if self._busy:
            raise Transient("the call before still hangs on its bus")
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._busy = True
        self._jobs.put(lambda: self._call(work, loop, future))
        return await future

    def close(self) -> None:
        """Let the thread end after its present call."""
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _call(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - carried to whoever awaits it
            failure = error
        try:
            loop.call_soon_threadsafe(self._done, future, result, failure)
        except RuntimeError:
            # The loop is closed: the agent has ended while this call hung.
            return

    def _done(self, future: asyncio.Future[T], result: T, failure: BaseException | None) -> None:
        self._busy = False
        if future.done():
            return
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)


class SensorContext:
    """Implements ``edge.sensors.base.Context``.

    Attributes:
        kept: its state, as the agent sees it.
    """

    def __init__(self, name: str, clock: Clock, rng: random.Random, state: SensorState, push: Push) -> None:
        self.name = name
        self.clock = clock
        self.rng = rng
        self.state: State = state
        self.kept = state
        self._push = push
        self._thread = OwnThread(f"sensor-{name}")

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking ``work`` in this sensor's own thread."""
        return await self._thread.run(work)

    async def push(self, measured: Sequence[Measured], *, age_s: float = 0.0) -> None:
        """Take readings outside of ``read()`` and commit them at once."""
        await self._push(self.name, measured, age_s=age_s)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.close()
