"""What the check-suite and other tests build detectors' input from: series, histories, points, and a run over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, Points, Scores
from detectors.days import kinds_of_day

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
START = 1_699_833_600  # Monday, 13 November 2023, 00:00 UTC


def times(count: int, cadence: int = HOUR, start: int = START) -> Ints:
    """Unix seconds of so many points."""
    return start + np.arange(count, dtype=np.int64) * cadence


def seasonal_values(timestamp: Ints, series: int, seed: int = 1, noise: float = 0.05) -> Floats:
    """Clean seasonal series about 100 with 5 % noise: a daily wave and quieter weekends, (series, n)."""
    rng = np.random.default_rng(seed)
    weekend = (timestamp // DAY + 3) % 7 >= 5
    usual = 100 + 30 * np.sin(2 * np.pi * (timestamp % DAY) / DAY) - 15 * weekend
    return np.asarray(usual * (1 + noise * rng.standard_normal((series, len(timestamp)))))


def history(
    values: Floats,
    cadence: int = HOUR,
    start: int = START,
    *,
    weights: Floats | None = None,
    country: str | None = None,
) -> History:
    """A history in UTC. country: None where nobody tells the kinds of days, "" where no holidays are known."""
    timestamp = times(values.shape[1], cadence, start)
    kinds = None if country is None else kinds_of_day(timestamp, country)
    return History(values, timestamp, timestamp, cadence, weights, kinds)


def points(
    timestamp: int,
    value: Floats,
    *,
    cadence: int = HOUR,
    frozen: Bools | None = None,
    weight: Floats | None = None,
    country: str | None = None,
) -> Points:
    """One point each of all series, in UTC, at a budget of one alert a week."""
    count = len(value)
    at, nothing = np.full(count, timestamp, np.int64), np.zeros(count)
    return Points(
        row=np.arange(count),
        timestamp=at,
        local=at,
        value=value,
        cadence=np.full(count, cadence, np.int64),
        frozen=np.zeros(count, bool) if frozen is None else frozen,
        threshold_up=nothing,
        threshold_down=nothing,
        weight=weight,
        kinds_of_day=None if country is None else kinds_of_day(at, country),
    )


@dataclass(frozen=True)
class Judged:
    """Scores of n points of B series, arrays (n, B), and the state after the last."""

    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    direction: np.ndarray
    evidence: np.ndarray
    state: Fields


def judge(
    detector: Detector,
    baseline: Fields,
    state: Fields,
    timestamp: Ints,
    values: Floats,
    *,
    cadence: int = HOUR,
    frozen: Bools | None = None,
    weights: Floats | None = None,
    country: str | None = None,
) -> Judged:
    """Score (B, n) values, perhaps of (B, n) weights, point by point; `frozen` is (n,) for all series alike."""
    each: list[Scores] = []
    for step, at in enumerate(timestamp.tolist()):
        held = np.full(len(values), bool(frozen[step])) if frozen is not None else None
        weight = None if weights is None else weights[:, step]
        here = points(at, values[:, step], cadence=cadence, frozen=held, weight=weight, country=country)
        scores, state = detector.score(here, baseline, state)
        each.append(scores)
    stacked = {field.name: np.array([getattr(scores, field.name) for scores in each]) for field in fields(Scores)}
    return Judged(**stacked, state=state)


def episodes(abnormal: Sequence[bool] | Bools) -> int:
    """Runs of True, those at most three points apart joined."""
    index = np.flatnonzero(np.asarray(abnormal))
    return int(len(index) > 0) + int((np.diff(index) > 3).sum())
