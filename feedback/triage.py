"""Triage: how likely a person would want to hear of a candidate, learned from what people said of earlier ones.

A logistic model over the evidence of a candidate, pooled over series, metric and all: each level adds a little to the
one above it and is drawn back to it by a Gaussian prior (Gelman and Hill 2007, chapters 14 and 18). A pure fold over
the labels that stand. It speaks in decades: by how much rarer than the alert budget asks a candidate with this evidence
must be to be told. While nobody has said anything that is 0, exactly. Rises and falls are learned apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.contract import Floats, Ints
from detectors.registry import DETECTORS
from feedback import guards
from feedback.labels import LabelEvidence, Looks, Verdict

Name = TypeVar("Name", str, int)

KINDS = tuple(dict.fromkeys(kind for detector in DETECTORS.values() for kind in detector.evidence))
"""Kinds of evidence that are learned from: all that any detector has."""

FEATURES = (
    "always",
    "rarer",
    "size",
    "outside",
    "points",
    "since",
    "scale",
    "stopped",
    *KINDS,
    "hours",
    "often",
    "morning",
    "noon",
    "weekend",
)
"""What is learned from, in the order of the columns of `features`."""

OWN = 6
"""So many of them, the first ones, a series or a metric may weigh in its own way."""

DECADE_WORTH = 2.0
"""Log odds that the first decade of rarity adds, as long as people have said nothing else."""
WORTH_TELLING = 0.4
"""Chance from which a candidate is told: whoever is told three false alarms for two real problems loses less than by
missing these two."""

WORTH = {Verdict.FALSE_ALARM: 0.0, Verdict.REAL: 1.0, Verdict.MISSED: 1.0}
"""Verdicts that say whether somebody wanted to hear of something; the others say what it was."""

DAY, HOUR = 86_400, 3_600


@dataclass(frozen=True)
class Candidates:
    """Runs of strange points as they stand at one point each; float64 (n,) unless said, times in seconds.

    rarer: decades above the threshold of the alert budget. direction: +1 or -1. evidence: (n, len(KINDS)), decades
    above that threshold that each kind alone would give, NaN where it did not speak. points: strange ones so far.
    lasted: since it opened. since: from the end of the series' run before to the start of this one, inf if there was
    none. often: runs of late, older ones fading. local: int64, wall-clock seconds.
    """

    rarer: Floats
    direction: Floats
    actual: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    evidence: Floats
    points: Floats
    lasted: Floats
    since: Floats
    often: Floats
    local: Ints


def features(of: Candidates) -> Floats:
    """What is learned from: (n, len(FEATURES)), finite, each within about -2 to 3."""
    rarer = np.clip(of.rarer, -2.0, 6.0) / 2
    with np.errstate(all="ignore"):
        off = np.abs(of.actual - of.expected)
        size = np.clip(np.log10(off / np.abs(of.expected)), -2.0, 2.0) / 2
        outside = np.clip(np.log2(2 * off / (of.upper - of.lower)), -2.0, 4.0) / 2
        scale = np.clip(np.log10(np.abs(of.expected)), -3.0, 9.0) / 6 - 0.25
        since = np.clip(np.log10(of.since / HOUR), -1.0, 3.0) - 1.0
    hour = 2 * np.pi * (of.local % DAY) / DAY
    columns = [
        np.ones_like(rarer),
        rarer,
        size,
        outside,
        np.log2(np.maximum(of.points, 1)) / 4,
        since,
        scale,
        (of.actual == 0) & (of.expected > 0),
        *(np.clip(of.evidence - of.rarer[:, None], -3.0, 3.0) / 2).T,
        np.log2(1 + np.maximum(of.lasted, 0) / HOUR) / 4,
        np.log2(1 + of.often) / 2,
        np.sin(hour) / 2,
        np.cos(hour) / 2,
        ((of.local // DAY + 3) % 7 >= 5) - 0.5,  # 1 January 1970 was a Thursday
    ]
    return np.nan_to_num(np.column_stack(columns).astype(np.float64), nan=0.0, posinf=2.0, neginf=-2.0)


def named(seen: Floats) -> dict[str, float]:
    """The features of one candidate (len(FEATURES),) by name, as they are kept."""
    return {name: round(float(each), 4) for name, each in zip(FEATURES, seen, strict=True)}


def vector(features_by_name: Mapping[str, float]) -> Floats:
    """The features of one candidate as they were kept: (len(FEATURES),), 0 for those that are not there."""
    return np.array([float(features_by_name.get(name, 0.0)) for name in FEATURES])


_SHAPE = ("size", "outside", "stopped", *KINDS)


def shape_distance(some: Floats, other: Floats, known: Container[str] = FEATURES) -> float:
    """How different the evidence of two candidates is, whenever they came and however long they lasted.

    known: features that are known of both.
    """
    compared = [FEATURES.index(name) for name in _SHAPE if name in known]
    return float(np.linalg.norm((some - other)[compared]))


@dataclass(frozen=True)
class Unanswered:
    """An anomaly that is over and that nobody said anything of. rarity: log10 weeks at its peak."""

    series_id: int
    metric: str
    direction: int
    rarity: float
    was_told: bool
    started_at: datetime
    ended_at: datetime
    looks: Looks


@dataclass(frozen=True)
class Examples:
    """What people said of candidates: arrays (n,), `seen` (n, len(FEATURES)).

    worth: 1 they wanted to hear of it, 0 not. weight: in (0, 1]. is_said: False where silence is all the answer.
    direction: int64, +1 or -1.
    """

    seen: Floats
    rarer: Floats
    worth: Floats
    weight: Floats
    is_said: NDArray[np.bool_]
    direction: Ints
    series_id: Ints
    metric: Sequence[str]


def learn(
    labels: Sequence[LabelEvidence],
    unanswered: Iterable[Unanswered],
    fading: guards.Fading,
    base_threshold: Callable[[int], float],
) -> Triage:
    """What the deciding labels of all subjects teach, and silence on what was over when somebody last spoke, a little.

    `base_threshold`: log10 weeks that the alert budget of a series, by its id, alone asks for.
    """
    said = [each for each in labels if each.verdict in WORTH and each.looks is not None and each.looks.features]
    false = [each for each in said if not WORTH[each.verdict]]
    silent = list(unanswered)
    learned = _learn(said, silent, fading, base_threshold)
    if len(false) == len(said):
        return learned
    return replace(learned, at_most=_learn(false, silent, fading, base_threshold))


def _learn(
    said: Sequence[LabelEvidence],
    unanswered: Iterable[Unanswered],
    fading: guards.Fading,
    base_threshold: Callable[[int], float],
) -> Triage:
    if not said:
        return Triage()
    newest = max(each.created_at for each in said)
    ways = {each.direction for each in said}
    over = (each for each in unanswered if each.ended_at < newest and each.direction in ways)
    silent = _not_spoken_of(over, said)
    everything: list[LabelEvidence | Unanswered] = [*said, *silent]
    looks = [each.looks for each in everything if each.looks is not None]
    told = [guards.UNANSWERED_TOLD if each.was_told else guards.UNANSWERED_UNTOLD for each in silent]
    return fit(
        Examples(
            seen=np.array([vector(each.features) for each in looks]),
            rarer=np.array([(each.rarity or 0.0) - base_threshold(each.series_id) for each in everything]),
            worth=np.array([WORTH[each.verdict] for each in said] + [0.0] * len(silent)),
            weight=np.array([fading.left(each.weight, each.created_at) * each.share for each in said] + told),
            is_said=np.arange(len(looks)) < len(said),
            direction=np.array([each.direction for each in everything], np.int64),
            series_id=np.array([each.series_id for each in everything], np.int64),
            metric=[each.metric for each in everything],
        )
    )


def _not_spoken_of(unanswered: Iterable[Unanswered], said: Sequence[LabelEvidence]) -> list[Unanswered]:
    """Those that no label of their series touches in time."""
    by_series: defaultdict[int, list[LabelEvidence]] = defaultdict(list)
    for label in said:
        by_series[label.series_id].append(label)
    return [
        each
        for each in unanswered
        if not any(
            label.started_at <= each.ended_at and label.ended_at >= each.started_at
            for label in by_series.get(each.series_id, ())
        )
    ]


@dataclass(frozen=True)
class Spread:
    """How far the weights of a level may lie from those above it: standard deviations."""

    intercept: float
    slope: float

    def precision(self, width: int) -> Floats:
        return np.array([self.intercept**-2.0] + [self.slope**-2.0] * (width - 1))


ALL, METRIC, SERIES = Spread(1.5, 1.0), Spread(0.5, 0.2), Spread(2.0, 0.8)
SWEEPS = 3  # one more changes no verdict; few also keep the weights of rare evidence small
LONGEST_STEP = 1.0
Weights = tuple[float, ...]


@dataclass(frozen=True)
class Tally:
    """Verdicts on candidates of one direction: how many were called false alarms, of how many."""

    false: int
    total: int


@dataclass(frozen=True)
class Triage:
    """What was learned: what each level adds to the log odds, by feature, and what people said; all by direction.

    at_most: what would have been learned had nobody wanted to hear of anything, which asks for the most that is asked:
    that something is wanted speaks against nothing else. None where nobody did.
    """

    everything: Mapping[int, Weights] = field(default_factory=dict)
    metrics: Mapping[tuple[str, int], Weights] = field(default_factory=dict)
    series: Mapping[tuple[int, int], Weights] = field(default_factory=dict)
    of_metric: Mapping[tuple[str, int], Tally] = field(default_factory=dict)
    of_series: Mapping[tuple[int, int], Tally] = field(default_factory=dict)
    at_most: Triage | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nobody has taught it anything."""
        return not self.everything

    def decades(self, seen: Floats, series_id: Ints, metric: Sequence[str], direction: Floats) -> Floats:
        """How much rarer than the budget asks candidates must be: (n,), negative where less will do."""
        if self.is_blank:
            return np.zeros(len(seen))
        return decades_of(-self._added(seen, series_id, metric, direction))

    def worth(self, seen: Floats, rarer: Floats, series_id: Ints, metric: Sequence[str], direction: Floats) -> Floats:
        """Chance that people want to hear of each: (n,)."""
        added = self._added(seen, series_id, metric, direction)
        return _chance(log_odds_of(rarer) + _START + added)

    def weights(self, series_id: int, metric: str, direction: int) -> Floats:
        total = np.zeros(len(FEATURES))
        total += self.everything.get(direction) or 0.0
        for own in (self.metrics.get((metric, direction)), self.series.get((series_id, direction))):
            total[:OWN] += own or 0.0
        return total

    def that_decides(self, seen: Floats, series_id: int, metric: str, direction: int) -> Triage:
        """This, or where it asks for more of a candidate (len(FEATURES),) than may be asked, what asks for that."""
        if self.at_most is None:
            return self
        added, least = (float(each.weights(series_id, metric, direction) @ seen) for each in (self, self.at_most))
        return self if added >= least else self.at_most

    def _added(self, seen: Floats, series_id: Ints, metric: Sequence[str], direction: Floats) -> Floats:
        """To the log odds of each, by what people said: (n,)."""
        if self.is_blank:
            return np.zeros(len(seen))
        who = zip(series_id.tolist(), metric, direction.tolist(), strict=True)
        weights = [self.weights(each, name, int(way)) for each, name, way in who]
        added = np.asarray(np.einsum("nf,nf->n", seen, np.array(weights).reshape(-1, len(FEATURES))))
        if self.at_most is None:
            return added
        return np.asarray(np.maximum(added, self.at_most._added(seen, series_id, metric, direction)))


