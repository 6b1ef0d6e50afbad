"""What a run of abnormal points looks like: a spike that passes, a shift to another level, or a drift away from it.

Pure: the points around the start of a run in, a named shape out; none while it is too early to say, or where none fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import spearmanr

from detectors.contract import Floats

FEWEST_POINTS, FEWEST_SECONDS = 6, 1_800
"""What is shorter may still be a spike: it has no level."""
LEAD = 12
"""Points before the run that are compared with it."""
AT_ONCE = 0.5
"""Of a shift, the share of its size that its first points have, and that they jumped by."""
JUST_BEFORE = 3
"""Points before the run, and first ones of it, between which a shift jumps."""
STEADY = 0.5
"""Of a drift, how far it goes one way: the rank correlation of how far off the points are with their order."""
OFF = 0.5
"""Half bands by which a point is off itself."""


class ShapeKind(StrEnum):
    SPIKE = "spike"
    SHIFT = "shift"
    DRIFT = "drift"


@dataclass(frozen=True)
class Shape:
    """What a run looks like.

    level, usual: median of the last points that were looked at, and of what was expected there. points: how many were
    off by themselves.
    """

    kind: ShapeKind
    level: float
    usual: float
    points: int


@dataclass(frozen=True)
class Course:
    """Points around the start of a run, in time order, all known; arrays (n,).

    begun: which of them is the first of the run. off: how far off, in half bands, positive the way the run went.
    """

    value: Floats
    expected: Floats
    off: Floats
    begun: int


def shape_of(course: Course, *, points: int, lasted_seconds: int, recovered: bool) -> Shape | None:
    """The shape of a run of so many abnormal points, if it has one by now. recovered: it ended by calm."""
    run = course.off[course.begun :]
    if not run.size:
        return None
    if points < FEWEST_POINTS or lasted_seconds < FEWEST_SECONDS:
        return _shape(ShapeKind.SPIKE, course) if recovered else None
    lead = course.off[max(course.begun - LEAD, 0) : course.begun]
    before = float(np.median(lead[-JUST_BEFORE:])) if lead.size else 0.0
    first, last = float(np.median(run[:JUST_BEFORE])), float(np.median(run[-_third(run) :]))
    size = max(first, last)
    if first >= AT_ONCE * last and first - before >= AT_ONCE * size:
        return _shape(ShapeKind.SHIFT, course)
    is_drift = last > first and min(_steadiness(run), _steadiness(np.concatenate([lead, run]))) >= STEADY
    return _shape(ShapeKind.DRIFT, course) if is_drift else None


def _steadiness(off: Floats) -> float:
    if off.size < FEWEST_POINTS or not np.ptp(off):
        return 0.0
    return float(spearmanr(np.arange(off.size), off).statistic)


def _shape(kind: ShapeKind, course: Course) -> Shape:
    run = course.off[course.begun :]
    last = slice(-_third(run), None)
    return Shape(
        kind=kind,
        level=float(np.median(course.value[last])),
        usual=float(np.median(course.expected[last])),
        points=max(1, int((run >= OFF).sum())),
    )


def _third(run: Floats) -> int:
    return max(1, run.size // 3)
