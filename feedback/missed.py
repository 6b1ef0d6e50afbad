"""A missed problem, played again: would it be told now? And if not, why not, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Hindrance(StrEnum):
    """Why a span would still not be told."""

    NO_POINTS = "no_points"
    IN_GAP = "in_gap"
    IN_EVENT = "in_event"
    TOO_YOUNG = "too_young"
    NOT_WATCHED = "direction_not_watched"
    BELOW_FLOOR = "below_floor"
    OVERRULED = "overruled"
    TOO_COMMON = "too_common"


@dataclass(frozen=True)
class Span:
    """A span that somebody says was a problem, as it was judged then.

    points: how many of its points are known, judged: how many could be judged. rarity: the largest, log10 weeks, None
    where none could be judged. event: name of the event that it lies in. change: of the rarest point from the expected,
    least: the least change that counts, both in the metric's unit. watched: whether that direction is told at all.
    """

    points: int
    rarity: float | None = None
    event: str | None = None
    in_gap: bool = False
    watched: bool = True
    change: float = 0.0
    least: float = 0.0


@dataclass(frozen=True)
class Replayed:
    """What comes of playing it again. reason and cure: in words, empty where it is told."""

    told: bool
    hindrance: Hindrance | None = None
    reason: str = ""
    cure: str = ""


def replay(span: Span, *, heard: bool, lowest: float) -> Replayed:
    """Whether the span would be told, the label heeded.

    heard: whether its anomaly is by all that labels teach. lowest: log10 weeks below which no label lets tell.
    """
    hindrance = _hindrance(span, heard, lowest)
    if hindrance is None:
        return Replayed(told=True)
    reason, cure = _words(hindrance, span, lowest)
    return Replayed(told=False, hindrance=hindrance, reason=reason, cure=cure)


def _hindrance(span: Span, heard: bool, lowest: float) -> Hindrance | None:
    within_reach = span.rarity is not None and span.rarity >= lowest
    told = heard and within_reach
    found = {
        Hindrance.NO_POINTS: span.points == 0,
        Hindrance.IN_GAP: span.in_gap,
        Hindrance.TOO_YOUNG: span.rarity is None and span.event is None,
        Hindrance.NOT_WATCHED: not span.watched,
        Hindrance.BELOW_FLOOR: span.change < span.least,
        Hindrance.IN_EVENT: span.event is not None and not told,
        Hindrance.TOO_COMMON: not within_reach,
        Hindrance.OVERRULED: not told,
    }
    return next((hindrance for hindrance, applies in found.items() if applies), None)


def _words(hindrance: Hindrance, span: Span, lowest: float) -> tuple[str, str]:
    if hindrance is Hindrance.IN_EVENT:
        return (
            f"it lies in the event “{span.event}”, which explains it",
            "Shorten the event, or take it back, if it does not.",
        )
    if hindrance is Hindrance.TOO_COMMON and span.rarity is not None:
        often = min(10.0**-span.rarity, 10_000.0)
        return (
            f"the like of it comes about {_times(often)} on normal days, and the threshold is lowered to "
            f"{_times(10.0**-lowest)} at most",
            f"Set `alerts_per_week` to {_rounded(often)} or more in its policy; as often it is told for wrong reasons.",
        )
    return WORDS[hindrance]


WORDS = {
    Hindrance.NO_POINTS: (
        "none of its points are known",
        "Send the points of the span, then report the miss again.",
    ),
    Hindrance.IN_GAP: (
        "it lies in a gap, whose points are taken for lost",
        "End or take back the gap if they are right.",
    ),
    Hindrance.TOO_YOUNG: (
        "the series was not known long enough to be judged then",
        "Import its history, or wait until it has been learned.",
    ),
    Hindrance.NOT_WATCHED: (
        "its policy watches the other direction only",
        "Set `direction` to `both` in its policy.",
    ),
    Hindrance.BELOW_FLOOR: (
        "it changed by less than the least change that counts",
        "Lower `least_relative_change` or `least_absolute_change` in its policy.",
    ),
    Hindrance.OVERRULED: (
        "somebody whose word counts more, or came later, called the same a false alarm",
        "Take that label back if it was wrong.",
    ),
}
"""Reason and cure, of those that need no numbers."""


def _times(a_week: float) -> str:
    if a_week >= 1.5:
        return f"{a_week:,.0f} times a week"
    return "once a week" if a_week > 0.66 else f"once in {1 / a_week:,.0f} weeks"


def _rounded(a_week: float) -> str:
    return f"{a_week:.2g}" if a_week < 100 else f"{a_week:.0f}"