_START = float(np.log(WORTH_TELLING / (1 - WORTH_TELLING)))


def log_odds_of(rarer: Floats) -> Floats:
    """What so many decades above the budget's threshold are worth, were nothing else known: each less than the last."""
    return np.asarray(DECADE_WORTH * np.sign(rarer) * np.log1p(np.abs(rarer)))


def decades_of(log_odds: Floats) -> Floats:
    """The inverse of `log_odds_of`."""
    return np.asarray(np.sign(log_odds) * np.expm1(np.minimum(np.abs(log_odds) / DECADE_WORTH, 5.0)))


def fit(examples: Examples) -> Triage:
    """The most likely weights under the priors; the same in whatever order the examples come."""
    if not examples.is_said.any():
        return Triage()
    metrics, code = np.unique(np.asarray(examples.metric), return_inverse=True)
    places = (examples.direction, code, examples.series_id)
    told_apart = np.einsum("nf,f->n", examples.seen, np.sqrt(np.arange(2, 2 + len(FEATURES))))
    order = np.lexsort((told_apart, examples.rarer, examples.weight, examples.worth, *places))
    seen, worth, weight = examples.seen[order], examples.worth[order], examples.weight[order]
    direction = examples.direction[order]
    ways, of_way = np.unique(direction, return_inverse=True)
    by_metric, of_metric = np.unique(np.stack([code[order], direction]), axis=1, return_inverse=True)
    by_series, of_series = np.unique(np.stack([examples.series_id[order], direction]), axis=1, return_inverse=True)
    levels = (
        _Level(of_way, ALL, seen),
        _Level(of_metric, METRIC, seen[:, :OWN]),
        _Level(of_series, SERIES, seen[:, :OWN]),
    )
    log_odds = log_odds_of(examples.rarer[order]) + _START
    for _ in range(SWEEPS):
        for level in levels:
            log_odds = level.improve(log_odds, worth, weight)
    said = examples.is_said[order]
    named = [(str(metrics[place]), way) for place, way in by_metric.T.tolist()]
    numbered = [(each, way) for each, way in by_series.T.tolist()]
    ways_said, worth_said = direction[said].tolist(), worth[said].tolist()
    return Triage(
        dict(zip(ways.tolist(), levels[0].learned(), strict=True)),
        dict(zip(named, levels[1].learned(), strict=True)),
        dict(zip(numbered, levels[2].learned(), strict=True)),
        _tallies(metrics[code[order][said]].tolist(), ways_said, worth_said),
        _tallies(examples.series_id[order][said].tolist(), ways_said, worth_said),
    )


