"""The life of an anomaly: a run of abnormal points opens, is told, grows, ends, and may reopen for a while.

One series has at most one run at a time. A run opens as a *candidate* at a level below the one that is told, so that
what was nearly told is known too. It is *told* when the rarity reaches the threshold of its direction. It ends after
enough calm; in a cool-down after that the same run reopens instead of a new one. A told run that lasts too long, its
reopenings counted, ends by age: its series then *settles*, learning again without a new alert, until it has been calm
for as long as a cool-down or does something yet stranger.

Pure and vectorised: arrays of B series in, new arrays out, one point each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.bars import least_change
from detectors.contract import Bools, Fields, Floats, Ints, Points, Scores, put, take

DAY = 86_400
OFTEN_FADES = 1_209_600
"""Seconds after which a run counts half when it is said how often a series has them."""
OWN_SHARE = 0.25
"""Share of half the band, about one residual's usual size, by which an abnormal point is off itself."""


@dataclass(frozen=True)
class LifeRules:
    """When runs end, reopen and are given up. A span in points and one in seconds: the longer of the two holds.

    calm_points, calm_seconds: calm after which a run ends.
    cool_down_points, cool_down_seconds: after its end, how long a run may reopen.
    thaw_points, thaw_seconds: age, since it first opened, at which a run has lasted: one that is only tolerated no
        longer keeps its series from learning, and what comes after it may be the way back.
    most_points, most_seconds: age, since it first opened, at which a run ends although it is still abnormal: what lasts
        longer is as likely a new normal as an outage, and the series learns it.
    settle_seconds: how long after that the series may go on without a new alert.
    stranger: log10 weeks by which a settling series must exceed the old peak, or the threshold if it turned to the
        other direction, to be told again.
    """

    calm_points: int = 2
    calm_seconds: int = 1_800
    cool_down_points: int = 2
    cool_down_seconds: int = 21_600
    thaw_points: int = 3
    thaw_seconds: int = 21_600
    most_points: int = 6
    most_seconds: int = 86_400
    settle_seconds: int = 604_800
    stranger: float = 1.0


def longest(cadence_seconds: int, rules: LifeRules | None = None) -> int:
    """Seconds for which a told run of a series may last before it is given up."""
    rules = rules or LifeRules()
    return max(rules.most_points * cadence_seconds, rules.most_seconds)


@dataclass(frozen=True)
class Changes:
    """What one point did to the run of each series: bool arrays (B,).

    opened: a new run began. told: its rarity reached the threshold, once a run. grew: an open run took in a further
    abnormal point. ended: it ended at this point. aged: it ended by age, still abnormal. reopened: a run that had ended
    went on.
    """

    opened: Bools
    told: Bools
    grew: Bools
    ended: Bools
    aged: Bools
    reopened: Bools

    def any(self) -> bool:
        """Whether anything changed at all."""
        return bool((self.opened | self.told | self.grew | self.ended | self.reopened).any())


def newborn(count: int, kinds: int = 0) -> Fields:
    """Runs of `count` series that never had one; `kinds` is the number of kinds of evidence of their detector.

    opened_at, told_at, last_abnormal_at, peak_at, closed_at: int64 unix seconds, 0 = never; the last abnormal point is
    that of the run, or of the settling after it. calm: int32, calm points since the last abnormal one.
    abnormal_points: int32.
    direction: int8 of the peak. peak_rarity: log10 weeks, -inf = none. peak_value, peak_expected, peak_lower,
    peak_upper: at the rarest point, the furthest off of those. peak_evidence: float32 (count, kinds). impact: sum of
    value - expected over the abnormal points. frozen: bool, must not learn. settling: bool, ended by age and not calm
    since. aged: bool, ended by age, whatever came since.
    previous_at: int64, last abnormal point of the run before. often: float64, how many runs there were before, older
    ones counting less. excused: float64, how far off was the run that somebody called normal, 0 if none.
    """
    moments = ("opened_at", "told_at", "last_abnormal_at", "peak_at", "closed_at", "previous_at")
    numbers = ("peak_value", "peak_expected", "peak_lower", "peak_upper")
    return {
        **{name: np.zeros(count, np.int64) for name in moments},
        **{name: np.full(count, np.nan) for name in numbers},
        "peak_rarity": np.full(count, -np.inf),
        "peak_evidence": np.full((count, kinds), np.nan, np.float32),
        "impact": np.zeros(count),
        "often": np.zeros(count),
        "excused": np.zeros(count),
        "calm": np.zeros(count, np.int32),
        "abnormal_points": np.zeros(count, np.int32),
        "direction": np.zeros(count, np.int8),
        "frozen": np.zeros(count, bool),
        "settling": np.zeros(count, bool),
        "aged": np.zeros(count, bool),
    }


