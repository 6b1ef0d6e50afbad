"""What training and judging cost: Heed's detectors beside libraries that one would reach for, in the same run.

Training: series of five weeks, hourly, with a daily and a weekly pattern. Judging: one point each of many series at
once, as a batch of 10,000 points and as bulk. Of the other libraries those are measured that are installed beside Heed
(`pip install prophet river`); they know one series at a time. A row is printed as soon as it is measured.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from detectors.choice import COST_MS
from detectors.contract import Detector, Floats, History, Ints, Points
from detectors.registry import DETECTORS

SERIES, HOURS, HOUR, DAY = 256, 5 * 168, 3_600, 86_400
FEW_SERIES, DEAR_MS = 4, 10.0
"""Detectors whose fit costs more than so many ms are trained on few series at once."""
START = 1_699_833_600  # a Monday
BATCHES = (1, 10_000, 100_000)
LONGEST_SECONDS = 2.0
"""Runs are repeated for so long, to find the least disturbed one."""
AHEAD = 168


@dataclass(frozen=True)
class Cost:
    """Seconds of a fit of one series, and of a point's judgement; None where there is nothing to be timed."""

    fit: float
    point: float | None


def main() -> int:
    """Print rows of training, of judging, and of other libraries."""
    values = _values(SERIES)
    _print(f"Training on {HOURS} hourly points", "series at once", "ms a series")
    for detector in DETECTORS.values():
        for count in (1, _at_once(detector)):
            seconds = _fit_seconds(detector, values[:count])
            _print(f"heed {detector.name}", f"{count}", f"{1e3 * seconds / count:.3f}")
    _print("Judging one point of each series", "points a call", "points a second", "µs a point")
    for detector in DETECTORS.values():
        for count in BATCHES:
            seconds = _scoring_seconds(detector, values[: _at_once(detector)], count)
            _print(f"heed {detector.name}", f"{count:,}", f"{count / seconds:,.0f}", f"{1e6 * seconds / count:.3f}")
    _print("Other libraries, one series", "ms a fit", "µs a point")
    for peer in PEERS:
        _print(peer.name, *_columns(peer, values[0]))
    return 0


def _print(name: str, *columns: str) -> None:
    print(f"{name:<40}" + "".join(f"{column:>18}" for column in columns), flush=True)


def _at_once(detector: Detector) -> int:
    return SERIES if COST_MS.get(detector.name, 0.0) <= DEAR_MS else FEW_SERIES


def _values(series: int) -> Floats:
    rng = np.random.default_rng(1)
    timestamp = _times()
    weekend = (timestamp // DAY + 3) % 7 >= 5
    usual = 100 + 30 * np.sin(2 * np.pi * (timestamp % DAY) / DAY) - 15 * weekend
    return np.asarray(usual * (1 + 0.05 * rng.standard_normal((series, HOURS))))


def _times(count: int = HOURS) -> Ints:
    return START + np.arange(count, dtype=np.int64) * HOUR


def _history(values: Floats) -> History:
    return History(values, _times(), _times(), HOUR)


def _fit_seconds(detector: Detector, values: Floats) -> float:
    history = _history(values)
    return _fastest(lambda: detector.fit(history))


def _scoring_seconds(detector: Detector, values: Floats, count: int) -> float:
    baseline, state = detector.fit(_history(values))
    row = np.arange(count, dtype=np.int64) % len(values)
    states = {name: array[row] for name, array in state.items()}
    at = np.full(count, START + HOURS * HOUR, np.int64)
    threshold = np.zeros(count)
    points = Points(
        row=row,
        timestamp=at,
        local=at,
        value=values[row, -168],
        cadence=np.full(count, HOUR, np.int64),
        frozen=np.zeros(count, bool),
        threshold_up=threshold,
        threshold_down=threshold,
    )
    return _fastest(lambda: detector.score(points, baseline, states))


@dataclass(frozen=True)
class Peer:
    """Another library. module: by which it is known whether it is installed. cost: of a series (N,)."""

    name: str
    module: str
    cost: Callable[[Floats], Cost] | None


def _columns(peer: Peer, value: Floats) -> tuple[str, ...]:
    if peer.cost is None:
        return ("not installed", "needs numpy 1")
    if find_spec(peer.module) is None:
        return ("not installed",)
    logging.disable(logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cost = peer.cost(value)
    return f"{1e3 * cost.fit:,.1f}", "fits again" if cost.point is None else f"{1e6 * cost.point:,.1f}"


def _stl(period: int) -> Callable[[Floats], Cost]:
    def cost(value: Floats) -> Cost:
        from statsmodels.tsa.seasonal import STL

        return Cost(_fastest(lambda: STL(value, period=period, robust=True).fit(), most=2), None)

    return cost


def _mstl(value: Floats) -> Cost:
    from statsmodels.tsa.seasonal import MSTL

    return Cost(_fastest(lambda: MSTL(value, periods=(24, 168)).fit(), most=2), None)


def _prophet(value: Floats) -> Cost:
    """A point's share of a forecast of a week with its interval."""
    import pandas
    from prophet import Prophet  # type: ignore[import-not-found]

    def at(seconds: Ints) -> Any:
        return pandas.to_datetime(seconds, unit="s")

    past = pandas.DataFrame({"ds": at(_times()), "y": value})
    ahead = pandas.DataFrame({"ds": at(_times(HOURS + AHEAD)[HOURS:])})
    model = Prophet().fit(past)
    return Cost(_fastest(lambda: Prophet().fit(past), most=3), _fastest(lambda: model.predict(ahead), most=3) / AHEAD)


def _river(value: Floats) -> Cost:
    """Half-space trees, which learn from point to point: a fit is to learn the past."""
    from river.anomaly import HalfSpaceTrees  # type: ignore[import-not-found]
    from river.compose import Pipeline  # type: ignore[import-not-found]
    from river.preprocessing import MinMaxScaler  # type: ignore[import-not-found]

    each = [{"value": one, "hour": float(hour % 24)} for hour, one in enumerate(value.tolist())]

    def learned() -> Any:
        model = Pipeline(MinMaxScaler(), HalfSpaceTrees(seed=1))
        for one in each:
            model.learn_one(one)
        return model

    def judge() -> None:
        for one in each[:AHEAD]:
            model.score_one(one)
            model.learn_one(one)

    model = learned()
    return Cost(_fastest(learned, most=3), _fastest(judge, most=3) / AHEAD)


PEERS = (
    Peer("statsmodels STL, daily", "statsmodels", _stl(24)),
    Peer("statsmodels STL, weekly", "statsmodels", _stl(168)),
    Peer("statsmodels MSTL", "statsmodels", _mstl),
    Peer("prophet", "prophet", _prophet),
    Peer("river, half-space trees", "river", _river),
    Peer("luminaire", "luminaire", None),
)


def _fastest(work: Callable[[], object], most: int = 20) -> float:
    """Seconds of the quickest of several runs: the least disturbed one."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < most and sum(seconds) < LONGEST_SECONDS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
