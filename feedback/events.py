"""Events: what known happenings do to series, learned from the times they came before."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.contract import Bools, Detector, Fields, Floats, Ints, Points, Scores, take
from detectors.robust import mean

MOST_PARTS = 24
"""Parts of an occurrence whose effects are told apart."""
PRIOR_WEIGHT = 0.5
"""Occurrences that the siblings, or the neighbouring times of the event, count for beside a series' own."""
PRIOR_SPREAD = 0.12
"""Log ratio by which an event differs from its last time, as long as it came once: about one eighth."""
SIBLINGS_SPREAD = 0.25
SLACK_SPREADS = 2.0
MOST_SLACK = 0.45
"""Log ratio: whatever the spread, a third less than expected is more than the event explains."""
UNKNOWN_RISE, UNKNOWN_FALL = 3.0, 0.75
"""Shares of the expected by which an event that has never come may raise or lower a series: fourfold, a quarter."""
SEEN_MARGIN = 1.25
LARGEST_LOG = 5.0


@dataclass(frozen=True)
class Effect:
    """What an event does to its series, by time into it.

    series_id: int64 (S,), ascending; 0 is for series that were never in it. factor, shift: (S, B), what the expected
    is multiplied by and what is added, B equal parts of an occurrence. rise, fall: (S,), shares of that by which the
    value may lie above or below and still be explained.
    """

    series_id: Ints
    factor: Floats
    shift: Floats
    rise: Floats
    fall: Floats

    @classmethod
    def unknown(cls) -> Effect:
        """Nothing is known of it yet: the expected stays, the band is wide."""
        nothing = np.zeros((1, 1))
        return cls(np.zeros(1, np.int64), nothing + 1, nothing, np.array([UNKNOWN_RISE]), np.array([UNKNOWN_FALL]))


