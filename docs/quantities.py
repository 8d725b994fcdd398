"""Writes docs/quantities.md from the quantity table: ``python docs/quantities.py``; a test compares."""

import math
from pathlib import Path

from sensing.quantity import QUANTITIES, Quantity

PAGE = Path(__file__).with_suffix(".md")

_HEAD = (
    "# Quantities\n\n"
    "Generated from `sensing/quantity.py` by `python docs/quantities.py`. Units are UCUM; *step* is the greatest "
    "credible change within one minute; *personal* quantities never leave the relational database.\n\n"
    "| name | 日本語 | English | unit | plausible range | resolution | step | aggregate | personal |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def page() -> str:
    """The page's text."""
    return _HEAD + "".join(map(_row, QUANTITIES.values()))


def _row(quantity: Quantity) -> str:
    step = "any" if math.isinf(quantity.step_per_minute) else f"{quantity.step_per_minute:g}"
    cells = (
        f"`{quantity.name}`",
        quantity.name_ja,
        quantity.name_en,
        f"`{quantity.unit}`",
        f"{quantity.low:g} to {quantity.high:g}",
        f"{quantity.resolution:g}",
        step,
        quantity.aggregate,
        "yes" if quantity.personal else "",
    )
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
