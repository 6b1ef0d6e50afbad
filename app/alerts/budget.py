"""Whether a policy tells of more alerts than its owner puts up with, and which budget would have been right. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import poisson

from app.alerts.wording import quantity

BY_CHANCE = 0.001
"""A policy that keeps its budget breaks it in one week of a thousand."""
FEWEST = 5
"""So many alerts in a week nobody needs to be spared, however small the budget: a few series may fail for real."""
SETTING = "alerts_per_week"
LEAST = 0.001
"""The least budget that is offered: what is still told then is no matter of the budget."""


@dataclass(frozen=True)
class Told:
    """An alert of the last week. rarity: of its rarest anomaly, less what labels asked for on top; log10 weeks."""

    alert_id: int
    rarity: float
    series: str


@dataclass(frozen=True)
class Offer:
    """The `alerts_per_week` of a series that would mend a policy, and what it is now."""

    before: float
    wanted: float

    @property
    def stored(self) -> str:
        """As an alert keeps it."""
        return f"{SETTING}:{self.before!r}:{self.wanted!r}"

    @classmethod
    def read(cls, stored: str | None) -> Offer | None:
        """What an alert keeps, if it is this."""
        name, _, numbers = (stored or "").partition(":")
        before, _, wanted = numbers.partition(":")
        return cls(float(before), float(wanted)) if name == SETTING else None


def offer(told: list[Told], budget: float, *, alerts_per_week: float) -> Offer | None:
    """What is offered; nothing where no budget would leave out what is told."""
    wanted, _ = fitting(told, budget)
    return Offer(alerts_per_week, wanted) if wanted >= LEAST else None


def is_broken(told: int, budget: float) -> bool:
    """Whether so many alerts in a week are more than chance brings at this budget, and than anybody shrugs off."""
    return told > max(int(poisson.isf(BY_CHANCE, budget)), FEWEST)


def fitting(told: Iterable[Told], budget: float) -> tuple[float, int]:
    """The `alerts_per_week` of a series that would have kept the budget, and of how many it would have told."""
    rarities = sorted((each.rarity for each in told), reverse=True)
    kept = min(int(max(budget, 1.0)), len(rarities) - 1)
    asked = 10.0 ** -rarities[kept]
    digits = 10.0 ** math.floor(math.log10(asked))
    rounded = math.floor(asked / digits * 0.999) * digits or asked / 2
    return float(f"{rounded:.1g}"), sum(rarity >= -math.log10(rounded) for rarity in rarities)


def foremost(told: Iterable[Told]) -> tuple[str, int]:
    """The series that most of them lead with, and how many those are."""
    counts: dict[str, int] = {}
    for each in told:
        counts[each.series] = counts.get(each.series, 0) + 1
    return max(counts.items(), key=lambda pair: pair[1])


def in_words(policy: str, told: list[Told], budget: float, *, alerts_per_week: float) -> str:
    """What is said once: how it stands, what happens now, and what would mend it. alerts_per_week: of one series."""
    series, count = foremost(told)
    which = f"All {count} are" if count == len(told) else f"{count} of the {len(told)} {'is' if count == 1 else 'are'}"
    return (
        f"{policy} told of {len(told)} alerts in a week, its budget is {_said(budget)} a week. "
        "From now on they come once a day in a digest, unless they are critical, until a week has kept the budget. "
        f"{_cure(told, budget, alerts_per_week)}. {which} of {series}"
    )


def _cure(told: list[Told], budget: float, alerts_per_week: float) -> str:
    wanted, left = fitting(told, budget)
    if wanted < LEAST:
        return "They are too rare for any budget to leave out: answer them, so that what you need not hear is learned"
    offered = f"With {_said(wanted)} alerts a series and week in place of {_said(alerts_per_week)}"
    return f"{offered}, {left} of the {len(told)} would have been told"


def _said(alerts: float) -> str:
    return quantity(float(f"{alerts:.2g}"))
