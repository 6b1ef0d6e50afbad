"""How often Heed is right on labelled real series: default settings, one configuration and one threshold for all.

Needs a folder with `data/<set>/*.npz` and `bench/{datasets,scores}.py`: --data, or LABELLED_SERIES, or ../shared
beside the project. Every verdict comes from a causal replay. Scores are taken on the second half of each series; on
the nab set, on what follows its probation.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from app.alerts.life import LifeRules
from app.backtest import Recorded, Replayed, replay
from benchmarks.chosen import Chosen
from detectors import registry
from detectors.contract import Bools, Detector, Fields, Floats, History, Points, Scores, score_in_turn

SETS = ("mscloud", "aiops", "nab")
LOWEST = 10.0
"""Added to the rarity (log10 weeks), so that all scores are positive, which is what `recall_at` searches."""
DELAY_POINTS = 7
NAB_THRESHOLDS = np.arange(-1.0, 4.0, 0.1)
FINER = 400
"""Thresholds tried beside the 80 that `recall_at` tries by itself, which may miss the best by two or three spans."""
TIMED = "timed"
CHOSEN = "chosen"
"""Not one detector, but for each series the one that did best on its own past."""


@dataclass(frozen=True)
class Course:
    """One labelled series and what was said about it. score: rarity + LOWEST, 0 where it was not judged."""

    name: str
    cadence: int
    label: Bools
    score: Floats
    alert: Bools
    scored_from: int

    @property
    def scored(self) -> slice:
        """The part that figures are taken on."""
        return slice(self.scored_from, None)


@dataclass(frozen=True)
class Measured:
    """One set: figures as text, by column."""

    name: str
    figures: dict[str, str]


class Timed:
    """The same detector, which keeps how many series it has fitted, and the seconds that took."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.name, self.version, self.evidence = detector.name, detector.version, detector.evidence
        self.fitted, self.seconds = 0, 0.0

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """The detector's own."""
        return self.detector.cold(count)

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """The detector's own, timed."""
        begin = time.perf_counter()
        fitted = self.detector.fit(history)
        self.seconds += time.perf_counter() - begin
        self.fitted += len(history.values)
        return fitted

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """The detector's own."""
        return self.detector.score(points, baseline, state)

    def score_in_turn(self, points: Points, steps: int, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """The detector's own, in its faster way if it has one."""
        return score_in_turn(self.detector, points, steps, baseline, state)


def main(arguments: list[str] | None = None) -> int:
    """Measure the chosen sets and print one table; exits 0 with a word where the shared data is absent."""
    options = _options(arguments)
    console = Console()
    folder: Path = options.data
    if not (folder / "bench" / "scores.py").exists():
        console.print(f"No labelled data in {folder}: accuracy is not measured (give --data or LABELLED_SERIES).")
        return 0
    datasets, scores = (module_of(folder / "bench" / f"{name}.py") for name in ("datasets", "scores"))
    chosen = _choice_of_all()
    if options.detector == CHOSEN:
        registry.DETECTORS[CHOSEN] = chosen
    measured = [_measure(name, one, datasets, scores, options) for name in options.sets for one in _compared(options)]
    console.print(_table(measured, options))
    if chosen.counted:
        console.print("Choices made:", ", ".join(f"{name} {count}" for name, count in chosen.counted.most_common()))
    return 0


def _choice_of_all() -> Chosen:
    """As in service: the default against every other that is registered."""
    return Chosen(registry.get("seasonal"), [each for name, each in registry.DETECTORS.items() if name != "seasonal"])


def _compared(options: argparse.Namespace) -> list[str]:
    """The choice is measured beside the default, which it must be worth more than."""
    return [CHOSEN, "seasonal"] if options.detector == CHOSEN else [options.detector]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    beside = Path(__file__).resolve().parents[2] / "shared"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"among {', '.join(SETS)}; all if none is named")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LABELLED_SERIES", beside)))
    parser.add_argument("--detector", default="seasonal", choices=[*sorted(registry.DETECTORS), CHOSEN])
    parser.add_argument("--alerts-per-week", type=float, default=1.0)
    parser.add_argument("--series", type=int, default=None, help="only so many of each set, for a quick look")
    return parser.parse_args(arguments)


def module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shared_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _measure(
    name: str, detector: str, datasets: ModuleType, scores: ModuleType, options: argparse.Namespace
) -> Measured:
    labelled = _spread_out(list(datasets.dataset(name)), options.series)
    recorded = [Recorded(one.name, one.timestamp, one.value) for one in labelled]
    timed = registry.DETECTORS[TIMED] = Timed(registry.get(detector))
    begin = time.perf_counter()
    replayed = replay(recorded, alerts_per_week=options.alerts_per_week, detector=TIMED)
    seconds = time.perf_counter() - begin
    courses = [_course(name, one, judged) for one, judged in zip(labelled, replayed, strict=True)]
    figures = _recall(courses, scores) | _default_flag(courses, scores)
    if name == "nab" and any(course.label.any() for course in courses):
        figures |= _nab(courses, scores)
    if name == "aiops":
        figures |= _delay(courses, scores)
    points = sum(len(course.label) for course in courses)
    figures |= {
        "µs a point, but for fits": f"{1e6 * (seconds - timed.seconds) / points:.1f}",
        "ms a fit of one series": f"{1e3 * timed.seconds / max(timed.fitted, 1):.2f}",
    }
    return Measured(f"{name} ({len(courses)} series), {detector}", figures)


