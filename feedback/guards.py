"""No label may make Heed deaf: how far one may reach, for how long, and whose word counts how much.

All strengths of evidence are log10 weeks ("decades"), see `detectors.contract`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from detectors.contract import Floats

HALF_LIFE = timedelta(days=180)
"""Labels fade: after so long a label has half its weight, where nothing else is set."""

FULL_STRENGTH = 0.25
"""Faded weight down to which a label still holds in full: one click from a link holds for one half-life."""

ANALYST_WEIGHT = 1.0
ANONYMOUS_WEIGHT = 0.5

MOST_A_DAY, MOST_A_DAY_BY_LINK = 500, 50
"""Labels of one author in a day. Whoever holds the links of a channel counts as one author."""

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

GENERAL_CEILING = 0.75
"""Decades that tolerance asks at most of what repeats nothing that was labelled, and of what is severe by its size.
Measured on labelled series: wider takes more real problems away than false alarms, which triage tells apart better."""
VOICE, OTHERS_VOICE = 0.75, 0.25
"""Decades that triage may ask for each false alarm of what repeats none, and the share that counts of one on another
metric. One answer moved the model so far that of spikes of a third nothing was told any more."""
SEVERE = 3.0
"""Log10 weeks from which only a repeat of a labelled false alarm is silent: once in twenty years."""
MOST_LOWERED = 0.6
"""Decades by which triage may tell sooner than the budget asks: candidates are not kept below."""
SMALL_FALL, SMALL_RISE = 0.3, 0.5
"""Shares of what was expected below which a fall, or a rise, is small: as rare as it may be, it may be learned away."""
SEVERE_FALL, SEVERE_RISE = 0.5, 2.0
"""Shares of what was expected from which a fall, or a rise, is severe by its size alone: halved, tripled."""
LASTING_POINTS = 3
"""From its third point on no label delays what is halved. Where little is expected, hours of nothing are little rarer
than the budget asks, so that any decade more was all the time there was."""
LARGER, GROWING_LARGER, SMALLER = 1.5, 2.0, 0.8
"""A repeat of a false alarm is off by at most so many times as much, one of a real problem by at least so many."""
SHAPES_APART = 0.6
"""How far apart the evidence of a real problem and of its repeat may be, see `triage.shape_distance`."""
SAME_HOUR_SECONDS, LONGEST_ROOM_SECONDS, SAME_OCCURRENCE_SECONDS = 7_200, 43_200, 3_600
"""How much earlier or later in the week a repeat may be (longer for a long one), and how soon after it is still it."""
UNANSWERED_TOLD, UNANSWERED_UNTOLD = 0.3, 0.15
"""Weight of silence: an alert that nobody answered, and a candidate that nobody missed, were rather no problem."""

WORRYING_LOSS = 0.5
"""A label after which less than this share of the former power is left is worth a warning."""


WORTH_KEEPING = 0.5
"""Less power than this is none that anybody counts on: a label can't be blamed for its loss."""


def identity_weight(source: str) -> float:
    """How much a label counts. Whoever holds a link is anonymous; a token names somebody, and so does Slack."""
    return ANONYMOUS_WEIGHT if source == "link" else ANALYST_WEIGHT


def most_labels_a_day(source: str) -> int:
    """How many labels one author may give in a day: more is a mistake, or a robot."""
    return MOST_A_DAY_BY_LINK if source == "link" else MOST_A_DAY


@dataclass(frozen=True)
class Fading:
    """How far labels have faded by now."""

    now: datetime
    half_life: timedelta = HALF_LIFE

    def left(self, weight: float, created_at: datetime) -> float:
        """What is left of a label's weight."""
        half_lives = max((self.now - created_at) / self.half_life, 0.0)
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


def most_taught(base_threshold: Floats) -> Floats:
    """Decades that triage may ask of candidates, above their budgets' thresholds in log10 weeks."""
    return np.maximum(SEVERE - base_threshold, GENERAL_CEILING)


def is_severe(direction: float, actual: float, expected: float) -> bool:
    """Severe by its size alone: halved or worse, tripled or more."""
    off = direction * (actual - expected)
    return off >= (SEVERE_FALL if direction < 0 else SEVERE_RISE) * abs(expected)


def deafens(unlabelled: float, before: float, after: float) -> bool:
    """True where a label takes away some of what would be seen, and most of it is gone then, if half of it ever was.

    unlabelled: what would be seen if nobody had labelled, so that many small losses count like a large one.
    """
    most = max(unlabelled, before)
    return most >= WORTH_KEEPING and after < WORRYING_LOSS * most and after < before


def full_days(weight: float, half_life: timedelta) -> int:
    """Days for which a label of this weight holds in full."""
    return round(half_life / timedelta(days=1) * math.log2(weight / FULL_STRENGTH))