def is_open(life: Fields) -> Bools:
    """Which series have a run going on, told or not."""
    return np.asarray((life["opened_at"] > 0) & (life["closed_at"] == 0))


def is_told(life: Fields) -> Bools:
    """Which series have an open run that people were told of."""
    return np.asarray(is_open(life) & (life["told_at"] > 0))


def let_go(life: Fields) -> Fields:
    """Series without a run, that remember of the one they had when it was and how far off."""
    fresh = newborn(len(life["opened_at"]), life["peak_evidence"].shape[1])
    fresh["previous_at"], fresh["often"] = _before(life)
    fresh["excused"] = np.nan_to_num(life["peak_value"] - life["peak_expected"])
    return fresh


def _before(life: Fields) -> tuple[Ints, Floats]:
    """When the series were last abnormal (0: never), and how many runs they had had by then."""
    ran = life["opened_at"] > 0
    return np.where(ran, life["last_abnormal_at"], life["previous_at"]), life["often"] + ran


def before_a_new_run(life: Fields, at: Ints) -> tuple[Ints, Floats]:
    """`previous_at` and `often` of runs that would open at these times."""
    last, count = _before(life)
    faded = 0.5 ** (np.maximum(at - last, 0) / OFTEN_FADES)
    return last, np.where(last > 0, count * faded, 0.0)


def goes_on(life: Fields, at: Ints, cadence: Ints, rules: LifeRules) -> Bools:
    """Which series have a run that an abnormal point at these times would belong to."""
    cool_down = np.maximum(rules.cool_down_points * cadence, rules.cool_down_seconds)
    cooling = (life["closed_at"] > 0) & ~life["settling"] & (at - life["closed_at"] < cool_down)
    return np.asarray(is_open(life) | cooling)


def frozen(life: Fields) -> Bools:
    """Which series must not learn: those with an open run that is told, or only tolerated, while it is young."""
    return np.asarray(is_open(life) & life["frozen"])


def advance(
    life: Fields,
    points: Points,
    scores: Scores,
    *,
    candidate: Floats,
    threshold_up: Floats,
    threshold_down: Floats,
    rules: LifeRules,
    untolerated: Floats | None = None,
    least_relative: Floats | float = 0.0,
    least_absolute: Floats | float = 0.0,
) -> tuple[Fields, Changes]:
    """What one judged point each makes of the runs of B series.

    candidate, threshold_up, threshold_down: log10 weeks, (B,); the rarity from which a run opens, and from which a
    rise or a fall is told. untolerated: the rarity from which it would be told without tolerance; such a run is not
    learned from either, or the way back to normal would be strange. least_relative, least_absolute: as a share of the
    series' size and in its unit, (B,) or for all; what changes less is not told, however rare. A point without a
    rarity (missing, or not judged yet) changes nothing.
    Returns the new fields and what changed; `life` itself is not touched.
    """
    judged = ~np.isnan(scores.rarity)
    threshold = np.where(scores.direction < 0, threshold_down, threshold_up)
    rare = scores.rarity >= np.minimum(candidate, threshold)
    if not (rare | is_open(life) | life["settling"]).any():
        return life, _no_changes(len(judged))  # nearly always, so it comes first
    off = _share_of_half_band(points, scores)
    abnormal = rare & ~(off < OWN_SHARE)
    rows = np.flatnonzero(abnormal | (judged & (is_open(life) | life["settling"])))
    if not len(rows):
        return life, _no_changes(len(judged))
    relative, absolute = (np.broadcast_to(least, len(judged))[rows] for least in (least_relative, least_absolute))
    sizeable = _change(life, points, scores, rows) >= least_change(scores.expected[rows], relative, absolute)
    seen = _Seen(
        at=points.timestamp[rows],
        value=points.value[rows],
        cadence=np.maximum(points.cadence[rows], 1),
        rarity=scores.rarity[rows],
        direction=scores.direction[rows],
        expected=scores.expected[rows],
        lower=scores.lower[rows],
        upper=scores.upper[rows],
        evidence=scores.evidence[rows],
        abnormal=abnormal[rows],
        tellable=abnormal[rows] & (scores.rarity >= threshold)[rows] & sizeable,
        outside=~(off < 1.0)[rows],
        far=abnormal[rows] & (scores.rarity >= threshold + rules.stranger)[rows],
        untolerated=np.full(len(rows), np.inf) if untolerated is None else untolerated[rows],
    )
    after, changed = _advance(take(life, rows), seen, rules)
    return _placed(life, rows, after, changed)


