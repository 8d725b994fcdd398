"""Mechanical contacts: edges that wait for their moment, and bounce."""

import random

_MS = 1_000_000
_MOST_BOUNCES = 3


def bounced(rng: random.Random, at_ns: int, level: int) -> list[tuple[int, int]]:
    """The edges of one contact that goes to ``level``: up to three bounces of 0.1 to 1.5 ms."""
    edges = [(at_ns, level)]
    for _ in range(rng.randint(0, _MOST_BOUNCES)):
        at_ns += rng.randint(_MS // 10, 3 * _MS // 2)
        edges.append((at_ns, 1 - level))
        at_ns += rng.randint(_MS // 10, 3 * _MS // 2)
        edges.append((at_ns, level))
    return edges


class Edges:
    """Edges in the order of time; those that are due are taken."""

    def __init__(self, level: int) -> None:
        self.level = level
        self._coming: list[tuple[int, int]] = []

    def add(self, edges: list[tuple[int, int]]) -> None:
        """Let these happen; they lie behind all that were added before."""
        self._coming += edges

    def last_ns(self) -> int:
        """When the last one that is still to come happens; 0 for none."""
        return self._coming[-1][0] if self._coming else 0

    def due(self, until_ns: int) -> list[tuple[int, int]]:
        """Take what has happened by ``until_ns``."""
        count = sum(1 for at, _ in self._coming if at <= until_ns)
        done, self._coming = self._coming[:count], self._coming[count:]
        if done:
            self.level = done[-1][1]
        return done
