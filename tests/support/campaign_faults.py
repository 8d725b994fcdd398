"""The seeded driver of a campaign: at random moments it kills, freezes and cuts, and heals again a little later."""

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Literal

from support.campaign import Town

Direction = Literal["up", "down"]


class Chaos:
    """Faults in a town; several may hold at a time.

    Attributes:
        done: how often each kind was injected.
        story: what was done when, for the one who reads a failure.
    """

    def __init__(
        self, town: Town, rng: random.Random, *, longest_s: float = 1.5, spared: Collection[str] = ()
    ) -> None:
        """Begin; ``spared`` are parts that are stopped and frozen, but not killed."""
        self.done: Counter[str] = Counter()
        self.story: list[str] = []
        self._town = town
        self._rng = rng
        self._longest_s = longest_s
        self._mortal = sorted(town.parts.keys() - set(spared))
        self._began = time.monotonic()
        self._heals: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def run(self, faults: int, *, gap_s: float = 0.7) -> None:
        """So many faults, up to twice ``gap_s`` apart; then all is healed."""
        kinds = {
            self._kill: 8,
            self._kill_several: 3,
            self._restart: 2,
            self._reload: 1,
            self._freeze: 2,
            self._break_net: 8,
        }
        for _ in range(faults):
            self._pass(self._rng.uniform(0.0, 2 * gap_s))
            (kind,) = self._rng.choices(list(kinds), list(kinds.values()))
            kind()
            for part in self._town.parts.values():
                part.check()
        while self._heals:
            self._pass(max(0.0, self._heals[0][0] - time.monotonic()))

    def _kill(self) -> None:
        self._kill_these(self._rng.sample(self._mortal, 1))

    def _kill_several(self) -> None:
        self._kill_these(self._rng.sample(self._mortal, self._rng.randint(2, len(self._mortal))))

    def _kill_these(self, names: list[str]) -> None:
        for name in names:
            part = self._town.parts[name]
            if not part.down:
                self._tell(f"kill {name}")
                part.kill()
                self._later(part.start)

    def _restart(self) -> None:
        """As a person does it: SIGTERM."""
        name = self._rng.choice(sorted(self._town.parts))
        part = self._town.parts[name]
        if not part.down:
            self._tell(f"stop {name}")
            part.stop()
            self._later(part.start)

    def _reload(self) -> None:
        name = self._rng.choice([*self._town.agents, "broker"])
        part = self._town.parts[name]
        # A process that has just begun does not listen for it yet, and ends.
        if not part.down and part.age_s > 5.0:
            self._tell(f"reload {name}")
            part.hang_up()

    def _freeze(self) -> None:
        name = self._rng.choice(sorted(self._town.parts))
        part = self._town.parts[name]
        if not part.down:
            self._tell(f"freeze {name}")
            part.freeze()
            self._later(part.thaw)

    def _break_net(self) -> None:
        rng = self._rng
        name = rng.choice(sorted(self._town.proxies))
        proxy = self._town.proxies[name]
        direction: Direction = rng.choice(("up", "down"))
        how = rng.choice(("cut", "refuse", "stall", "stall", "delay", "half close", "cut in a packet"))
        self._tell(f"{how} {name} {direction}")
        match how:
            case "cut":
                proxy.cut()
            case "refuse":
                proxy.refuse = True
                proxy.cut()
                self._later(lambda: setattr(proxy, "refuse", False))
            case "stall":
                proxy.stall(direction)
                self._later(lambda: self._flow(name, direction))
            case "delay":
                proxy.delay = rng.uniform(0.01, 0.1)
                self._later(lambda: setattr(proxy, "delay", 0.0))
            case "half close":
                proxy.half_close(direction)
            case _:
                proxy.cut_after(direction, rng.randint(1, 3000))

    def _flow(self, name: str, direction: Direction) -> None:
        """After a stall what was held back arrives, or is lost with the connection."""
        proxy = self._town.proxies[name]
        if self._rng.random() < 0.5:
            proxy.cut()
        proxy.flow(direction)

    def _later(self, heal: Callable[[], None]) -> None:
        due = time.monotonic() + self._rng.uniform(0.0, self._longest_s)
        heapq.heappush(self._heals, (due, next(self._order), heal))

    def _pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._heals and self._heals[0][0] <= end:
            due, _, heal = heapq.heappop(self._heals)
            time.sleep(max(0.0, due - time.monotonic()))
            heal()
        time.sleep(max(0.0, end - time.monotonic()))

    def _tell(self, what: str) -> None:
        self.done[what.split(maxsplit=1)[0]] += 1
        self.story.append(f"{time.monotonic() - self._began:6.2f} {what}")