def _share_of_half_band(points: Points, scores: Scores) -> Floats:
    """How far the point itself lies off in the direction of the evidence; NaN where there is no band.

    Evidence over many points remembers an incident long after the series is back to normal. Of few events the half of
    the band below what is expected ends at none, as far off as can be. What is beyond the band is, even where what is
    expected lies beyond it too, as beyond an owner's limit.
    """
    edge = np.where(scores.direction < 0, scores.lower, scores.upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = (points.value - scores.expected) * np.abs(scores.direction) / (edge - scores.expected)
        return np.where(_is_beyond(points.value, scores.direction, edge), np.inf, off)


def _change(life: Fields, points: Points, scores: Scores, rows: Ints) -> Floats:
    """How much these series changed, in the metric's unit: by this point, or by that at the peak of its open run.

    What lasts is followed by what is expected of the next point, so its last points alone say too little. While nothing
    comes at all, what is missing adds up: of a third of an event an hour an hour's silence is no change, a week's is.
    """
    nothing = (points.value == 0) & (scores.direction < 0)
    own = np.abs(points.value - scores.expected)[rows]
    with np.errstate(invalid="ignore"):
        peak = np.abs(life["peak_value"] - life["peak_expected"])[rows]
        total = np.abs(life["impact"])[rows] / np.where(nothing[rows], 1, np.maximum(life["abnormal_points"][rows], 1))
    going_on = is_open(life)[rows] & (life["direction"] == scores.direction)[rows]
    before = np.where(going_on, np.fmax(peak, total), 0.0)
    return np.asarray(np.where(np.isnan(own), np.inf, np.maximum(own, before)))


@dataclass(frozen=True)
class _Seen:
    """The judged points of the series whose runs are concerned; arrays (R,)."""

    at: Ints
    value: Floats
    cadence: Ints
    rarity: Floats
    direction: np.ndarray
    expected: Floats
    lower: Floats
    upper: Floats
    evidence: np.ndarray
    abnormal: Bools
    tellable: Bools
    outside: Bools
    far: Bools
    untolerated: Floats

    def at_least(self, count: int, seconds: int) -> Ints:
        """The longer of so many points and so many seconds, in seconds."""
        return np.maximum(count * self.cadence, seconds)


def _advance(life: Fields, seen: _Seen, rules: LifeRules) -> tuple[Fields, Changes]:
    was_open, told_before = is_open(life), life["told_at"] > 0
    age = seen.at - life["opened_at"]
    old = age >= seen.at_least(rules.most_points, rules.most_seconds)
    cool_down = seen.at_least(rules.cool_down_points, rules.cool_down_seconds)
    cooling = ~was_open & (life["closed_at"] > 0) & ~life["settling"]
    cooling &= seen.at - life["closed_at"] < cool_down
    wakes = life["settling"] & _is_stranger(life, seen, rules)
    may_open = ~was_open & (~life["settling"] | wakes)
    lasted = life["closed_at"] - life["opened_at"] >= seen.at_least(rules.thaw_points, rules.thaw_seconds)
    goes_on = cooling & np.where(told_before, seen.tellable & seen.outside, seen.abnormal)
    goes_on &= ~(told_before & lasted & _is_way_back(life, seen))
    reopened = goes_on & ~(old & told_before)
    turned = was_open & ~told_before & seen.abnormal & (seen.direction != life["direction"])
    thawed = age >= seen.at_least(rules.thaw_points, rules.thaw_seconds)
    back = ~seen.outside | (thawed & _is_way_back(life, seen))
    echo = turned & (life["peak_rarity"] >= seen.untolerated) & back
    turned &= ~echo
    forgiven = (seen.at - life["previous_at"] < cool_down) & _is_way_back(life, seen)
    opened = (may_open & seen.abnormal & ~cooling & ~forgiven) | turned
    edge = np.where(life["direction"] < 0, seen.lower, seen.upper)
    off = seen.abnormal | (was_open & life["frozen"] & _is_beyond(seen.value, life["direction"], edge))
    grew = was_open & off & ~turned

    after = _begun(life, seen, opened, reopened)
    part = opened | reopened | grew
    after = _grown(after, seen, part)
    told = part & seen.tellable & (after["told_at"] == 0) & ~echo
    after["told_at"] = np.where(told, seen.at, after["told_at"])
    young = opened | (age < seen.at_least(rules.thaw_points, rules.thaw_seconds))
    after["frozen"] = (after["told_at"] > 0) | ((after["peak_rarity"] >= seen.untolerated) & young)
    calm_now = ~off
    after["calm"] = np.where(calm_now, after["calm"] + 1, 0).astype(np.int32)

    quiet_for = seen.at - after["last_abnormal_at"]
    calmed = calm_now & (after["calm"] >= rules.calm_points) & (quiet_for >= rules.calm_seconds)
    ended = was_open & (calmed | old)
    after["closed_at"] = np.where(ended, seen.at, after["closed_at"])
    aged = told_before & ended & ~calmed
    after["aged"] |= aged
    begins = aged | (told_before & goes_on & old)
    settled = (calmed & (quiet_for >= cool_down)) | wakes
    after["settling"] = _settles(after, seen, begins, settled, rules)
    after["last_abnormal_at"] = np.where(after["settling"] & seen.abnormal, seen.at, after["last_abnormal_at"])
    return after, Changes(opened, told, grew, ended, aged, reopened)


def _is_beyond(value: Floats, direction: np.ndarray, edge: Floats) -> Bools:
    """Where a point itself is beyond the edge of the band in that direction.

    The band of a series that does not learn stays what it was before its run; evidence may get used to what lasts.
    """
    return np.where(direction < 0, value < edge, value > edge)


def _is_way_back(life: Fields, seen: _Seen) -> Bools:
    """The other direction, and no further than what is tolerated, or was called normal, went the first way.

    What lasted has drawn the expectation after it, so to come back looks strange.
    """
    went = np.nan_to_num(life["peak_value"] - life["peak_expected"])
    went = np.where(np.abs(life["excused"]) > np.abs(went), life["excused"], went)
    return np.asarray((seen.direction * np.sign(went) < 0) & (np.abs(seen.value - seen.expected) <= np.abs(went)))


def _is_stranger(life: Fields, seen: _Seen, rules: LifeRules) -> Bools:
    """A settling series does something that the settling does not explain: far rarer, or further off the other way than
    back to where it was."""
    turned = (seen.direction != life["direction"]) & (seen.direction != 0)
    rarer = seen.tellable & (seen.rarity >= life["peak_rarity"] + rules.stranger)
    return np.asarray((rarer | (turned & seen.far)) & ~_is_way_back(life, seen))


def _settles(after: Fields, seen: _Seen, begins: Bools, stops: Bools, rules: LifeRules) -> Bools:
    lasting = after["settling"] & ~stops & (seen.at - after["closed_at"] < rules.settle_seconds)
    return np.asarray(begins | lasting)


def _begun(life: Fields, seen: _Seen, opened: Bools, reopened: Bools) -> Fields:
    """New runs where they opened, ended ones taken up where they reopened, the others as they were."""
    fresh = newborn(int(opened.sum()), life["peak_evidence"].shape[1])
    fresh["previous_at"], fresh["often"] = before_a_new_run(take(life, opened), seen.at[opened])
    fresh["excused"] = np.where(seen.at[opened] - fresh["previous_at"] < DAY, life["excused"][opened], 0.0)
    after = {name: array.copy() for name, array in life.items()}
    put(after, opened, fresh)
    after["opened_at"][opened] = seen.at[opened]
    after["closed_at"][reopened] = 0
    return after


def _grown(life: Fields, seen: _Seen, part: Bools) -> Fields:
    """The runs with this abnormal point taken in where it is `part` of one."""
    further = np.abs(seen.value - seen.expected) > np.abs(life["peak_value"] - life["peak_expected"])
    as_rare = seen.rarity == life["peak_rarity"]  # as all is beyond an owner's limit, and what is as rare as can be
    peak = part & ((seen.rarity > life["peak_rarity"]) | (as_rare & further))
    at_peak = {
        "peak_rarity": seen.rarity,
        "peak_at": seen.at,
        "peak_value": seen.value,
        "peak_expected": seen.expected,
        "peak_lower": seen.lower,
        "peak_upper": seen.upper,
        "direction": seen.direction,
    }
    grown = life | {name: np.where(peak, new, life[name]) for name, new in at_peak.items()}
    kinds = min(life["peak_evidence"].shape[1], seen.evidence.shape[1])
    evidence = life["peak_evidence"].copy()
    evidence[peak, :kinds] = seen.evidence[peak, :kinds]
    return grown | {
        "peak_evidence": evidence,
        "last_abnormal_at": np.where(part, seen.at, life["last_abnormal_at"]),
        "abnormal_points": life["abnormal_points"] + part.astype(np.int32),
        "impact": life["impact"] + np.where(part, np.nan_to_num(seen.value - seen.expected), 0.0),
    }


def _no_changes(count: int) -> Changes:
    none = np.zeros(count, bool)
    return Changes(none, none, none, none, none, none)


def _placed(life: Fields, rows: Ints, after: Fields, changed: Changes) -> tuple[Fields, Changes]:
    """The changed rows among all B series."""
    count = len(life["opened_at"])
    whole = {name: array.copy() for name, array in life.items()}
    put(whole, rows, after)

    def spread(some: Bools) -> Bools:
        everywhere = np.zeros(count, bool)
        everywhere[rows] = some
        return everywhere

    return whole, Changes(*(spread(getattr(changed, name)) for name in Changes.__dataclass_fields__))
