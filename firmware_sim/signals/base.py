"""The one protocol that a simulated device or station reads its world through."""

from typing import Protocol

from hinomi.config import Section


class Signal(Protocol):
    """One quantity of the simulated world; a pure function of time, so any process may ask at any moment."""

    def value(self, at_ms: int) -> float | None:
        """The value at wall time ``at_ms`` (ms since 1970 of the measurement clock).

        It is in the UCUM unit of the quantity named beside the signal; None where a recording has a gap.
        """
        ...


class SignalSection(Section, frozen=True):
    """The table beside a quantity's name that says what its signal is.

    Which subclass a table becomes is told by the key it has: ``constant``, ``synthetic`` or ``recorded``
    (``firmware_sim.signals.recorded:RecordedSection``).
    """

    def signal(self, quantity: str, seed: int) -> Signal:
        """The signal, in the UCUM unit of ``quantity``; ``seed`` decides whatever it has of chance.

        Raises:
            ConfigError: a file cannot be read or lacks a column, a unit does not fit; paths relative to the table.
        """
        raise NotImplementedError
