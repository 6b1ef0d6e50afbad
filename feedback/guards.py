"""No label may make Heed deaf: how far one may reach, for how long, and whose word counts how much.

All strengths of evidence are log10 weeks ("decades"), see `detectors.contract`.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

HALF_LIFE = timedelta(days=180)
"""Labels fade: after so long a label has half its weight."""

FULL_STRENGTH = 0.25
"""Faded weight down to which a label still holds in full: one click from a link holds for one half-life."""

ANALYST_WEIGHT = 1.0
ANONYMOUS_WEIGHT = 0.5

MARGIN = 0.5
LIKENESS = 0.2
"""A repeat of an anomaly may be this share of its decades stranger, or less strange, than the first time."""

GROWING_MARGIN, GROWING_LIKENESS = 1.0, 0.3
"""Added to both for an anomaly labelled while it went on: it may still have been growing."""

CEILING = 300.0
"""No tolerance is ever wider; beyond it a float could not hold the return period."""

SIBLING_STEP, SIBLING_CEILING = 0.25, 1.5
"""Decades that one series' false alarm teaches the others of its metric, and the most that all of them can."""

OTHERS_STEP, OTHERS_CEILING = 0.02, 0.25
"""The same for series of other metrics."""

WORRYING_LOSS = 0.5
"""A label after which less than this share of the former power is left is worth a warning."""


def identity_weight(source: str) -> float:
    """How much a label counts. Whoever holds a link is anonymous; a token names somebody, and so does Slack."""
    return ANONYMOUS_WEIGHT if source == "link" else ANALYST_WEIGHT


def strength(weight: float, created_at: datetime, now: datetime) -> float:
    """What is left of a label's weight after it has faded."""
    half_lives = max((now - created_at) / HALF_LIFE, 0.0)
    return float(weight * 0.5**half_lives)


def hold(strength_left: float) -> float:
    """Share of its full reach that evidence of this strength has: 1 at first, then fading by half-lives."""
    return min(1.0, strength_left / FULL_STRENGTH)


def reach(rarity: float, *, growing: bool) -> float:
    """The rarity up to which a false alarm silences its like. Anything rarer than that always alerts."""
    margin, likeness = (MARGIN + GROWING_MARGIN, LIKENESS + GROWING_LIKENESS) if growing else (MARGIN, LIKENESS)
    return rarity + margin + likeness * abs(rarity)


def pin(rarity: float) -> float:
    """The rarity from which a repeat of a real problem must always be told."""
    return rarity - LIKENESS * abs(rarity)


def bounded(decades: float, ceiling: float = CEILING) -> float:
    """A tolerance is never negative and never above its ceiling."""
    return min(max(decades, 0.0), ceiling)


def deafens(power_before: float, power_after: float) -> bool:
    """True where a label takes away most of what would have been seen."""
    return power_after < WORRYING_LOSS * power_before


def full_days(weight: float) -> int:
    """Days for which a label of this weight holds in full."""
    return round(HALF_LIFE.days * math.log2(weight / FULL_STRENGTH))