def _spread_out(labelled: list[Any], count: int | None) -> list[Any]:
    """So many of them, from the whole length of the list."""
    if count is None or count >= len(labelled):
        return labelled
    return [labelled[index] for index in np.linspace(0, len(labelled) - 1, count).astype(int)]


def _course(set_name: str, one: Any, judged: Replayed) -> Course:
    count = len(one.label)
    return Course(
        name=one.name,
        cadence=one.cadence,
        label=one.label,
        score=np.nan_to_num(np.maximum(judged.rarity + LOWEST, 0.0)),
        alert=judged.alert,
        scored_from=min(int(0.15 * count), 750) if set_name == "nab" else count // 2,
    )


def _recall(courses: list[Course], scores: ModuleType) -> dict[str, str]:
    """Share of labelled segments found at one false alarm a series and week, one threshold for the set."""
    judged = (
        [course.score[course.scored] for course in courses],
        [course.label[course.scored] for course in courses],
        [course.cadence for course in courses],
    )
    recall, precision, threshold = scores.recall_at(*judged)
    return {
        "recall at 1 false a week": f"{recall:.3f}",
        "the same, of finer thresholds": f"{scores.recall_at(*judged, tries=FINER)[0]:.3f}",
        "precision at the first": f"{precision:.2f}",
        "its threshold, log10 weeks": f"{threshold - LOWEST:.2f}",
    }


def _default_flag(courses: list[Course], scores: ModuleType) -> dict[str, str]:
    """What the alerts themselves are worth, nothing chosen by hand."""
    counts = np.array(
        [
            scores.episode_counts(np.flatnonzero(course.alert[course.scored]), course.label[course.scored])
            for course in courses
        ]
    )
    segments = sum(len(scores.segments(course.label[course.scored])) for course in courses)
    weeks = sum(len(course.label[course.scored]) * course.cadence for course in courses) / 604_800
    _, false, missed = counts.sum(axis=0)
    return {
        "default alerts: recall": f"{(segments - missed) / max(segments, 1):.2f}",
        "default alerts: false a week": f"{false / weeks:.2f}",
    }


def _nab(courses: list[Course], scores: ModuleType) -> dict[str, str]:
    """NAB's standard profile with alerts' first points as the detections, at the best threshold for the set.

    Beside it that of the alerts that default settings make, and that of every point, as NAB itself takes them.
    """
    labels = [course.label for course in courses]

    def worth(detections: list[Floats]) -> float:
        return float(scores.nab_score(detections, labels)[0])

    by_threshold = [[_first_points(course, threshold) for course in courses] for threshold in NAB_THRESHOLDS]
    return {
        "NAB, alerts' first points": f"{max(worth(first) for first in by_threshold):.1f}",
        "NAB, default alerts": f"{worth([course.alert.astype(np.float64) for course in courses]):.1f}",
        "NAB, every point": f"{worth([course.score for course in courses]):.1f}",
    }


def _first_points(course: Course, threshold: float) -> Floats:
    """1 at the first point of each alert at this threshold, log10 weeks: as in service, a run that comes back before
    its cool-down is over is the same alert."""
    rules = LifeRules()
    calm = max(rules.calm_points * course.cadence, rules.calm_seconds)
    cool_down = max(rules.cool_down_points * course.cadence, rules.cool_down_seconds)
    rare = np.flatnonzero(course.score >= threshold + LOWEST)
    pauses = np.diff(rare, prepend=-len(course.score)) * course.cadence
    first = np.zeros(len(course.score))
    first[rare[pauses > calm + cool_down]] = 1.0
    return first


def _delay(courses: list[Course], scores: ModuleType) -> dict[str, str]:
    """Best F1 of one threshold where a segment counts only if told within its first k points."""
    best = 0.0
    for threshold in np.arange(LOWEST - 1.0, LOWEST + 6.0, 0.1):
        counted = np.array(
            [
                scores.delay_f1(course.score[course.scored] >= threshold, course.label[course.scored], DELAY_POINTS)
                for course in courses
            ]
        ).sum(axis=0)
        best = max(best, scores.f1(*counted.tolist()))
    return {f"delay F1, k = {DELAY_POINTS}": f"{best:.3f}"}


def _table(measured: list[Measured], options: argparse.Namespace) -> Table:
    table = Table(title=f"Accuracy, causal, at {options.alerts_per_week:g} alerts a week")
    table.add_column("figure")
    for one in measured:
        table.add_column(one.name, justify="right")
    for figure in dict.fromkeys(name for one in measured for name in one.figures):
        table.add_row(figure, *(one.figures.get(figure, "") for one in measured))
    return table


if __name__ == "__main__":
    sys.exit(main())