def _tallies(names: Sequence[Name], direction: list[int], worth: list[float]) -> dict[tuple[Name, int], Tally]:
    keys = Counter(zip(names, direction, strict=True))
    false = Counter(key for key, wanted in zip(zip(names, direction, strict=True), worth, strict=True) if wanted < 0.5)
    return {key: Tally(false[key], total) for key, total in keys.items()}


class _Level:
    """One level of the pool: weights of its groups, improved by a damped Newton step a sweep while the others stand."""

    def __init__(self, group: Ints, spread: Spread, seen: Floats) -> None:
        self.group, self.precision = group, spread.precision(seen.shape[1])
        self.order = np.argsort(group, kind="stable")
        self.starts = np.flatnonzero(np.diff(group[self.order], prepend=-1))
        self.seen = seen[self.order]
        self.beta = np.zeros((len(self.starts), seen.shape[1]))

    def learned(self) -> list[Weights]:
        return [tuple(each) for each in self.beta.tolist()]

    def improve(self, log_odds: Floats, worth: Floats, weight: Floats) -> Floats:
        """The log odds of all examples with this level's weights improved."""
        worth, weight, diagonal = worth[self.order], weight[self.order], np.arange(len(self.precision))
        chance = _chance(log_odds[self.order])
        pull = (weight * (worth - chance))[:, None] * self.seen
        gradient = np.add.reduceat(pull, self.starts, axis=0) - self.precision * self.beta
        hessian = self._curvature(weight * np.maximum(chance * (1 - chance), 0.02))
        hessian[:, diagonal, diagonal] += self.precision
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        step /= np.maximum(np.abs(step).max(axis=1, keepdims=True) / LONGEST_STEP, 1.0)
        self.beta = self.beta + step
        improved = log_odds.copy()
        improved[self.order] += np.einsum("nf,nf->n", self.seen, step[self.group[self.order]])
        return improved

    def _curvature(self, weight: Floats) -> Floats:
        weighted = weight[:, None] * self.seen
        if len(self.starts) <= 2:  # rises and falls of all series: products of matrices, without one for each example
            groups = (np.split(each, self.starts[1:]) for each in (weighted, self.seen))
            return np.stack([some.T @ of for some, of in zip(*groups, strict=True)])
        return np.asarray(np.add.reduceat(weighted[:, :, None] * self.seen[:, None, :], self.starts, axis=0))


