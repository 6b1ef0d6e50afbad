"""Anomalies of one cause are one alert: which go together, which of them leads, and when it is spoken of again.

Together are those of one policy that have in common what it groups by and that began within a few steps of each other.
Pure.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import chain, combinations, islice
from typing import Any

from app.alerts.policy import Resolved
from app.alerts.rules import freshness

JOINS_AFTER_ITS_END = timedelta(hours=6)
"""So long after its end an alert still takes in what began with it, as a run of one series reopens."""
LEAST_LEFT = 0.05
"""What a drop leaves is as good as nothing from here on: to halve is no news any more."""
MOST_TOTALS = 31
"""All that a series has where five dimensions split it; of more, the nearest."""


@dataclass(frozen=True)
class Member:
    """A series as far as grouping looks at it."""

    series_id: int
    metric: str
    dimensions: Mapping[str, str]


class Growth(StrEnum):
    """Why an alert that was told of is spoken of again."""

    SPREAD = "spread"
    WORSENED = "worsened"


@dataclass(frozen=True)
class Extent:
    """How large an alert is.

    causes: series that are no part of another of its series. size: how far off the furthest of them is, see `off_by`.
    left: of what was expected, where least is, see `left_of`.
    """

    causes: int
    size: float
    left: float = 1.0

    def json(self) -> dict[str, Any]:
        return {"causes": self.causes, "size": self.size, "left": self.left}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Extent:
        """What was stored before anybody looked at what is left cannot fall any further."""
        return cls(int(stored["causes"]), float(stored["size"]), float(stored.get("left", LEAST_LEFT)))


def group_key(policy: Resolved, member: Member, direction: int) -> str:
    """The same for all series and directions that may share an alert."""
    own = {"metric": member.metric, "direction": "down" if direction < 0 else "up", "series": str(member.series_id)}
    values = [[name, own[name] if name in own else member.dimensions.get(name)] for name in policy.settings.group_by]
    return blake2b(json.dumps([policy.policies, values]).encode(), digest_size=16).hexdigest()


def split_by(policy: Resolved) -> tuple[str, ...]:
    """Dimensions by which the policy tells a total and its parts apart; none where every series stays alone."""
    names = policy.settings.group_by
    return () if "series" in names else tuple(name for name in names if name not in ("metric", "direction"))


def groups_of_totals(policy: Resolved, member: Member, direction: int) -> list[str]:
    """Keys of the groups of totals of a series that lack what the policy splits them by, the nearest first."""
    present = [name for name in split_by(policy) if name in member.dimensions]
    lacking = chain.from_iterable(combinations(present, count) for count in range(1, len(present) + 1))
    return [
        group_key(policy, replace(member, dimensions=_without(member.dimensions, names)), direction)
        for names in islice(lacking, MOST_TOTALS)
    ]


def _without(dimensions: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: value for name, value in dimensions.items() if name not in names}


def are_apart(policy: Resolved, one: Member, other: Member) -> bool:
    """Whether both have a dimension by which the policy splits them, and not the same value of it."""
    names = one.dimensions.keys() & other.dimensions.keys() & set(split_by(policy))
    return any(one.dimensions[name] != other.dimensions[name] for name in names)


def goes_with(began: datetime, newest: datetime, started_at: datetime, cadence_seconds: int) -> bool:
    """Whether an anomaly of that start is of the cause of an alert; `began`, `newest`: its first and latest start."""
    room = freshness(cadence_seconds)
    return began - room <= started_at <= newest + room


def is_part_of(part: Member, whole: Member) -> bool:
    """The total of a metric and its parts say one thing: the total has some of a part's dimensions, and no other."""
    return (
        part.metric == whole.metric
        and len(part.dimensions) > len(whole.dimensions)
        and whole.dimensions.items() <= part.dimensions.items()
    )


def lead_of(lead: Member | None, newcomers: Iterable[Member], split: Sequence[str] = ()) -> Member:
    """The series that an alert's title names: the first one that came, or its total.

    split: dimensions by which the policy tells parts apart. A total that lacks one of them does not lead its part.
    """
    for each in newcomers:
        if lead is None or _takes_the_lead(each, lead, split):
            lead = each
    assert lead is not None
    return lead


def _takes_the_lead(member: Member, lead: Member, split: Sequence[str]) -> bool:
    own, its = (sum(name in each.dimensions for name in split) for each in (member, lead))
    return is_part_of(lead, member) if own == its else own > its and is_part_of(member, lead)


def causes_among(members: Sequence[Member]) -> list[bool]:
    """Which of these series are no part of another one of them.

    By the dimensions' names, of which there are few sets, so that thousands of series are looked at once each.
    """
    known: defaultdict[tuple[str, frozenset[str]], set[frozenset[tuple[str, str]]]] = defaultdict(set)
    for each in members:
        known[each.metric, frozenset(each.dimensions)].add(frozenset(each.dimensions.items()))
    wholes: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    for metric, names in known:
        wholes[metric].append(names)

    def has_whole(each: Member) -> bool:
        return any(
            frozenset((name, each.dimensions[name]) for name in names) in known[each.metric, names]
            for names in wholes[each.metric]
            if names < each.dimensions.keys()
        )

    return [not has_whole(each) for each in members]


def off_by(actual: float, expected: float | None, lower: float | None, upper: float | None) -> float:
    """How far off a value is, as a share of what was expected or of half the band, whichever is larger."""
    if expected is None:
        return 1.0
    half_band = (upper - lower) / 2 if lower is not None and upper is not None else 0.0
    usual = max(abs(expected), half_band)
    return abs(actual - expected) / usual if usual else 1.0


def left_of(actual: float, expected: float | None) -> float:
    """What a drop leaves, as a share of what was expected, from `LEAST_LEFT` to 1; a rise leaves all of it.

    A drop can't be off by more than all, so that one of more than half never doubles; what it leaves can halve.
    """
    return min(max(actual / expected, LEAST_LEFT), 1.0) if expected else 1.0


def may_have_grown(before: Extent, after: Extent, growth: float) -> bool:
    """Whether one anomaly passed a step of growth on its way, and its alert is worth another look."""
    return _passed_a_step(before.size, after.size, growth) or _passed_a_step(1 / before.left, 1 / after.left, growth)


def _passed_a_step(before: float, after: float, growth: float) -> bool:
    if not 0 < before < after:
        return False
    steps = (math.floor(math.log(each) / math.log1p(growth)) for each in (before, after))
    return next(steps) < next(steps)


def growth_of(told: Extent, now: Extent, growth: float) -> Growth | None:
    """What is new of an alert since it was last told of, by the share that its policy asks for."""
    if told.causes < now.causes >= told.causes * (1 + growth):
        return Growth.SPREAD
    worsened = told.size < now.size >= told.size * (1 + growth) or now.left * (1 + growth) <= told.left
    return Growth.WORSENED if worsened else None
