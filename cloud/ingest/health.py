"""Whether this process does its work, for ``/healthz``."""

from collections.abc import Callable

import msgspec


class HealthReport(msgspec.Struct, frozen=True):
    """``ok`` is HTTP 200, otherwise 503; ``problems`` says why in plain words, ``facts`` are for people."""

    ok: bool
    problems: list[str]
    facts: dict[str, object]


class Health:
    """Asks each part that was registered; a part answers with its problem, or None."""

    def __init__(self) -> None:
        self._parts: dict[str, Callable[[], str | None]] = {}
        self._facts: dict[str, Callable[[], object]] = {}

    def watch(self, part: str, problem: Callable[[], str | None]) -> None:
        """Ask ``problem`` at every report; its text names what is wrong and what to do."""
        self._parts[part] = problem

    def fact(self, name: str, value: Callable[[], object]) -> None:
        """Add a number or text to every report."""
        self._facts[name] = value

    def report(self) -> HealthReport:
        """The state now."""
        found = {part: problem() for part, problem in self._parts.items()}
        problems = [f"{part}: {text}" for part, text in found.items() if text is not None]
        return HealthReport(not problems, problems, {name: value() for name, value in self._facts.items()})
