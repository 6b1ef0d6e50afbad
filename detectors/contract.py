"""What a detector is: fit many series at once, then judge one point each of many series.

Arrays only. A detector has no clock, does no I/O and keeps nothing between calls: what it learned and what it
remembers are `Fields`, a struct of arrays whose first axis is the series, owned by whoever calls.

Two kinds of fields:

* the *baseline* is what `fit` learned: it changes only when a series is trained, and is a versioned thing;
* the *state* is what `score` remembers from point to point (a level, the last residual, a few running sums).

Rarity is the return period of the evidence in weeks, kept as its base-10 logarithm: 0 is once a week, 1 once in ten
weeks, -1 ten times a week. It is comparable between any two series and any two detectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Fields = dict[str, NDArray[Any]]
"""A struct of arrays: every array's first axis is the series."""
TOGETHER = 8_192
"""Points that are worth judging in one call of `score_in_turn`."""
HUGE = float(np.finfo(np.float64).max)
"""As far as numbers go: what is said of a series is never infinite."""


@dataclass(frozen=True)
class History:
    """The stored past of S series of one cadence and one time zone, on a common grid of N steps.

    values: float64 (S, N), NaN where a point is missing or must not be learned from.
    timestamp: int64 (N,), unix seconds of each column, rising by `cadence`.
    local: int64 (N,), the same instants as wall-clock seconds in the series' zone (unix seconds + UTC offset).
    cadence: seconds between two columns.
    weights: float64 (S, N), for ratios: the number of events behind each value, NaN where it was not given; None if
        none was.
    kinds_of_day: int64 (N, families), what kinds of days the columns lie on, as `detectors.days` numbers them; None
        where nobody tells: then neither holidays nor places in the month are learned.
    kin: int64 (S,), the same for series of one metric, which learn from each other what holidays do; None where each
        stands alone.
    """

    values: Floats
    timestamp: Ints
    local: Ints
    cadence: int
    weights: Floats | None = None
    kinds_of_day: Ints | None = None
    kin: Ints | None = None

    def of_series(self, rows: Ints | Bools | slice) -> History:
        """The same of some series only."""
        return replace(
            self,
            values=self.values[rows],
            weights=None if self.weights is None else self.weights[rows],
            kin=None if self.kin is None else self.kin[rows],
        )

    def within(self, columns: slice) -> History:
        """The same in some columns only."""
        return replace(
            self,
            values=self.values[:, columns],
            timestamp=self.timestamp[columns],
            local=self.local[columns],
            weights=None if self.weights is None else self.weights[:, columns],
            kinds_of_day=None if self.kinds_of_day is None else self.kinds_of_day[columns],
        )

    def kinds_at(self, columns: Ints) -> Ints | None:
        """What kinds of days some columns lie on, a row each."""
        return None if self.kinds_of_day is None else self.kinds_of_day[columns]


@dataclass(frozen=True)
class Points:
    """One point each of B different series, with what the series is told about it. All arrays have shape (B,).

    row: int64, where the series' row lies in the baseline fields.
    timestamp: int64 unix seconds; later than any earlier point of that series.
    local: int64 wall-clock seconds in the series' zone.
    value: float64; NaN is a point known to be missing.
    cadence: int64 seconds, 0 where it is not known yet.
    frozen: bool; True while the series has an open anomaly, whose points must not be learned.
    threshold_up, threshold_down: float64, log10 weeks; the rarity from which a rise, or a fall, is abnormal.
        They decide only how wide the reported band is.
    weight: float64, for ratios: the number of events behind the value, NaN where it was not given; None if none was.
    kinds_of_day: int64 (B, families), as in `History`; None where nobody tells.
    """

    row: Ints
    timestamp: Ints
    local: Ints
    value: Floats
    cadence: Ints
    frozen: Bools
    threshold_up: Floats
    threshold_down: Floats
    weight: Floats | None = None
    kinds_of_day: Ints | None = None

    def only(self, rows: Ints | Bools | slice) -> Points:
        """The same of some of the series."""
        return Points(**{name: column[rows] for name, column in vars(self).items() if column is not None})


@dataclass(frozen=True)
class Scores:
    """The judgement of one point each of B series. All arrays have shape (B,) unless said.

    None is infinite; NaN in any of a series that was trained and whose point is there makes the series fall back.

    expected, lower, upper: float64, in the series' unit; NaN where the detector cannot say yet. A single point outside
        [lower, upper] is about as rare as the threshold; evidence gathered over several points may alert inside it.
    rarity: float64, log10 of the return period in weeks of the evidence at this point; NaN where it cannot be judged.
    direction: int8, +1 where the evidence says "too high", -1 "too low", 0 none.
    evidence: float32 (B, K), the rarity that each kind of evidence alone would have given, in the order of
        `Detector.evidence`; NaN where that kind did not speak.
    """

    expected: Floats
    lower: Floats
    upper: Floats
    rarity: Floats
    direction: NDArray[np.int8]
    evidence: NDArray[np.float32]

    def only(self, rows: Ints | slice) -> Scores:
        """The same of some of the series."""
        return Scores(**{name: column[rows] for name, column in vars(self).items()})


class Detector(Protocol):
    """A way to say what is strange. A new one costs one file and one line in `registry.py`."""

    name: str
    version: int  # raised when the meaning of the fields changes; old baselines are then retrained
    evidence: tuple[str, ...]  # names of the kinds of evidence, for the columns of `Scores.evidence`

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Baseline and state of `count` series of which nothing is known yet."""
        ...

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Baseline of the S series of `history`, and the state they would have had after its last point.

        Never raises on bad values: a series that cannot be fitted gets the cold fields. The baseline's field `trained`,
        bool (S,), says which series were fitted.
        """
        ...

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Judge each point against what was known before it, then learn from it: the new state.

        `baseline` holds all series and is read through `points.row`; `state` holds just the B series of this call, in
        their order. Neither is changed.
        """
        ...


@runtime_checkable
class InTurn(Protocol):
    """A detector that has a faster way to judge several points of each series one after the other."""

    def score_in_turn(self, points: Points, steps: int, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """What `score_in_turn` of this module returns."""
        ...


def score_in_turn(
    detector: Detector, points: Points, steps: int, baseline: Fields, state: Fields
) -> tuple[Scores, Fields]:
    """Judge `steps` points each of B series in the order of their time, as `score` would one after the other.

    points: those of the first step, then those of the second, and so on: arrays of steps * B. `frozen` is given, so it
    can't depend on what is found on the way. Returns the scores in the same order, and the states after each step,
    (steps, B) each.
    """
    if isinstance(detector, InTurn):
        return detector.score_in_turn(points, steps, baseline, state)
    series = len(points.row) // steps
    scores, states = [], []
    for step in range(steps):
        judged, state = detector.score(points.only(slice(step * series, (step + 1) * series)), baseline, state)
        scores.append(judged)
        states.append(state)
    together = Scores(**{name: np.concatenate([getattr(one, name) for one in scores]) for name in vars(scores[0])})
    return together, {name: np.stack([one[name] for one in states]) for name in states[0]}


def take(fields: Mapping[str, NDArray[Any]], rows: Ints | Bools) -> Fields:
    """A copy of the given rows of every field."""
    return {name: array[rows] for name, array in fields.items()}


def put(fields: Fields, rows: Ints | Bools, new: Mapping[str, NDArray[Any]]) -> None:
    """Write `new` into the given rows, in place."""
    for name, array in new.items():
        fields[name][rows] = array
