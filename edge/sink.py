"""Where an intake's readings go: the collector, with the intake's own settings."""

import random
from collections.abc import Sequence

from edge.backlog import Backlog
from edge.collect import Collector
from edge.health import Health
from edge.intake.base import IntakeSection, Pushed, Refused, Totals
from hinomi.clock import Clock


class IntakeSink:
    """Implements ``edge.intake.base.Sink``."""

    def __init__(
        self,
        section: IntakeSection,
        collector: Collector,
        backlog: Backlog,
        health: Health,
        *,
        pace: Clock,
        rng: random.Random,
    ) -> None:
        self.pace = pace
        self.rng = rng
        self._section = section
        self._collector = collector
        self._backlog = backlog
        self._health = health

    async def accept(self, readings: Sequence[Pushed]) -> list[Refused]:
        """Take readings; what is not returned is committed."""
        section = self._section
        return await self._collector.accept(readings, wait_s=section.wait_s, interval_s=section.interval_s)

    async def totals(self) -> Totals:
        """The station's counters now."""
        stats = await self._backlog.run(lambda journal: journal.stats())
        return Totals(
            accepted=stats.accepted_readings,
            acked=stats.removed_readings,
            pending=stats.pending_readings,
            dropped=stats.dropped_readings,
        )

    def count(self, counter: str, by: int = 1) -> None:
        """Add to one of the agent's counters."""
        self._health.count(counter, by)
