"""What training and judging cost: Heed's detectors beside statsmodels' STL and MSTL, in the same run.

Training: series of five weeks, hourly, with a daily and a weekly pattern. Judging: one point each of many series at
once, as a batch of 10,000 points and as bulk.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from statsmodels.tsa.seasonal import MSTL, STL

from detectors.contract import Detector, Floats, History, Ints, Points
from detectors.registry import DETECTORS

SERIES, HOURS, HOUR, DAY = 256, 5 * 168, 3_600, 86_400
START = 1_699_833_600  # a Monday
BATCHES = (10_000, 100_000)


def main() -> int:
    """Print two tables: training, and judging."""
    console = Console()
    values = _values(SERIES)
    console.print(_training(values))
    console.print(_judging(values))
    return 0


def _values(series: int) -> Floats:
    rng = np.random.default_rng(1)
    timestamp = _times()
    weekend = (timestamp // DAY + 3) % 7 >= 5
    usual = 100 + 30 * np.sin(2 * np.pi * (timestamp % DAY) / DAY) - 15 * weekend
    return np.asarray(usual * (1 + 0.05 * rng.standard_normal((series, HOURS))))


def _times() -> Ints:
    return START + np.arange(HOURS, dtype=np.int64) * HOUR


def _history(values: Floats) -> History:
    return History(values, _times(), _times(), HOUR)


def _training(values: Floats) -> Table:
    table = Table(title=f"Training on {HOURS} hourly points")
    table.add_column("what")
    table.add_column("series at once", justify="right")
    table.add_column("ms a series", justify="right")
    for detector in DETECTORS.values():
        for count in (1, SERIES):
            history = _history(values[:count])
            seconds = _fastest(lambda fit=detector.fit, history=history: fit(history))  # type: ignore[misc]
            table.add_row(f"heed {detector.name}", str(count), f"{1e3 * seconds / count:.3f}")
    for name, seconds in _peers(values[0]).items():
        table.add_row(name, "1", f"{1e3 * seconds:,.1f}")
    return table


def _peers(value: Floats) -> dict[str, float]:
    """Seconds a fit of the decompositions that a Python user would reach for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "statsmodels STL, daily": _fastest(lambda: STL(value, period=24, robust=True).fit(), repeats=2),
            "statsmodels STL, weekly": _fastest(lambda: STL(value, period=168, robust=True).fit(), repeats=2),
            "statsmodels MSTL": _fastest(lambda: MSTL(value, periods=(24, 168)).fit(), repeats=2),
        }


def _judging(values: Floats) -> Table:
    table = Table(title="Judging one point of each series")
    for column in ("what", "points a call", "points a second", "µs a point"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for detector in DETECTORS.values():
        for count in (1, *BATCHES):
            seconds = _scoring_seconds(detector, values, count)
            table.add_row(
                f"heed {detector.name}", f"{count:,}", f"{count / seconds:,.0f}", f"{1e6 * seconds / count:.3f}"
            )
    return table


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
    return _fastest(lambda: detector.score(points, baseline, states), repeats=20)


def _fastest(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the quickest of several runs: the least disturbed one."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