def _chance(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30.0, 30.0))))


FEWEST_VERDICTS = 3
CONTRIBUTES = 0.5  # log odds
TRAITS = {
    "rarer": ("how rare it is", "how ordinary it is"),
    "size": ("its large size for what was expected", "its small size for what was expected"),
    "outside": ("how far single points are off", "how close single points stay to their band"),
    "stopped": ("that nothing came at all", "that nothing came at all"),
    "points": ("how many points are strange", "how few points are strange"),
    "hours": ("how long it has lasted", "how short it is"),
    "since": ("the long calm before it", "that it comes soon after the last one"),
    "often": ("how often this series is strange", "how seldom this series is strange"),
    "morning": ("the time of day", "the time of day"),
    "noon": ("the time of day", "the time of day"),
    "weekend": ("the weekend", "the working day"),
    "step": ("how far it jumped from one point to the next", "how little it jumped from one point to the next"),
    "level": ("how far it left the level of the last hours", "how little it left the level of the last hours"),
    "run": ("how many points in a row are off to one side", "how few points in a row are off to one side"),
    "profile": ("how unusual it is at this time of the week", "how usual it is at this time of the week"),
    "day": ("how far it is from the level of the last day", "how close it is to the level of the last day"),
    "jump": ("how far the value itself jumped", "how little the value itself jumped"),
    "drift": ("how much has added up point by point", "how little has added up point by point"),
    "point": ("how far it is from what was expected", "how close it is to what was expected"),
    "silence": ("how long nothing has happened", "that something has happened"),
    "short": ("how far several points in a row are off", "how close the points before it were"),
    "above": ("how far it is above its limit", "how little it is above its limit"),
    "below": ("how far it is below its limit", "how little it is below its limit"),
}
"""What a feature says where it is high, and where it is low. Size, scale and chance have no words of their own."""


