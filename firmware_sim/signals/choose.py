"""Which signal a table is: told by the one key it has of ``constant``, ``synthetic`` and ``recorded``."""

from typing import Any

from firmware_sim.signals.base import Signal, SignalSection
from firmware_sim.signals.layout import near
from firmware_sim.signals.recorded import RecordedSection
from firmware_sim.signals.synthetic import SYNTHETIC, ConstantSection
from hinomi.config import Walker
from hinomi.errors import ConfigError

_KINDS = ("constant", "synthetic", "recorded")


def read_signal(walker: Walker, data: object, quantity: str, *, seed: int, path: str) -> Signal | None:
    """The signal of ``quantity`` that ``data`` describes, or None with at least one fault noted."""
    kind = _kind(walker, data, path)
    section = None if kind is None else walker.section(data, kind, path)
    if section is None:
        return None
    try:
        return section.signal(quantity, seed)
    except ConfigError as error:
        for fault in error.faults:
            walker.fault(path, str(fault))
        return None


def _kind(walker: Walker, data: Any, path: str) -> type[SignalSection] | None:
    has = [kind for kind in _KINDS if isinstance(data, dict) and kind in data]
    if len(has) != 1:
        walker.fault(path, f"got {data!r:.60}, expected a table with one of {', '.join(_KINDS)}")
        return None
    if has[0] == "constant":
        return ConstantSection
    if has[0] == "recorded":
        return RecordedSection
    kind = data["synthetic"]
    if kind not in SYNTHETIC:
        walker.fault(f"{path}.synthetic", f"got {kind!r:.60}; {near(str(kind), SYNTHETIC)}")
        return None
    return SYNTHETIC[kind]
