"""Does "one alert a week" mean one alert a week? Clean seasonal series of six cadences, judged causally.

The rate of alerts on series with nothing wrong should lie between half and one and a half times the budget. Beside it
the power to tell a drop of 30 % for 3 hours on hourly series with 5 % noise, at one false alarm in four weeks.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from app.backtest import Recorded, replay
from detectors.contract import Floats, Ints
from detectors.registry import DETECTORS

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800
START = 1_699_833_600  # a Monday
COURSES = ((MINUTE, 3, 1, 8), (5 * MINUTE, 4, 3, 20), (30 * MINUTE, 5, 8, 20), (HOUR, 5, 10, 40), (6 * HOUR, 8, 20, 40))
"""Cadence, weeks of silent history, weeks judged, series."""
DAILY = (DAY, 26, 80, 40)
BUDGETS = (1.0, 0.25)
DROP, DROP_HOURS = 0.3, 3


def main(arguments: list[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="seasonal", choices=sorted(DETECTORS))
    detector = parser.parse_args(arguments).detector
    console = Console()
    console.print(_calibration(detector))
    console.print(_power(detector))
    return 0


def _calibration(detector: str) -> Table:
    table = Table(title=f"Alerts a week of `{detector}` on clean series, by budget")
    table.add_column("cadence")
    for budget in BUDGETS:
        table.add_column(f"budget {budget:g}", justify="right")
    for cadence, history, judged, series in (*COURSES, DAILY):
        rates = [_alert_rate(cadence, history, judged, series, budget, detector) for budget in BUDGETS]
        table.add_row(_spoken(cadence), *(f"{rate:.2f}" for rate in rates))
    return table


def _spoken(cadence: int) -> str:
    for unit, seconds in (("d", DAY), ("h", HOUR)):
        if cadence % seconds == 0:
            return f"{cadence // seconds} {unit}"
    return f"{cadence // MINUTE} min"


def _alert_rate(cadence: int, history: int, judged: int, series: int, budget: float, detector: str) -> float:
    timestamp = np.arange(START, START + (history + judged) * WEEK, cadence)
    recorded = [Recorded(str(seed), timestamp, _clean(timestamp, seed)) for seed in range(series)]
    replayed = replay(recorded, alerts_per_week=budget, train_until=START + history * WEEK, detector=detector)
    return sum(int(one.alert.sum()) for one in replayed) / (series * judged)


def _clean(timestamp: Ints, seed: int) -> Floats:
    """A daily wave, quieter weekends and 5 % noise."""
    weekend = (timestamp // DAY + 3) % 7 >= 5
    usual = 100 + 30 * np.sin(2 * np.pi * (timestamp % DAY) / DAY) - 15 * weekend
    return np.asarray(usual * (1 + 0.05 * np.random.default_rng(seed).standard_normal(len(timestamp))))


def _power(detector: str) -> Table:
    """Share of injected drops that are told before they are over."""
    series, history = 120, 5 * WEEK
    timestamp = np.arange(START, START + history + WEEK, HOUR)
    rng = np.random.default_rng(11)
    recorded, begins = [], []
    for seed in range(series):
        begin = history // HOUR + int(rng.integers(12, 156))
        value = _clean(timestamp, 1_000 + seed)
        value[begin : begin + DROP_HOURS] *= 1 - DROP
        recorded.append(Recorded(str(seed), timestamp, value))
        begins.append(begin)
    replayed = replay(recorded, alerts_per_week=0.25, train_until=START + history, detector=detector)
    told = [one.anomalous[begin : begin + DROP_HOURS].any() for one, begin in zip(replayed, begins, strict=True)]
    table = Table(title=f"Drops of {DROP:.0%} for {DROP_HOURS} hours, hourly, 5 % noise, budget 0.25 a week")
    table.add_column("series", justify="right")
    table.add_column("told in time", justify="right")
    table.add_row(str(series), f"{np.mean(told):.1%}")
    return table


if __name__ == "__main__":
    sys.exit(main())
