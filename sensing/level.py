"""Marks of our own and official levels: two scales that must never be taken for one another.

A *mark* (目安) is what a sensor of the town has reached on the town's own scale; it has four heights. An *official
level* (警戒レベル) comes only from official telegrams and the mayor. They share no colour and no word.
"""

import enum
from collections.abc import Sequence

from sensing.observation import Status

__all__ = ["Mark", "OfficialLevel", "Status", "mark_of"]


class Mark(enum.IntEnum):
    """What an own sensor has reached: 0 nothing, 4 the highest."""

    NONE = 0
    ONE = 1
    TWO = 2
    THREE = 3
    FOUR = 4

    @property
    def colour(self) -> str:
        """CSS colour of our own palette.

        One hue from pale to dark petrol: lightness alone tells the order, which every kind of colour vision sees,
        and no shade comes near an official colour for anybody. (Blue would: to those who do not see red or green,
        the official purple is a blue.)
        """
        return _MARK_COLOURS[self]

    @property
    def ink(self) -> str:
        """CSS colour of text on ``colour``; contrast at least 4.5 (WCAG 2 AA)."""
        return "#ffffff" if self >= Mark.THREE else "#10202b"

    @property
    def words_ja(self) -> str:
        """How it is called in Japanese."""
        return f"目安{int(self)}" if self else "目安なし"

    @property
    def words_en(self) -> str:
        """How it is called in English."""
        return f"town mark {int(self)} of 4" if self else "no town mark"


class OfficialLevel(enum.IntEnum):
    """警戒レベル as the government and the mayor give it."""

    ONE = 1
    TWO = 2
    THREE = 3
    FOUR = 4
    FIVE = 5

    @property
    def colour(self) -> str:
        """The government's colour of 2020."""
        return _OFFICIAL_COLOURS[self]

    @property
    def ink(self) -> str:
        """CSS colour of text on ``colour``; contrast at least 4.5 (WCAG 2 AA)."""
        return "#ffffff" if self >= OfficialLevel.FOUR else "#000000"

    @property
    def words_ja(self) -> str:
        """The official words."""
        return f"警戒レベル{int(self)} {_OFFICIAL_WORDS[self]}"


_MARK_COLOURS = {
    Mark.NONE: "#bbbbbb",
    Mark.ONE: "#56e3fc",
    Mark.TWO: "#42a1be",
    Mark.THREE: "#146c6d",
    Mark.FOUR: "#043345",
}

_OFFICIAL_COLOURS = {
    OfficialLevel.ONE: "#ffffff",
    OfficialLevel.TWO: "#f2e700",
    OfficialLevel.THREE: "#ff2800",
    OfficialLevel.FOUR: "#aa00aa",
    OfficialLevel.FIVE: "#0c000c",
}

_OFFICIAL_WORDS = {
    OfficialLevel.ONE: "心構え",
    OfficialLevel.TWO: "行動確認",
    OfficialLevel.THREE: "高齢者等避難",
    OfficialLevel.FOUR: "避難指示",
    OfficialLevel.FIVE: "緊急安全確保",
}


def mark_of(value: float, heights: Sequence[float]) -> Mark:
    """The highest mark whose height ``value`` has reached; hysteresis and holding are the rules' matter.

    Args:
        value: in the quantity's unit.
        heights: of marks 1 to 4, rising, in the same unit.
    """
    return Mark(sum(value >= height for height in heights))
