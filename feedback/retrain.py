"""Champion against challenger: whether a new baseline takes the place of the old one, and why.

Both judge the recent past, which the challenger was not fitted on, and the spans that people labelled. A challenger
must not be worse there; and what it would expect of the coming week must not have moved, nor its band widened, so far
that a change of the owner's size goes unheard: then it has learned an outage. All arrays have the shape (S,) unless
said; a decision is a pure function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from detectors.contract import Bools, Floats, Ints
from detectors.robust import mean, median

CLIPPED = 4.0
"""Errors are cut at so many robust units of the series, so that one incident does not decide."""
WORSE = 0.1
"""A share of the old loss by which the new one may be larger: the old baseline may have seen the recent past."""
ERRORS = 2.0
"""So many standard errors of the difference, from one part of the recent past to the next, are noise."""
STRANGE = 1.0
"""log10 weeks: points as rare as once in ten weeks are strange."""
MOST_STRANGE = 0.04
FEWEST_STRANGE = 4
"""Share, and number, of strange points up to which a recent past is like the series: an incident of a few hours."""
LEAST_KNOWN = 0.7
"""Share of the usual points that the recent past must have, and of the ground that a baseline rests on."""
FLAT, VARIED = 0.9, 0.5
"""Shares of points that equal the one before: from which a past is flat, and up to which it was not before."""
FARTHER = 1.5
"""Times as far as ever before from what was expected: series that wander by themselves have not moved."""
LESS_HEARD = 0.25
"""Share of the week's phases at which a change of the owner's size may cease to be told."""
WIDER = 3.0
"""Times by which the band of a series may widen of which such a change is not told as it is."""
CLEARLY = 0.3
"""Decades by which a labelled span must be told less, or more, for it not to be chance."""
FEWEST_RECENT = 12
"""Known recent points without which nothing can be compared."""


class Decision(StrEnum):
    PROMOTED = "promoted"
    REFUSED = "refused"
    SKIPPED = "skipped"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a series got a new baseline, or kept its old one. The order is that of what is stored."""

    NOT_WORSE = "not_worse"
    BETTER = "better"
    FIRST = "first"
    OTHER_DETECTOR = "other_detector"
    NO_POINTS = "no_points"
    IN_GAP = "in_gap"
    YOUNG = "young"
    NOT_FITTED = "not_fitted"
    TOO_LITTLE = "too_little"
    NO_RECENT = "no_recent"
    SPARSE = "sparse"
    FLAT = "flat"
    MOVED = "moved"
    LEVEL = "level"
    DEAF = "deaf"
    REAL_UNHEARD = "real_unheard"
    FALSE_TOLD = "false_told"
    WORSE = "worse"
    UNLIKE = "unlike"
    FOLLOWED = "followed"


REASONS = tuple(Reason)
CODE = {reason: code for code, reason in enumerate(REASONS)}
DECISION: Mapping[Reason, Decision] = {
    **dict.fromkeys(REASONS, Decision.REFUSED),
    **dict.fromkeys(
        (Reason.NOT_WORSE, Reason.BETTER, Reason.FIRST, Reason.OTHER_DETECTOR, Reason.FOLLOWED), Decision.PROMOTED
    ),
    **dict.fromkeys((Reason.NO_POINTS, Reason.IN_GAP, Reason.YOUNG, Reason.NO_RECENT), Decision.SKIPPED),
    Reason.NOT_FITTED: Decision.FAILED,
}

FIRM = (Reason.TOO_LITTLE, Reason.REAL_UNHEARD, Reason.FALSE_TOLD)
"""What no week of refusals outweighs: a labelled problem does not become normal by lasting."""


FOLLOWS = (Reason.MOVED, Reason.LEVEL, Reason.WORSE, Reason.UNLIKE)
"""Refusals of a night after which the old baseline itself, where the series has moved by a factor, is moved by it."""


