"""Which values of a dimension make most of a change: the siblings of a series compared at the anomaly's span.

Changes are absolute, actual less expected, since only these add up. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.alerts.wording import clipped, listed

MOST_NAMED = 3
NEARLY_ALL = 0.8
"""Values are named, the largest first, until they make so much of the change."""
WORTH_NAMING = 0.5
KNOWN_ENOUGH = 0.8
"""So many of the siblings must have points in the span, else the total is not known."""
STANDS_OUT = 0.5
"""The change of the total must be so much of all changes either way, else it is mostly noise."""
DO_NOT_ADD_UP = re.compile(
    r"(^|[^a-z])(ms|milliseconds|seconds|pct|percent|percentages?|ratios?|rates?(?!_limit)|share|conversion|latency"
    r"|latencies|durations?|avgs?|averages?|means?|medians?|min|max|p\d\d+|scores?|utili[sz]ations?|temperatures?"
    r"|prices?)([^a-z]|$)"
)
INSIDE_A_NAME = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where a word begins in `errorRate`."""


@dataclass(frozen=True)
class Sibling:
    """One value of a dimension: sums over the span, None where its points are not known there."""

    series_id: int
    value: str
    actual: float | None
    expected: float | None

    @property
    def change(self) -> float | None:
        return None if self.actual is None or self.expected is None else self.actual - self.expected


@dataclass(frozen=True)
class Contribution:
    """What one value makes of the change of all that moved the same way. share: 0 to 1."""

    series_id: int
    value: str
    change: float
    share: float


@dataclass(frozen=True)
class Explanation:
    """The shares of a dimension's values in a change, the largest first. compared: how many values were looked at."""

    dimension: str
    direction: int
    contributions: tuple[Contribution, ...]
    compared: int

    @property
    def named(self) -> tuple[Contribution, ...]:
        """The fewest values that make nearly all of it, or else the three largest."""
        total = 0.0
        for count, each in enumerate(self.contributions[:MOST_NAMED], start=1):
            total += each.share
            if total >= NEARLY_ALL:
                return self.contributions[:count]
        return self.contributions[:MOST_NAMED]

    @property
    def share(self) -> float:
        """Of the values named, together."""
        return sum(each.share for each in self.named)

    @property
    def sentence(self) -> str:
        """`DE and FR make 86 % of the drop over all 8 values of country.`"""
        change = "drop" if self.direction < 0 else "rise"
        over = f"over all {self.compared} values of {clipped(self.dimension, 40)}"
        if self.share < WORTH_NAMING:
            largest = self.contributions[0]
            return f"The {change} is spread {over}; {clipped(largest.value, 40)} makes most, {percent(largest.share)}."
        names = [clipped(each.value, 40) for each in self.named]
        verb = "makes" if len(names) == 1 else "make"
        return f"{listed(names)} {verb} {percent(self.share)} of the {change} {over}."


def adds_up(metric: str) -> bool:
    """Whether values of several series have a sum that means something: not for latencies, rates and averages."""
    return DO_NOT_ADD_UP.search(INSIDE_A_NAME.sub("_", metric).lower()) is None


def contributions(dimension: str, siblings: Sequence[Sibling], direction: int) -> Explanation | None:
    """Shares of the siblings in the change; None where too few are known, or the total hardly went that way."""
    changes = [(each, each.change) for each in siblings]
    known = [(each, change) for each, change in changes if change is not None]
    if len(known) < 2 or len(known) < KNOWN_ENOUGH * len(siblings):
        return None
    moved = [(each, change) for each, change in known if change * direction > 0]
    gross, net = sum(change for _, change in moved), sum(change for _, change in known)
    if not gross or net * direction < STANDS_OUT * sum(abs(change) for _, change in known):
        return None
    shares = [Contribution(each.series_id, each.value, change, change / gross) for each, change in moved]
    ordered = tuple(sorted(shares, key=lambda each: (-each.share, each.series_id)))
    return Explanation(dimension, direction, ordered, len(known))


def dimensions_that_vary(
    own: Mapping[str, str], candidates: Mapping[int, Mapping[str, str]]
) -> dict[tuple[str, bool], dict[int, str]]:
    """Series that differ in one dimension only, or have one more: values by (dimension, whether it is one more)."""
    groups: dict[tuple[str, bool], dict[int, str]] = {}
    for series_id, dimensions in candidates.items():
        added = [name for name in dimensions if name not in own]
        if len(dimensions) != len(own) + len(added):
            continue
        differing = [name for name in own if dimensions[name] != own[name]]
        if len(added) == 1 and not differing:
            groups.setdefault((added[0], True), {})[series_id] = dimensions[added[0]]
        elif not added and len(differing) <= 1:
            for name in differing or own:
                groups.setdefault((name, False), {})[series_id] = dimensions[name]
    return {key: members for key, members in groups.items() if len(members) > 1}


def most_telling_first(found: Iterable[Explanation]) -> tuple[Explanation, ...]:
    """In order: the one that names the fewest values for the largest share leads."""
    return tuple(sorted(found, key=lambda each: (each.share < NEARLY_ALL, len(each.named), -each.share)))


def percent(share: float) -> str:
    return "all" if share > 0.995 else f"{100 * share:.0f} %"