@dataclass(frozen=True)
class Explained:
    """What events explain of n points: arrays (n,). active: whether any takes place; else factor 1 and all others 0."""

    active: Bools
    factor: Floats
    shift: Floats
    rise: Floats
    fall: Floats

    @classmethod
    def nothing(cls, count: int) -> Explained:
        zero = np.zeros(count)
        return cls(np.zeros(count, bool), np.ones(count), zero, zero.copy(), zero.copy())

    def only(self, rows: Ints) -> Explained:
        return Explained(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def and_by(self, rows: Ints, effect: Effect, series_id: Ints, into: Floats) -> Explained:
        """With an event that takes place at these rows; series_id, and how far into it (0 to 1), of each of them."""
        at = np.searchsorted(effect.series_id, series_id)
        at = np.minimum(at, effect.series_id.size - 1)
        at = np.where(effect.series_id[at] == series_id, at, 0)
        part = np.minimum((into * effect.factor.shape[1]).astype(np.int64), effect.factor.shape[1] - 1)
        both = {name: getattr(self, name).copy() for name in self.__dataclass_fields__}
        both["active"][rows] = True
        both["factor"][rows] *= effect.factor[at, part]
        both["shift"][rows] += effect.shift[at, part]
        both["rise"][rows] = np.maximum(both["rise"][rows], effect.rise[at])
        both["fall"][rows] = np.maximum(both["fall"][rows], effect.fall[at])
        return Explained(**both)

    def unexplained(self, value: Floats, expected: Floats) -> Floats:
        """The values as they would be without the event: what the slack takes in lies on the expected."""
        centre = self._centre(expected)
        off = value - centre
        above = np.maximum(off - self.rise * np.abs(centre), 0.0)
        below = np.minimum(off + self.fall * np.abs(centre), 0.0)
        return np.where(self.active & np.isfinite(expected), expected + (above + below) / self._scale, value)

    def with_event(self, expected: Floats, lower: Floats, upper: Floats) -> tuple[Floats, Floats, Floats]:
        """Expected and band as they are with the event."""
        centre = self._centre(expected)
        low = centre - self.fall * np.abs(centre) - (expected - lower) * self._scale
        high = centre + self.rise * np.abs(centre) + (upper - expected) * self._scale
        chosen = zip((centre, low, high), (expected, lower, upper), strict=True)
        shifted, lower, upper = (np.where(self.active, new, old) for new, old in chosen)
        return shifted, lower, upper

    def _centre(self, expected: Floats) -> Floats:
        return expected * self.factor + self.shift

    @property
    def _scale(self) -> Floats:
        """Noise grows with the size."""
        return np.maximum(self.factor, 1.0)


def judge_in_events(
    detector: Detector, points: Points, baseline: Fields, state: Fields, explained: Explained
) -> tuple[Scores, Fields]:
    """As `detector.score`, with what events explain taken out of the points and put into expected and band.

    Nothing is learned of points within an event.
    """
    rows = np.flatnonzero(explained.active)
    inside = points.only(rows)
    plain, _ = detector.score(inside, baseline, take(state, rows))
    value = points.value.copy()
    value[rows] = explained.only(rows).unexplained(inside.value, plain.expected)
    scores, after = detector.score(
        replace(points, value=value, frozen=points.frozen | explained.active), baseline, state
    )
    expected, lower, upper = explained.with_event(scores.expected, scores.lower, scores.upper)
    return replace(scores, expected=expected, lower=lower, upper=upper), after


@dataclass(frozen=True)
class Seen:
    """One occurrence as S series saw it, in B equal parts: what came, and what would have come without it.

    value, usual: means of each part (S, B), NaN where either is not known.
    """

    value: Floats
    usual: Floats

    @classmethod
    def of(cls, value: Floats, usual: Floats, into: Floats, parts: int) -> Seen:
        """From points (S, N), each so far into the occurrence (N,), 0 to 1."""
        both = np.isfinite(value) & np.isfinite(usual)
        part = np.minimum((into * parts).astype(np.int64), parts - 1)
        means = [_mean_by_part(np.where(both, each, np.nan), part, parts) for each in (value, usual)]
        return cls(*means)


def _mean_by_part(values: Floats, part: Ints, parts: int) -> Floats:
    means = np.full((len(values), parts), np.nan)
    for each in np.unique(part):
        means[:, each] = mean(values[:, part == each], 1)
    return means


def learned_effect(series_id: Ints, seen: Sequence[Seen]) -> Effect | None:
    """The effect of what was seen of an event, the series pooled; None where nothing can be said.

    A series draws on its own past occurrences and, as if they were half of one, on its siblings (or, alone, on the
    neighbouring times of the event). series_id (S,), ascending.
    """
    if not seen or not series_id.size:
        return None
    value, usual = (np.stack([getattr(each, name) for each in seen]) for name in ("value", "usual"))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are wanted: they are NaN
        growing = np.logical_not(((usual <= 0) | (value < 0)).any(axis=(0, 2)))
        logs = np.clip(np.log(np.maximum(value, 0) / usual), -LARGEST_LOG, LARGEST_LOG)
        logs[:, ~growing] = np.nan
        differences = np.where(growing[None, :, None], np.nan, value - usual)
        return _effect(series_id, logs, differences)


def _effect(series_id: Ints, logs: Floats, differences: Floats) -> Effect | None:
    """logs, differences: (occurrences, S, bins), NaN where not known; a series has either."""
    count = np.isfinite(logs).sum(axis=0)
    own = np.nanmean(logs, axis=0)
    pooled = np.nanmean(logs, axis=(0, 1))
    known = np.isfinite(own).any(axis=1)
    prior = np.where(known.sum() > 2, pooled[None, :], _smoothed(own))
    drawn = (count * np.nan_to_num(own) + PRIOR_WEIGHT * prior) / (count + PRIOR_WEIGHT)
    factor = np.exp(np.nan_to_num(np.where(np.isfinite(drawn), drawn, pooled[None, :])))
    shift = np.nan_to_num(np.nanmean(differences, axis=0))
    slack = _slack(logs)
    has = known | np.isfinite(differences).any(axis=(0, 2))
    if not has.any():
        return None
    first = _pooled_row(pooled, known)
    return Effect(
        np.concatenate([[0], series_id[has]]),
        np.concatenate([first[0], factor[has]]),
        np.concatenate([np.zeros_like(first[0]), shift[has]]),
        np.concatenate([[first[1]], np.expm1(slack[has])]),
        np.concatenate([[first[2]], -np.expm1(-slack[has])]),
    )


def _pooled_row(pooled: Floats, known: Bools) -> tuple[Floats, float, float]:
    """What is believed of a series that was never in the event: factor by part, rise and fall."""
    if not known.any():
        return np.ones((1, pooled.size)), UNKNOWN_RISE, UNKNOWN_FALL
    slack = min(SLACK_SPREADS * SIBLINGS_SPREAD, MOST_SLACK)
    return np.exp(np.nan_to_num(pooled))[None, :], float(np.expm1(slack)), float(-np.expm1(-slack))


def _slack(logs: Floats) -> Floats:
    """By what log ratio each series may differ from its effect (S,): less, the more often it did the same."""
    times = np.isfinite(logs).any(axis=2).sum(axis=0)
    differs = np.nan_to_num(np.nanmean(np.nanvar(logs, axis=0), axis=1)) * times / np.maximum(times - 1, 1)
    further = np.maximum(times - 1, 0)
    spread = np.sqrt((PRIOR_SPREAD**2 + further * differs) / (1 + further))
    return np.asarray(np.minimum(SLACK_SPREADS * spread * np.sqrt(1 + 1 / np.maximum(times, 1)), MOST_SLACK))


def _smoothed(by_bin: Floats) -> Floats:
    """The mean of each part and its neighbours."""
    padded = np.pad(by_bin, ((0, 0), (1, 1)), mode="edge")
    return np.asarray(np.nanmean(np.stack([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]]), axis=0))


def widened(effect: Effect | None, series_id: Ints, begun: Seen) -> Effect:
    """The effect, for an event that was declared while it lasted: what had been seen of it by then belongs to it."""
    if effect is not None:
        return effect
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        share = begun.value / np.where(begun.usual > 0, begun.usual, np.nan)
        most, least = np.nan_to_num(np.nanmax(share, axis=1), nan=1.0), np.nan_to_num(np.nanmin(share, axis=1), nan=1.0)
    rise = np.maximum(UNKNOWN_RISE, SEEN_MARGIN * most - 1)
    fall = np.clip(1 - least / SEEN_MARGIN, UNKNOWN_FALL, 1.0)
    ones = np.ones((series_id.size + 1, 1))
    return Effect(
        np.concatenate([[0], series_id]),
        ones,
        0 * ones,
        np.concatenate([[UNKNOWN_RISE], rise]),
        np.concatenate([[UNKNOWN_FALL], fall]),
    )
