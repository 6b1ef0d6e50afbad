"""Does "one alert a week" mean one alert a week? Clean series of eight cadences and several kinds, judged causally.

The rate of alerts on series with nothing wrong should lie between half and one and a half times the budget. Beside it
the power to tell drops of several sizes and lengths on hourly series with 5 % noise, at one false alarm in four weeks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.signal import lfilter

from app.backtest import Recorded, replay
from detectors.choice import OF_FEW_EVENTS
from detectors.contract import Floats, Ints
from detectors.registry import DETECTORS

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800
START = 1_699_833_600  # a Monday
COURSES = (
    (MINUTE, 3, 1, 8),
    (5 * MINUTE, 4, 3, 20),
    (15 * MINUTE, 5, 4, 20),
    (30 * MINUTE, 5, 8, 20),
    (HOUR, 5, 10, 40),
    (6 * HOUR, 8, 20, 40),
    (12 * HOUR, 16, 40, 40),
    (DAY, 26, 80, 40),
)
"""Cadence, weeks of silent history, weeks judged, series."""
KINDS_COURSE = (HOUR, 5, 6, 24)
BUDGETS = (1.0, 0.25)
PROMISED = (0.5, 1.5)
"""Least and most alerts a week that clean series give at the first budget."""
DROPS = ((0.3, 3), (0.15, 24), (0.1, 10), (0.06, 10))
"""Shares by which the value falls, and for how many hours."""


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; 1 where the rate of a clean series is not what was asked for, and a sentence on which."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="seasonal", choices=sorted(DETECTORS))
    detector = parser.parse_args(arguments).detector
    console = Console()
    cadences = {_spoken(course[0]): _rates(clean, course, detector) for course in COURSES}
    console.print(_table(f"Alerts a week of `{detector}` on clean series, by budget", "cadence", cadences))
    kinds = {name: _rates(kind, KINDS_COURSE, detector) for name, kind in KINDS.items()}
    kinds |= {f"{name}, by `{OF_FEW_EVENTS}`": _rates(kind, KINDS_COURSE, OF_FEW_EVENTS) for name, kind in FEW.items()}
    console.print(_table("The same on hourly series of other kinds", "kind", kinds))
    console.print(_power(detector))
    least, most = PROMISED
    missed = [name for name, rates in (cadences | kinds).items() if not least <= rates[0] <= most]
    if missed:
        console.print(f"At a budget of one a week, outside of {least} to {most}: {'; '.join(missed)}.")
    return 1 if missed else 0


def _table(title: str, what: str, rates: Mapping[str, Sequence[float]]) -> Table:
    table = Table(title=title)
    table.add_column(what)
    for budget in BUDGETS:
        table.add_column(f"budget {budget:g}", justify="right")
    for name, each in rates.items():
        table.add_row(name, *(f"{rate:.2f}" for rate in each))
    return table


def _rates(kind: Callable[[Ints, int], Floats], course: tuple[int, int, int, int], detector: str) -> list[float]:
    return [alert_rate(kind, course, budget, detector) for budget in BUDGETS]


def _spoken(cadence: int) -> str:
    for unit, seconds in (("d", DAY), ("h", HOUR)):
        if cadence % seconds == 0:
            return f"{cadence // seconds} {unit}"
    return f"{cadence // MINUTE} min"


def alert_rate(
    kind: Callable[[Ints, int], Floats], course: tuple[int, int, int, int], budget: float, detector: str
) -> float:
    """Alerts a week and series at a budget of so many, on series of this kind with nothing wrong.

    course: cadence, weeks of silent history, weeks judged, series.
    """
    cadence, history, judged, series = course
    timestamp = np.arange(START, START + (history + judged) * WEEK, cadence)
    recorded = [Recorded(str(seed), timestamp, kind(timestamp, seed)) for seed in range(series)]
    replayed = replay(recorded, alerts_per_week=budget, train_until=START + history * WEEK, detector=detector)
    return sum(int(one.alert.sum()) for one in replayed) / (series * judged)


def clean(timestamp: Ints, seed: int) -> Floats:
    """A daily wave, quieter weekends and 5 % noise."""
    return _usual(timestamp) * (1 + 0.05 * _noise(timestamp, seed))


def _usual(timestamp: Ints) -> Floats:
    weekend = (timestamp // DAY + 3) % 7 >= 5
    return np.asarray(100 + 30 * np.sin(2 * np.pi * (timestamp % DAY) / DAY) - 15 * weekend)


def _noise(timestamp: Ints, seed: int, carried: float = 0.0) -> Floats:
    """Standard normal noise, of which each point carries a share of the one before."""
    fresh = np.random.default_rng(seed).standard_normal(len(timestamp)) * np.sqrt(1 - carried**2)
    return np.asarray(lfilter([1.0], [1.0, -carried], fresh))


def _grown(by: float) -> Callable[[Ints, int], Floats]:
    return lambda timestamp, seed: clean(timestamp, seed) * (1 + by) ** ((timestamp - START) / WEEK)


def _lognormal(sigma: float) -> Callable[[Ints, int], Floats]:
    return lambda timestamp, seed: np.exp(
        4 + 1.5 * np.sin(2 * np.pi * (timestamp % DAY) / DAY) + sigma * _noise(timestamp, seed)
    )


def carrying(share: float) -> Callable[[Ints, int], Floats]:
    return lambda timestamp, seed: _usual(timestamp) * (1 + 0.05 * _noise(timestamp, seed, share))


def _of_one_size(timestamp: Ints, seed: int) -> Floats:
    return _usual(timestamp) + 5 * _noise(timestamp, seed)


def _counts(mean: float) -> Callable[[Ints, int], Floats]:
    return lambda timestamp, seed: (
        np.random.default_rng(seed).poisson(mean / 100 * _usual(timestamp)).astype(np.float64)
    )


KINDS: dict[str, Callable[[Ints, int], Floats]] = {
    "noise of one size": _of_one_size,
    "counts of about 100": _counts(100.0),
    "2 % more a week": _grown(0.02),
    "5 % more a week": _grown(0.05),
    "10 % more a week": _grown(0.1),
    "5 % less a week": _grown(-0.05),
    "lognormal, 0.15": _lognormal(0.15),
    "lognormal, 0.4": _lognormal(0.4),
    "noise that carries over by half": carrying(0.5),
    "noise that carries over by 80 %": carrying(0.8),
}
FEW: dict[str, Callable[[Ints, int], Floats]] = {
    "about 3 events an hour": _counts(3.0),
    "about one event in 3 hours": _counts(0.3),
}
"""What training gives to the detector of single events."""


def _power(detector: str) -> Table:
    table = Table(title="Drops on hourly series with 5 % noise, told while they last, budget 0.25 a week")
    for title in ("drop", "hours", "told"):
        table.add_column(title, justify="right")
    for drop, hours in DROPS:
        table.add_row(f"{drop:.0%}", str(hours), f"{told(drop, hours, detector):.1%}")
    return table


def told(drop: float, hours: int, detector: str) -> float:
    """Share of injected drops that are told before they are over."""
    series, history = 120, 5 * WEEK
    timestamp = np.arange(START, START + history + WEEK, HOUR)
    rng = np.random.default_rng(11)
    recorded, begins = [], []
    for seed in range(series):
        begin = history // HOUR + int(rng.integers(12, 140))
        value = clean(timestamp, 1_000 + seed)
        value[begin : begin + hours] *= 1 - drop
        recorded.append(Recorded(str(seed), timestamp, value))
        begins.append(begin)
    replayed = replay(recorded, alerts_per_week=0.25, train_until=START + history, detector=detector)
    heard = [one.anomalous[begin : begin + hours].any() for one, begin in zip(replayed, begins, strict=True)]
    return float(np.mean(heard))


if __name__ == "__main__":
    sys.exit(main())
