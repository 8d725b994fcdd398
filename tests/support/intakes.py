"""What intakes need around them in tests: a sink that remembers, a configuration from the sample."""

import random
import tomllib
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from support.clock import ManualClock

from edge import check
from edge.intake import INTAKES
from edge.intake.base import Pushed, Refused, Totals
from hinomi.config import parse
from hinomi.errors import Rejected, Transient


class Taken:
    """Checks readings as the agent does, and keeps them."""

    def __init__(self) -> None:
        self.pace = ManualClock()
        self.rng = random.Random(1)
        self.readings: list[Pushed] = []
        self.counted: Counter[str] = Counter()
        self.full = False

    async def accept(self, readings: Sequence[Pushed]) -> list[Refused]:
        if self.full:
            raise Transient("the disk is full")
        refused = []
        for index, reading in enumerate(readings):
            try:
                check.pushed(reading)
            except Rejected as error:
                refused.append(Refused(index, error.reason, error.detail))
            else:
                self.readings.append(reading)
        return refused

    async def totals(self) -> Totals:
        return Totals(len(self.readings), 0, len(self.readings), 0)

    def count(self, counter: str, by: int = 1) -> None:
        self.counted[counter] += by

    @property
    def values(self) -> dict[tuple[str, str], float]:
        """In the quantities' own units, by sensor and quantity."""
        return {(one.sensor, one.quantity): check.pushed(one) for one in self.readings}


def config(kind: str, *, base: Path = Path(), **settings: Any) -> Any:
    """The sample's configuration, with some settings of the test's own."""
    module = import_module(INTAKES[kind].partition(":")[0])
    table = tomllib.loads(Path(module.__file__ or "").with_suffix(".toml").read_text("utf-8"))["intake"][0]
    return parse(table | settings, module.Config, base=base)
