"""Which detector a series gets: the one that, on the held-out end of the series' own past, was worth its cost.

The default serves every series unless another one predicts clearly better without crying wolf more often. Detectors are
tried in the order of their cost; dear ones only while the cost budget of the training lasts, on the series with the
most to gain: those that the cheap ones predict worst, compared with how much they vary at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.contract import Bools, Detector, Floats, History, Ints
from detectors.rarity import WEEK_SECONDS
from detectors.robust import center_and_unit, mean
from detectors.trial import go_on

HELD_OUT = 0.25
MOST_HELD_OUT = 2_000  # columns; enough to tell, and scoring them one after another is what a trial costs
CLEARLY_BETTER = 0.6
"""Share of the default's errors; what only predicts somewhat better tells less of what is strange (decision 0045)."""
CLIPPED = 4.0
"""Errors are cut at so many robust units of the series: an incident must not decide."""
FALSE_ALARMS = 3.0
"""Runs of points told at a budget of one alert a week, per week, beyond which a detector does not know its errors."""
FEW_EVENTS = 5.0
OF_FEW_EVENTS = "counts"
"""The detector of every series that counts single events, once it has learned."""
COST_MS = {"basic": 0.2, "static": 0.1, "counts": 1.0, "seasonal": 0.3, "decomposed": 40.0}
"""Cost of a fit of five weeks hourly, measured by benchmarks/fit.py; a trial costs about as much again."""


@dataclass(frozen=True)
class Choice:
    """The detector of each of S series, and why, in plain words. spent_ms: what trying dear detectors has cost."""

    detector: list[str]
    reason: list[str]
    spent_ms: float = 0.0


@dataclass(frozen=True)
class Trial:
    """How a detector did on the held-out end. error: mean cut |value - expected| in robust units, (S,), inf where it
    had nothing to say. told: how often a week the rarity rose to once a week, (S,)."""

    error: Floats
    told: Floats

    def worth(self) -> Floats:
        """The error, made larger where the detector cried wolf; smaller is better."""
        return np.asarray(self.error * (1 + np.log1p(np.maximum(self.told - FALSE_ALARMS, 0.0) / FALSE_ALARMS)))


def choose(
    history: History,
    *,
    default: Detector,
    others: Sequence[Detector],
    budget_ms: float,
    cost_ms: Mapping[str, float] = COST_MS,
) -> Choice:
    """Choose for each series of the history, trying dear detectors on as many series as the budget pays for."""
    series = len(history.values)
    trials = {default.name: _tried(default, history, np.arange(series))}
    cheap = [one for one in others if cost_ms.get(one.name, np.inf) <= 1.0]
    for one in cheap:
        trials[one.name] = _tried(one, history, np.arange(series))
    countable = few_events(history.values)
    spent_ms = 0.0
    for one in sorted(set(others) - set(cheap), key=lambda dear: cost_ms.get(dear.name, np.inf)):
        affordable = int((budget_ms - spent_ms) // (2 * cost_ms.get(one.name, np.inf)))
        rows = _most_to_gain(trials[default.name], countable, affordable)
        spent_ms += len(rows) * 2 * cost_ms.get(one.name, np.inf) if len(rows) else 0.0
        trials[one.name] = _tried(one, history, rows)
    return replace(_chosen(default.name, trials, countable), spent_ms=spent_ms)


def _tried(detector: Detector, history: History, rows: Ints) -> Trial:
    """Fit on all but the end of the given series, judge the end."""
    series, columns = history.values.shape
    error, told = np.full(series, np.inf), np.zeros(series)
    held = columns - min(int(columns * HELD_OUT), MOST_HELD_OUT)
    if not len(rows) or held < 2 or held == columns:
        return Trial(error, told)
    past = history.of_series(rows).within(slice(held))
    expected, rarity = _judged(detector, past, history, rows, held)
    value = history.values[rows, held:]
    _, unit = center_and_unit(history.values[rows])
    size = np.minimum(np.abs(value - expected) / unit[:, None], CLIPPED)
    known = (~np.isnan(size)).sum(axis=1)
    spoke = known > 0.5 * (~np.isnan(value)).sum(axis=1)
    error[rows] = np.where(spoke & (known > 0), mean(size, 1), np.inf)
    weeks = (columns - held) * history.cadence / WEEK_SECONDS
    rare = rarity >= 0.0
    told[rows] = (rare[:, :1].sum(axis=1) + (rare[:, 1:] & ~rare[:, :-1]).sum(axis=1)) / weeks
    return Trial(error, told)


def _judged(detector: Detector, past: History, history: History, rows: Ints, held: int) -> tuple[Floats, Floats]:
    """What was expected of the held-out points, and how rare each was: (R, held out)."""
    said, _ = go_on(detector, *detector.fit(past), history.of_series(rows), first=held)
    return said.expected, said.rarity


def few_events(values: Floats) -> Bools:
    """Which series (S, N) count single events: whole numbers, none negative, a handful at most points."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        whole = ~((values != np.floor(values)) & known).any(axis=1) & ~(values < 0).any(axis=1)
        small = mean(np.minimum(values, 10 * FEW_EVENTS), 1) < FEW_EVENTS
        varied = (np.nan_to_num(values) != np.nan_to_num(values[:, :1])).any(axis=1)
    return np.asarray(whole & small & varied & known.any(axis=1))


def _most_to_gain(trial: Trial, countable: Bools, count: int) -> Ints:
    """The series that the default predicts worst, as many as can be afforded; counts are served otherwise."""
    error = np.where(np.isfinite(trial.error) & ~countable, trial.error, -np.inf)
    worst = np.argsort(-error, kind="stable")[: max(count, 0)]
    return np.sort(worst[error[worst] > 0])


def _chosen(default: str, trials: dict[str, Trial], countable: Bools) -> Choice:
    detectors, reasons = [], []
    worth = {name: trial.worth() for name, trial in trials.items()}
    for row in range(len(countable)):
        if countable[row] and OF_FEW_EVENTS in trials and np.isfinite(trials[OF_FEW_EVENTS].error[row]):
            detectors.append(OF_FEW_EVENTS)
            reasons.append("single events: most points count fewer than five")
            continue
        name, reason = _best({name: float(each[row]) for name, each in worth.items() if name != OF_FEW_EVENTS}, default)
        detectors.append(name)
        reasons.append(reason)
    return Choice(detectors, reasons)


def _best(worth: dict[str, float], default: str) -> tuple[str, str]:
    usual = worth[default]
    name = min(worth, key=lambda one: (worth[one], one != default))
    if not np.isfinite(usual) or usual == 0:
        return default, "the default: too little history, or nothing left to predict better"
    if name == default or worth[name] >= CLEARLY_BETTER * usual:
        return default, "the default: no other predicted the end of its past clearly better"
    return (
        name,
        f"its errors on the end of its past were {100 * (1 - worth[name] / usual):.0f} % smaller than {default}'s",
    )