@dataclass(frozen=True)
class Figures:
    """What a decision rests on, float64 (S,); NaN where it could not be told.

    points, needed: known points that the new baseline was fitted on, and that it needs. known, known_before: share of
    the steps of the recent past, and of before, that have a point. repeated, repeated_before: share of points that
    equal the one before them. loss_old, loss_new: mean cut error on the recent past, in robust units; noise: how much
    of their difference is chance. strange_old, strange_new: share of recent points that are strange; recent: how many
    recent points are known. level_old, level_new: mean expected of a week. apart: mean distance of the two, as a share
    of the old level. beyond: the same in half old bands. heard_old, heard_new: share of the week's phases at which a
    change of the owner's size lies outside of the band. wider: how many times as wide as the old band the new one is.
    real, real_unheard: labelled real problems, and those that would no longer be told. false, false_told: the same of
    false alarms that would newly be told. factor: how many times what the old baseline expects the last days are,
    where they are that; one where not.
    """

    points: Floats
    needed: Floats
    known: Floats
    known_before: Floats
    repeated: Floats
    repeated_before: Floats
    recent: Floats
    loss_old: Floats
    loss_new: Floats
    noise: Floats
    strange_old: Floats
    strange_new: Floats
    off: Floats
    off_before: Floats
    level_old: Floats
    level_new: Floats
    apart: Floats
    beyond: Floats
    heard_old: Floats
    heard_new: Floats
    wider: Floats
    real: Floats
    real_unheard: Floats
    false: Floats
    false_told: Floats
    factor: Floats

    @classmethod
    def unknown(cls, count: int) -> Figures:
        return cls(*(np.full(count, np.nan) for _ in fields(cls)))

    def put(self, rows: Ints, **known: Floats) -> None:
        for name, values in known.items():
            getattr(self, name)[rows] = values


@dataclass(frozen=True)
class Standing:
    """What else decides, bool (S,).

    fitted: there is a new baseline. trained: there is an old one. other: it is of another detector than is wanted now.
    in_gap: points of a gap may still come. has_new_level: somebody said that the series has a new normal.
    overdue: nights have refused it for a week, which outweighs most reasons. forced: promote if it is possible.
    by_night: nobody asked; where there is too little to compare on, the new baseline is the better guess.
    """

    fitted: Bools
    trained: Bools
    other: Bools
    in_gap: Bools
    has_new_level: Bools
    overdue: Bools
    forced: bool = False
    by_night: bool = False


def compared(value: Floats, old: Floats, new: Floats, unit: Floats, parts: int) -> dict[str, Floats]:
    """Losses of two expectations (S, R) of a recent past, cut into so many parts to tell how far chance goes."""
    known = np.isfinite(value) & np.isfinite(old) & np.isfinite(new)
    losses = [np.where(known, np.minimum(np.abs(value - each) / unit[:, None], CLIPPED), np.nan) for each in (old, new)]
    difference = losses[1] - losses[0]
    by_part = np.stack(
        [median(part, 1) for part in np.array_split(difference, min(parts, difference.shape[1]), axis=1)]
    )
    scatter = mean((by_part - mean(by_part, 0)) ** 2, 0)
    return {
        "recent": known.sum(axis=1).astype(float),
        "loss_old": mean(losses[0], 1),
        "loss_new": mean(losses[1], 1),
        "noise": np.sqrt(scatter / max(len(by_part) - 1, 1)),
    }


def expectations(old: tuple[Floats, Floats], new: tuple[Floats, Floats], size: Floats) -> dict[str, Floats]:
    """How far two baselines are apart over a week: expected and half a band of each, (S, K). size: the owner's."""
    (expected_old, half_old), (expected_new, half_new) = old, new
    level = mean(np.abs(expected_old), 1)
    distance = mean(np.abs(expected_new - expected_old), 1)
    band = median(half_old, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "level_old": mean(expected_old, 1),
            "level_new": mean(expected_new, 1),
            "apart": distance / np.maximum(level, 1e-300),
            "beyond": distance / np.maximum(band, 1e-300),
            "heard_old": mean((half_old < size[:, None] * np.abs(expected_old)).astype(float), 1),
            "heard_new": mean((half_new < size[:, None] * np.abs(expected_old)).astype(float), 1),
            "wider": median(half_new, 1) / np.maximum(band, 1e-300),
        }


