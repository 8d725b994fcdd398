"""The one protocol that a simulated device or station reads its world through."""

from typing import Protocol


class Signal(Protocol):
    """One quantity of the simulated world; a pure function of time, so any process may ask at any moment."""

    def value(self, at_ms: int) -> float | None:
        """The value at wall time ``at_ms`` (ms since 1970 of the measurement clock).

        It is in the UCUM unit of the quantity named beside the signal; None where a recording has a gap.
        """
        ...


class Constant:
    """A world that stands still."""

    def __init__(self, level: float) -> None:
        self._level = level

    def value(self, at_ms: int) -> float | None:  # noqa: ARG002 - the protocol names it
        """The same at any time."""
        return self._level