def reasons(learned: Triage, seen: Floats, series_id: int, metric: str, direction: int) -> list[str]:
    """Why a candidate (len(FEATURES),) is worth more, or less, than its rarity says, in plain sentences."""
    if learned.is_blank:
        return []
    said = _said(learned, series_id, metric, direction)
    deciding = learned.that_decides(seen, series_id, metric, direction)
    added = deciding.weights(series_id, metric, direction) * seen
    moved = float(added.sum())
    strongest = sorted((name for name in TRAITS), key=lambda name: -added[FEATURES.index(name)] * np.sign(moved))
    telling = [
        TRAITS[name][0 if seen[FEATURES.index(name)] > 0 else 1]
        for name in strongest
        if added[FEATURES.index(name)] * np.sign(moved) >= CONTRIBUTES
    ]
    if telling:
        way = "for" if moved > 0 else "against"
        said.append(f"From what people said, {' and '.join(dict.fromkeys(telling[:2]))} speaks {way} telling it.")
    return said


def _said(learned: Triage, series_id: int, metric: str, direction: int) -> list[str]:
    kind = "rises" if direction > 0 else "falls"
    own = learned.of_series.get((series_id, direction), Tally(0, 0))
    siblings = learned.of_metric.get((metric, direction), Tally(0, 0))
    if own.total >= FEWEST_VERDICTS:
        return [f"People called {own.false} of {own.total} {kind} of this series false alarms."]
    others = Tally(siblings.false - own.false, siblings.total - own.total)
    if others.total >= FEWEST_VERDICTS:
        return [f"People called {others.false} of {others.total} {kind} of its siblings false alarms."]
    return []