def farness(value: Floats, expected: Floats, part: Ints) -> dict[str, Floats]:
    """How far points (S, C) lie from a week's habits that a baseline expects, by parts (C,); 0 is the recent past."""
    level = np.maximum(mean(np.abs(expected), 1), 1e-300)
    far = [median(np.abs(value - expected)[:, part == each], 1) / level for each in range(int(part.max()) + 1)]
    before = np.stack([np.zeros(len(value)), *(np.nan_to_num(each) for each in far[1:])])
    return {"off": far[0], "off_before": before.max(axis=0)}


def decide(of: Figures, standing: Standing, size: Floats) -> Ints:
    """The code of the reason of each series, as in `REASONS`: of those that apply, the first one."""
    better = of.loss_new < of.loss_old * (1 - WORSE) - ERRORS * of.noise
    objections: dict[Reason, Bools] = {
        Reason.NO_POINTS: np.nan_to_num(of.points) == 0,
        Reason.IN_GAP: standing.in_gap,
        Reason.YOUNG: ~standing.trained & (of.points < of.needed),
        Reason.TOO_LITTLE: of.points < of.needed,
        Reason.NOT_FITTED: ~standing.fitted,
        Reason.FIRST: ~standing.trained,
        Reason.OTHER_DETECTOR: standing.other,
        Reason.REAL_UNHEARD: of.real_unheard > 0,
        Reason.FALSE_TOLD: of.false_told > 0,
        Reason.NO_RECENT: ~(of.recent >= FEWEST_RECENT) & ~(of.known < LEAST_KNOWN * of.known_before),
        Reason.SPARSE: of.known < LEAST_KNOWN * of.known_before,
        Reason.FLAT: (of.repeated > FLAT) & (of.repeated_before < VARIED),
        Reason.MOVED: (of.off > size) & (of.off > FARTHER * of.off_before) & ~standing.has_new_level,
        Reason.LEVEL: (of.apart > size) & (of.beyond > 1.0) & ~standing.has_new_level,
        Reason.DEAF: (of.heard_new < of.heard_old - LESS_HEARD) | ((of.heard_old < LESS_HEARD) & (of.wider > WIDER)),
        Reason.WORSE: of.loss_new > of.loss_old * (1 + WORSE) + ERRORS * of.noise,
        Reason.UNLIKE: _is_strange(of.strange_old, of.recent) & _is_strange(of.strange_new, of.recent),
        Reason.BETTER: better,
    }
    codes = np.full(of.points.size, CODE[Reason.NOT_WORSE], np.int64)
    for reason, applies in reversed(objections.items()):
        codes[applies] = CODE[reason]
    moved = np.isfinite(of.factor) & (of.factor != 1) & standing.by_night & ~standing.overdue
    codes[moved & np.isin(codes, [CODE[reason] for reason in FOLLOWS])] = CODE[Reason.FOLLOWED]
    return codes


def promoted(codes: Ints, standing: Standing) -> Bools:
    """Which series get their new baseline."""
    wins = [CODE[reason] for reason, decision in DECISION.items() if decision is Decision.PROMOTED]
    lasting = standing.overdue & gives_way(codes)
    slow = standing.by_night & (codes == CODE[Reason.NO_RECENT])
    return np.asarray(standing.fitted & (standing.forced | lasting | slow | np.isin(codes, wins)))


def gives_way(codes: Ints) -> Bools:
    """Refused for what a week of nights outweighs: neither for labels, nor for too few points to learn from."""
    return np.isin(codes, [CODE[reason] for reason in _refusals() if reason not in FIRM])


def _refusals() -> list[Reason]:
    return [reason for reason, decision in DECISION.items() if decision is Decision.REFUSED]


def is_to_rest(codes: Ints) -> Bools:
    """Refused for what the data are like: the nightly training must not learn it either. Few points do no harm."""
    harmless = (Reason.TOO_LITTLE, Reason.SPARSE)
    return np.isin(codes, [CODE[reason] for reason in _refusals() if reason not in harmless])


