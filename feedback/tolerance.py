"""Tolerance: how much rarer than the alert budget asks an anomaly must be, for people called its like false alarms.

A pure fold over the labels that stand. Per direction there are three layers: what was learned about the series itself,
about its metric, and about everything; the widest of them counts, unless a real problem pins it down. What this and
triage ask of a single candidate together, and within which bounds, is in `hearing`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

import numpy as np

from detectors.contract import Floats, Ints
from feedback import guards, triage
from feedback.labels import EffectOn, LabelEvidence, Looks, Verdict, decisive
from feedback.triage import Triage, Unanswered

UP, DOWN = 1, -1
ALL_METRICS = ""


@dataclass(frozen=True)
class Pin:
    """A real problem that must be told again: tolerance above `decades` is taken back, by the share that it holds."""

    label_id: int
    decades: float
    hold: float
    share: float = 1.0  # of one judgement, to whoever learns from all series together

    def lowers(self, decades: float) -> float:
        return decades - self.hold * max(decades - self.decades, 0.0)


@dataclass(frozen=True)
class Share:
    """Where the tolerance of one series comes from, in decades. `total` is what counts."""

    own: float
    siblings: float
    everything: float
    total: float
    pinned_by: tuple[int, ...]


@dataclass(frozen=True)
class Lesson:
    """What the labels on one series taught about one direction.

    called: decades that false alarms alone would give; own: the same with the pins heeded. voices: how many false
    alarms that are, faded. strength: of those calls, at most 1, so that many labels on one series speak no louder to
    its siblings than one.
    """

    metric: str
    called: float
    own: float
    voices: float
    strength: float
    pins: tuple[Pin, ...]

    def against(self, ceiling: float) -> float:
        """How strongly real problems that a tolerance of `ceiling` might hide speak against any."""
        return max((pin.hold * pin.share for pin in self.pins if pin.decades < ceiling), default=0.0)


@dataclass(frozen=True)
class DirectionTolerance:
    """Tolerance against rises, or against falls. `series` holds the final tolerance of series with labels.

    furthest: by metric, the widest that false alarms on any of its series called for, in decades. voices: by metric,
    how many series have false alarms, faded; of all metrics under "".
    """

    everything: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[int, float] = field(default_factory=dict)
    lessons: Mapping[int, Lesson] = field(default_factory=dict)
    furthest: Mapping[str, float] = field(default_factory=dict)
    voices: Mapping[str, float] = field(default_factory=dict)

    def decades(self, series_id: Ints, metric: Ints, metric_names: Sequence[str]) -> Floats:
        by_metric = np.array([self._unlabelled(name) for name in metric_names] or [self.everything])
        decades = by_metric[metric] if metric_names else np.full(series_id.size, self.everything)
        if self.series:
            known = np.array(sorted(self.series), np.int64)
            place = np.minimum(np.searchsorted(known, series_id), known.size - 1)
            labelled = np.flatnonzero(known[place] == series_id)
            decades[labelled] = np.array([self.series[int(each)] for each in known])[place[labelled]]
        return decades

    def share(self, series_id: int, metric: str) -> Share:
        lesson = self.lessons.get(series_id, Lesson(metric, 0.0, 0.0, 0.0, 0.0, ()))
        siblings = self.metrics.get(metric, 0.0)
        unpinned = max(lesson.called, siblings, self.everything)
        return Share(
            own=lesson.own,
            siblings=siblings,
            everything=self.everything,
            total=self.series.get(series_id, self._unlabelled(metric)),
            pinned_by=tuple(pin.label_id for pin in lesson.pins if pin.lowers(unpinned) < unpinned),
        )

    def heard_of(self, series_id: int, metric: str) -> float:
        """How many called the like of it false alarms: each label on the series itself counts, a sibling counts once.

        Series of other metrics count a little.
        """
        siblings, all_series = self.voices.get(metric, 0.0), self.voices.get(ALL_METRICS, 0.0)
        lesson = self.lessons.get(series_id)
        own = lesson.voices - lesson.strength if lesson else 0.0
        return own + siblings + guards.OTHERS_VOICE * (all_series - siblings)

    def _unlabelled(self, metric: str) -> float:
        return max(self.metrics.get(metric, 0.0), self.everything)


@dataclass(frozen=True)
class Judgement:
    """What somebody said of one anomaly, and what its like is known by. Times: unix seconds.

    decades: of a real problem, those from which a repeat of it must be told. hold: share of that which is left of it.
    larger: how many times as far off a repeat of a false alarm may be.
    """

    is_real: bool
    direction: int
    looks: Looks
    started_at: int
    ended_at: int
    decades: float
    hold: float
    larger: float


@dataclass(frozen=True)
class Tolerances:
    """What the standing labels taught, for every series.

    judgements: by series, of anomalies whose looks are known. widened: decades more for those with a new normal.
    """

    up: DirectionTolerance = DirectionTolerance()
    down: DirectionTolerance = DirectionTolerance()
    triage: Triage = field(default_factory=Triage)
    judgements: Mapping[int, tuple[Judgement, ...]] = field(default_factory=dict)
    widened: Mapping[int, float] = field(default_factory=dict)

    @property
    def are_blank(self) -> bool:
        """Whether every candidate is told from the threshold of its series on, whatever it looks like."""
        return self.triage.is_blank and not self.judgements

    def decades(self, series_id: Ints, metric: Ints, metric_names: Sequence[str], direction: int) -> Floats:
        """Tolerance of many series against a rise (+1) or a fall (-1): float64 (n,), log10 weeks, never negative.

        series_id, metric: integers (n,); `metric[i]` is the place of that series' metric in `metric_names`.
        """
        return self._towards(direction).decades(series_id, metric, metric_names)

    def asked(self, series_id: Ints, metric: Ints, metric_names: Sequence[str], direction: int) -> Floats:
        """As `decades`, at most what may be asked in general, and wider for those with a new normal."""
        asked = np.minimum(self.decades(series_id, metric, metric_names, direction), guards.GENERAL_CEILING)
        for each, more in self.widened.items():
            asked[series_id == each] += more
        return asked

    def share(self, series_id: int, metric: str, direction: int) -> Share:
        """The tolerance of one series and where it comes from."""
        return self._towards(direction).share(series_id, metric)

    def furthest(self, metric: str, direction: int) -> float:
        """The widest that false alarms on any series of a metric called for, in decades."""
        return self._towards(direction).furthest.get(metric, 0.0)

    def heard_of(self, series_id: int, metric: str, direction: int) -> float:
        """How many called the like of it false alarms, see `DirectionTolerance.heard_of`."""
        return self._towards(direction).heard_of(series_id, metric)

    def of(self, series_id: int, metric: str, direction: int) -> float:
        """The tolerance of one series."""
        return self.share(series_id, metric, direction).total

    def _towards(self, direction: int) -> DirectionTolerance:
        return self.up if direction > 0 else self.down


def fold(
    labels: Iterable[LabelEvidence],
    now: datetime,
    base_threshold: Callable[[int], float],
    unanswered: Iterable[Unanswered] = (),
    half_life: timedelta = guards.HALF_LIFE,
) -> Tolerances:
    """What these labels teach, whatever order they came in.

    `base_threshold` is the rarity in log10 weeks that the alert budget of a series, by its id, alone asks for.
    `unanswered` are anomalies that nobody said anything of. half_life: in which labels fade.
    """
    fading = guards.Fading(now, half_life)
    teaching = (label for label in labels if label.acts_on(EffectOn.TOLERANCE))
    speaking = [label for label in decisive(teaching) if label.rarity is not None]
    up = [label for label in speaking if label.direction > 0]
    down = [label for label in speaking if label.direction < 0]
    return Tolerances(
        _fold_direction(up, fading, base_threshold),
        _fold_direction(down, fading, base_threshold),
        triage.learn(speaking, unanswered, fading, base_threshold),
        _judgements(speaking, fading, base_threshold),
    )


def _judgements(
    labels: Sequence[LabelEvidence], fading: guards.Fading, base_threshold: Callable[[int], float]
) -> dict[int, tuple[Judgement, ...]]:
    by_series: defaultdict[int, list[Judgement]] = defaultdict(list)
    for label in labels:
        if label.looks is None or label.verdict not in triage.WORTH:
            continue
        by_series[label.series_id].append(
            Judgement(
                is_real=bool(triage.WORTH[label.verdict]),
                direction=label.direction,
                looks=label.looks,
                started_at=int(label.started_at.timestamp()),
                ended_at=int(label.ended_at.timestamp()),
                decades=max(guards.pin(label.rarity or 0.0) - base_threshold(label.series_id), -guards.MOST_LOWERED),
                hold=guards.hold(fading.left(label.weight, label.created_at)),
                larger=guards.GROWING_LARGER if label.was_growing else guards.LARGER,
            )
        )
    return {series: tuple(each) for series, each in by_series.items()}


def _fold_direction(
    labels: Sequence[LabelEvidence], fading: guards.Fading, base_threshold: Callable[[int], float]
) -> DirectionTolerance:
    by_series: defaultdict[int, list[LabelEvidence]] = defaultdict(list)
    for label in labels:
        by_series[label.series_id].append(label)
    lessons = {series: _lesson(mine, fading, base_threshold(series)) for series, mine in by_series.items()}
    by_metric: defaultdict[str, list[Lesson]] = defaultdict(list)
    for lesson in lessons.values():
        by_metric[lesson.metric].append(lesson)
    metrics = {metric: _pooled(each, guards.SIBLING_STEP, guards.SIBLING_CEILING) for metric, each in by_metric.items()}
    everything = _pooled(list(lessons.values()), guards.OTHERS_STEP, guards.OTHERS_CEILING)
    series = {
        series: _pinned(max(lesson.own, metrics[lesson.metric], everything), lesson.pins)
        for series, lesson in lessons.items()
    }
    furthest = {metric: max(lesson.own for lesson in each) for metric, each in by_metric.items()}
    voices = {metric: sum(sorted(lesson.strength for lesson in each)) for metric, each in by_metric.items()}
    voices[ALL_METRICS] = sum(sorted(lesson.strength for lesson in lessons.values()))
    return DirectionTolerance(everything, metrics, series, lessons, furthest, voices)


def _lesson(labels: Sequence[LabelEvidence], fading: guards.Fading, base_threshold: float) -> Lesson:
    calls, pins, strengths, voices = [], [], [], []
    for label in labels:
        left = fading.left(label.weight, label.created_at)
        rarity = label.rarity or 0.0
        if label.verdict is Verdict.FALSE_ALARM:
            silenced = guards.reach(rarity, growing=label.was_growing) - base_threshold
            calls.append((guards.bounded(silenced), left))
            strengths.append(left * label.share)
            voices.append(left)
        elif label.verdict is Verdict.REAL or (label.verdict is Verdict.MISSED and rarity >= base_threshold):
            told = guards.bounded(guards.pin(rarity) - base_threshold)
            pins.append(Pin(label.label_id, told, guards.hold(left), label.share))
    called = _furthest(calls)
    strength = min(1.0, sum(sorted(strengths)))
    return Lesson(labels[0].metric, called, _pinned(called, pins), sum(sorted(voices)), strength, tuple(pins))


def _furthest(calls: Iterable[tuple[float, float]]) -> float:
    """The widest tolerance that the calls (decades, strength) support: a wide call also speaks for less."""
    widest_first = sorted(calls, reverse=True)
    support = accumulate(left for _, left in widest_first)
    return max((decades * guards.hold(s) for (decades, _), s in zip(widest_first, support, strict=True)), default=0.0)


def _pinned(decades: float, pins: Iterable[Pin]) -> float:
    return min((pin.lowers(decades) for pin in pins), default=decades)


def _pooled(lessons: Sequence[Lesson], step: float, ceiling: float) -> float:
    """What series without labels learn: a step for each series that agrees, at most what is usual among those."""
    agreeing = [(lesson.own, lesson.strength) for lesson in lessons if lesson.strength > 0]
    votes = sum(strength for _, strength in agreeing)
    if not votes:
        return 0.0
    usual = sum(own * strength for own, strength in agreeing) / votes
    against = sum(lesson.against(ceiling) for lesson in lessons)
    return guards.bounded(min(step * (votes - against), usual), ceiling)
