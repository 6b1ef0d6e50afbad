"""Whether a series is worth watching, in one word and a sentence or two.

It rests on what was tried: where nothing could be, or too few starts were calm, the advice is to wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from detectors.injection import (
    FEWEST_JUDGED,
    FEWEST_LEARNED,
    FEWEST_TRIALS,
    WITHIN_POINTS,
    ExpectedAlerts,
    SmallestChange,
)
from detectors.quality import Quality
from detectors.training import Progress

WORTH_IT = 0.75
"""A model must see drops, or spikes, of so much of what a fixed limit sees; one size tried is 0.83 of the next."""
LARGE = 0.5
"""What is seen only from so much of the usual size on is an outage, or a flood."""
HARDLY_EVER_CHANGES = 0.95
"""Where so many points are one value, or repeat the one before, any other value is the news."""
FEW_ALERTS, MANY_ALERTS = 3, 3.0
"""Fewer alerts say nothing of how many are to come; so many times the budget are too many."""
KINDS = ("drop", "spike")
COME_BACK = "Come back, or import more of it."
SHORT, LONG = WITHIN_POINTS[1:]


class Advice(StrEnum):
    """The recommendation in one word."""

    WATCH = "watch"
    OUTAGES_ONLY = "outages_only"
    FIXED_LIMIT = "fixed_limit"
    WAIT = "wait"
    NOTHING_TO_SEE = "nothing_to_see"


@dataclass(frozen=True)
class Tried:
    """What came of trying a series on the end of its own past.

    smallest, limited: what the detector sees, and what a fixed limit does. asked: the alerts at the budget asked for.
    days: how long was judged.
    """

    smallest: Sequence[SmallestChange]
    limited: Sequence[SmallestChange]
    asked: ExpectedAlerts
    days: float


def points_still_needed(quality: Quality) -> int:
    """Points after which a series can be tried on its own past."""
    return max(FEWEST_LEARNED + FEWEST_JUDGED - quality.points, 0)


def gains_over(smallest: Sequence[SmallestChange], limited: Sequence[SmallestChange]) -> dict[str, float]:
    """By what share the drops, and the spikes, that are seen are smaller than those that a fixed limit sees.

    Within 3 points, or 24 where neither is seen in 3; 1 where the limit sees none, -1 where only it sees any. Without
    those that neither sees, or of which it is not known.
    """
    gains = {}
    for kind in KINDS:
        for points in (SHORT, LONG):
            ours, theirs = _of(smallest, kind, points), _of(limited, kind, points)
            if not (ours.is_known and theirs.is_known) or (ours.share is None and theirs.share is None):
                continue
            gains[kind] = _gain(ours.share, theirs.share)
            break
    return gains


def advise(quality: Quality, learning: Progress, tried: Tried | None) -> tuple[Advice, str]:
    """The advice, and why. tried: None where it could not be."""
    if quality.points == 0:
        return Advice.NOTHING_TO_SEE, "There is no value in this history."
    if quality.is_too_slow:
        return Advice.NOTHING_TO_SEE, "Its points come more rarely than once a week: too slow to be watched."
    if not learning.may_alert:
        return Advice.WAIT, f"Too little history: {learning.reason}. {COME_BACK}"
    if max(quality.usual_value, quality.repeated) > HARDLY_EVER_CHANGES:
        return Advice.FIXED_LIMIT, "It hardly ever changes. Not worth a model: use a fixed limit."
    if tried is None:
        return Advice.WAIT, _cannot_be_tried(quality)
    return _by_what_is_seen(learning, tried)


def _by_what_is_seen(learning: Progress, tried: Tried) -> tuple[Advice, str]:
    gains = gains_over(tried.smallest, tried.limited)
    if gains and max(gains.values()) < 1 - WORTH_IT:
        return Advice.FIXED_LIMIT, (
            f"Not worth a model: with a fixed limit {_in_words(tried.limited)}, which is about as good."
            f"{''.join(f' Neither sees {kind}s.' for kind in KINDS if _is_seen_by_neither(tried, kind))}"
        )
    words, noisy = _in_words(tried.smallest), _noisy(tried)
    seen = {kind: share for kind in KINDS if (share := _of(tried.smallest, kind, LONG).share) is not None}
    if seen and min(seen.values()) <= LARGE:
        when = "" if learning.done else f" The whole pattern is known after {learning.of_days} days, {learning} so far."
        return Advice.WATCH, f"Worth watching: {words}.{noisy}{when}"
    if "drop" in seen:
        return Advice.OUTAGES_ONLY, f"Watch it for outages: only {words}.{noisy}"
    unknown = next((change for change in tried.smallest if not change.is_known), None)
    if unknown:
        return Advice.WAIT, (
            f"Too few calm stretches to tell what would be seen within {unknown.within_points} points: "
            f"{unknown.trials} of {FEWEST_TRIALS}. {COME_BACK}"
        )
    if seen:
        return Advice.WATCH, f"Watch it for large rises only: {words}, but not even the loss of it.{noisy}"
    return Advice.NOTHING_TO_SEE, (
        f"Nothing that was tried is told within {LONG} points, not even its loss: "
        "it varies too much, or by less than what is told at all."
    )


def _cannot_be_tried(quality: Quality) -> str:
    more = points_still_needed(quality)
    if not more:
        return f"It cannot be tried on its own past: too few of its newest points are known. {COME_BACK}"
    points = "1 more point is" if more == 1 else f"{more} more points are"
    return f"It cannot be tried on its own past yet: {points} needed. {COME_BACK}"


def _noisy(tried: Tried) -> str:
    asked = tried.asked
    if asked.alerts < FEW_ALERTS or asked.alerts_per_week <= MANY_ALERTS * asked.budget:
        return ""
    return f" It gave {asked.alerts} alerts on the last {_days(tried.days)} of its past: look at those first."


def _in_words(changes: Sequence[SmallestChange]) -> str:
    """`drops of 30 % are seen within 3 points, spikes of 20 % within 24 points`; of those that are seen."""
    within: dict[int, list[str]] = {}
    for kind in KINDS:
        soon, later = (_of(changes, kind, points) for points in (SHORT, LONG))
        change = soon if soon.share is not None and soon.share <= LARGE else later
        if change.share is not None:
            within.setdefault(change.within_points, []).append(f"{kind}s of {100 * change.share:.0f} %")
    said = [(" and ".join(words), f"within {points} points") for points, words in sorted(within.items())]
    return ", ".join(f"{what} {'are seen ' if not place else ''}{when}" for place, (what, when) in enumerate(said))


def _is_seen_by_neither(tried: Tried, kind: str) -> bool:
    each = [_of(changes, kind, LONG) for changes in (tried.smallest, tried.limited)]
    return all(change.is_known and change.share is None for change in each)


def _of(changes: Sequence[SmallestChange], kind: str, points: int) -> SmallestChange:
    (found,) = (change for change in changes if (change.kind, change.within_points) == (kind, points))
    return found


def _gain(ours: float | None, theirs: float | None) -> float:
    if ours is None:
        return -1.0
    return 1.0 if theirs is None else float(np.clip(1 - ours / theirs, -1.0, 1.0))


def _days(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{24 * days:.0f} hours"