def _is_strange(share: Floats, recent: Floats) -> Bools:
    return np.asarray((share > MOST_STRANGE) & (share * recent >= FEWEST_STRANGE))


def decision_of(reason: Reason, *, promoted: bool) -> Decision:
    return Decision.PROMOTED if promoted else DECISION[reason]


def in_words(reason: Reason, of: Mapping[str, float], *, forced: bool, why: str = "forced") -> str:
    """The reason of a decision with its figures, and the cure where there is one. why: it was forced."""
    apart = abs(of["loss_new"] - of["loss_old"]) / max(of["loss_old"], 1e-12)
    than = "smaller" if of["loss_new"] < of["loss_old"] else "larger"
    said, cure = WORDS[reason]
    said = said.format(**of, loss_apart=apart, than=than)
    if forced:
        return f"{why}, although {said}"
    return f"{said}. {cure}" if cure else said


_ERRORS = "its errors on the recent past are {loss_apart:.0%} {than} than the old baseline's"
WORDS: Mapping[Reason, tuple[str, str]] = {
    Reason.NOT_WORSE: (_ERRORS, ""),
    Reason.BETTER: (_ERRORS, ""),
    Reason.FIRST: ("the series had no baseline yet", ""),
    Reason.OTHER_DETECTOR: ("another detector is to judge it now, which is not compared", ""),
    Reason.NO_POINTS: ("it has no points in the window", "Ask for another `start` and `end`."),
    Reason.IN_GAP: ("late points of a gap may still come", "Retrain when the gap is filled, or send `force`."),
    Reason.YOUNG: ("it has {points:,.0f} points yet, {needed:,.0f} are needed", "It is trained once they are there."),
    Reason.NOT_FITTED: ("its detector could not be fitted on these points, or failed on them", ""),
    Reason.TOO_LITTLE: (
        "there are {points:,.0f} points to learn from, {needed:,.0f} are needed",
        "Ask for a longer window, or exclude less.",
    ),
    Reason.NO_RECENT: (
        "it has too few recent points to compare on",
        "Retrain when points come again, or send `force`.",
    ),
    Reason.SPARSE: (
        "{known:.0%} of its recent points are known, {known_before:.0%} were before",
        "Declare the gap, or retrain when the points are in.",
    ),
    Reason.FLAT: (
        "{repeated:.0%} of its recent points equal the one before, as if it were stuck",
        "Declare the gap, or send `force` if they are right.",
    ),
    Reason.MOVED: (
        "its recent points lie {off:.0%} from what the old baseline expects, {off_before:.0%} at most before",
        "Label it a new normal if it is one, exclude the span if it is not, or send `force`.",
    ),
    Reason.LEVEL: (
        "it would expect {level_new:,.4g} on average instead of {level_old:,.4g}, and be {apart:.0%} away in the week",
        "Label it a new normal if it is one, exclude the span if it is not, or send `force`.",
    ),
    Reason.DEAF: (
        "its band would be {wider:.1f} times as wide, and a change of the owner's size lie outside of it at "
        "{heard_new:.0%} of the week, not {heard_old:.0%}",
        "Exclude what is not normal, or send `force`.",
    ),
    Reason.REAL_UNHEARD: (
        "{real_unheard:.0f} of {real:.0f} labelled problems would no longer be told",
        "Undo the label if it was none, or send `force`.",
    ),
    Reason.FALSE_TOLD: (
        "{false_told:.0f} of {false:.0f} labelled false alarms would be told again",
        "Widen the window, or send `force`.",
    ),
    Reason.FOLLOWED: (
        "its last two days are {factor:.0%} of what the old baseline expects, hour by hour, so that is moved by it; "
        "nothing else of them is learned yet",
        "",
    ),
    Reason.WORSE: (_ERRORS, "Exclude what is not normal, widen the window, or send `force`."),
    Reason.UNLIKE: (
        "{strange_new:.0%} of its recent points are stranger than once in ten weeks to the old baseline and to the new",
        "Label what happened, wait until the new way has lasted, or send `force`.",
    ),
}
"""What is said of each reason, and the cure."""
