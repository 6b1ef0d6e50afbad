"""Judge stretches of a past again, many side by side, by baselines that did not judge them when they happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.contract import TOGETHER, Detector, Fields, Floats, History, Ints, Points, score_in_turn, take


@dataclass(frozen=True)
class Stretches:
    """B stretches of the series of a history, each `length` columns long.

    row: int64 (B,), the series of each. first: int64 (B,), its first column; columns outside of the history are
    missing. threshold_up, threshold_down: float64 (B,), log10 weeks, as in `Points`.
    """

    row: Ints
    first: Ints
    length: int
    threshold_up: Floats
    threshold_down: Floats


@dataclass(frozen=True)
class Judgements:
    """What was said of stretches, all (B, length): float64, direction int8; NaN as in `Scores`."""

    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    direction: NDArray[np.int8]


def judge_again(
    detector: Detector, baseline: Fields, history: History, asked: Stretches, *, warm: int
) -> tuple[Judgements, Fields]:
    """Judge stretches by a baseline with a row for each series of the history, and the states after them.

    Nothing is remembered from before but what the `warm` columns ahead of each stretch teach.
    """
    rows = take(baseline, asked.row)
    return _along(detector, rows, detector.cold(asked.row.size)[1], history, asked, warm)


def go_on(
    detector: Detector,
    baseline: Fields,
    state: Fields,
    history: History,
    *,
    first: int,
    until: int | None = None,
    threshold: float = 0.0,
) -> tuple[Judgements, Fields]:
    """Judge the columns from `first` on of all series of a history, from the states that they had before them.

    until: the first column that is not judged any more, by default none. threshold: log10 weeks, as in `Points`.
    """
    series, columns = history.values.shape
    length, level = (columns if until is None else until) - first, np.full(series, threshold)
    asked = Stretches(np.arange(series), np.full(series, first), length, level, level)
    return _along(detector, baseline, state, history, asked, 0)


def expected_at(
    detector: Detector, baseline: Fields, history: History, columns: Ints, up: Floats, down: Floats
) -> tuple[Floats, Floats]:
    """What a baseline alone expects in some columns, and half the width of its band: (S, columns) each.

    As if nothing had been seen since the training, and all days were ordinary. up, down: thresholds (S,).
    """
    series = len(history.values)
    row, column = np.repeat(np.arange(series), columns.size), np.tile(columns, series)
    points = Points(
        row=row,
        timestamp=history.timestamp[column],
        local=history.local[column],
        value=np.full(row.size, np.nan),
        cadence=np.full(row.size, history.cadence, np.int64),
        frozen=np.ones(row.size, bool),
        threshold_up=up[row],
        threshold_down=down[row],
    )
    scores, _ = detector.score(points, baseline, detector.cold(row.size)[1])
    half = (scores.upper - scores.lower) / 2
    return scores.expected.reshape(series, -1), half.reshape(series, -1)


def _along(
    detector: Detector, rows: Fields, state: Fields, history: History, asked: Stretches, warm: int
) -> tuple[Judgements, Fields]:
    count, last = asked.row.size, history.values.shape[1] - 1
    said = {name: np.full((count, asked.length), np.nan) for name in ("expected", "lower", "upper", "rarity")}
    said["direction"] = np.zeros((count, asked.length), np.int8)
    together = max(1, TOGETHER // max(count, 1))
    for begin in range(-warm, asked.length, together):
        steps = np.arange(begin, min(begin + together, asked.length))
        column = (asked.first + steps[:, None]).ravel()
        row = np.tile(asked.row, steps.size)
        there = np.clip(column, 0, last)
        outside = column != there
        points = Points(
            row=np.tile(np.arange(count), steps.size),
            timestamp=history.timestamp[there] + (column - there) * history.cadence,
            local=history.local[there] + (column - there) * history.cadence,
            value=np.where(outside, np.nan, history.values[row, there]),
            cadence=np.full(row.size, history.cadence, np.int64),
            frozen=np.zeros(row.size, bool),
            threshold_up=np.tile(asked.threshold_up, steps.size),
            threshold_down=np.tile(asked.threshold_down, steps.size),
            weight=None if history.weights is None else history.weights[row, there],
            kinds_of_day=history.kinds_at(there),
        )
        scores, states = score_in_turn(detector, points, steps.size, rows, state)
        state = {name: array[-1] for name, array in states.items()}
        asked_for = steps >= 0
        for name, into in said.items():
            judged = getattr(scores, name).reshape(steps.size, count)
            into[:, steps[asked_for]] = judged[asked_for].T
    return Judgements(**said), state
