"""The four families of errors: grouped by what the caller will do.

::

    HinomiError
    ├── ConfigError   a person fixes it; carries every fault at once; a command exits with 2
    ├── Transient     try the same thing again later; may carry ``retry_after`` (seconds)
    └── Rejected      this one item is bad: quarantine it, count it, go on

Everything else is a bug: it may crash the process, and the supervisor starts it again.
"""

from collections.abc import Sequence

import msgspec


class HinomiError(Exception):
    """Base of the three expected families."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that a person has to fix.

    Attributes:
        path: where, e.g. ``sensor[2].port`` or ``edge.toml``; never empty.
        problem: what was got and what was expected, in plain words, with the way out.
    """

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class ConfigError(HinomiError):
    """A person must fix something before this can run; all of it is listed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)

    @classmethod
    def of(cls, path: str, problem: str) -> "ConfigError":
        """The error for a single fault."""
        return cls([Fault(path, problem)])


class Transient(HinomiError):
    """The same attempt may succeed later.

    Attributes:
        retry_after: seconds the other side asked us to wait, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rejected(HinomiError):
    """This item will never be accepted as it is.

    Attributes:
        reason: a short stable word for counters, e.g. ``wrong_unit``.
        detail: what was wrong with this item, naming the field.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
