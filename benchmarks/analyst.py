"""What answers are worth: labelled real series streamed through the whole pipeline, with somebody who answers alerts.

The first half of each series is history that nobody is told of; the second half is streamed on the event clock, an
hour a POST. The analyst answers an alert once it is over, or after six hours: with a chance of 70 %, 3 % of the answers
wrong, and says a day later of half the labelled incidents that no alert touched that they were missed. The same stream
without answers is judged at the fixed threshold that would have been best for it, found in hindsight. Minutely series
are thinned to means of five minutes.

Needs a folder with `data/<set>/*.npz` and `bench/datasets.py`: --data, or LABELLED_SERIES, or ../shared beside the
project.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from rich.console import Console
from rich.table import Table

from app.alerts.rules import Delivery
from app.errors import Unconfirmed
from app.formats.contract import PostedPoints
from app.main import Heed
from app.pipeline.learn import label_alert, label_span
from app.settings import Settings
from app.store.series import SeriesIdentity, identity
from app.store.tables import Alert, Anomaly, Series
from benchmarks.accuracy import module_of
from detectors.contract import Bools, Floats, Ints
from feedback.labels import Verdict

SETS = ("aiops", "mscloud")
HOUR, DAY, WEEK = 3_600, 86_400, 604_800
THINNEST = 300
ANSWERS, MISTAKES, REPORTS = 0.7, 0.03, 0.5
PATIENCE = 6 * HOUR
SLACK_POINTS = 3
SEVERE = {"standstill": (-1, 0.0, 0.0), "flood": (1, 1.0, 3.0)}
"""Injected incidents: their direction, what the values are multiplied by, and what share of the week's largest value is
added."""
MOST_LABELLED, INJECTED_SECONDS = 3, 3 * HOUR
LABEL_STEPS = (0, 20, 50, 100, 200)
Injected = dict[tuple[str, str, int], bool]
"""Whether an incident was told, by series, kind and start."""


@dataclass(frozen=True)
class Course:
    """One labelled series: arrays (n,). spans: labelled incidents, first and last second."""

    name: str
    timestamp: Ints
    value: Floats
    spans: list[tuple[int, int]]
    cadence: int

    @property
    def half(self) -> int:
        """Where the stream begins."""
        return int(self.timestamp[len(self.timestamp) // 2])

    @property
    def late(self) -> int:
        """Where the second half of the stream begins."""
        return (self.half + int(self.timestamp[-1])) // 2

    def touched(self, start: int, end: int) -> list[int]:
        """The incidents that a span touches, or nearly."""
        slack = SLACK_POINTS * self.cadence
        return [place for place, (a, b) in enumerate(self.spans) if a - slack <= end and b + slack >= start]


@dataclass(frozen=True)
class Told:
    """A run of strange points in the streamed half. told_at: 0 if it was not told."""

    course: Course
    opened_at: int
    told_at: int
    last_at: int
    rarity: float
    direction: int = 0
    labels_before: int = 0

    @property
    def is_right(self) -> bool:
        return bool(self.course.touched(self.opened_at, self.last_at))


@dataclass(frozen=True)
class Worth:
    """How good a set of alerts is. found: incidents that an alert touched, of `incidents`."""

    right: int
    false: int
    found: int
    incidents: int

    @property
    def precision(self) -> float:
        return self.right / max(self.right + self.false, 1)

    @property
    def recall(self) -> float:
        return self.found / max(self.incidents, 1)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


@dataclass
class Run:
    """One stream through Heed: what was strange, when labels came, and which of the injected incidents were told.

    label_ms: what a label took, its receipt included. refused: labels that Heed asked to confirm, and nobody did.
    """

    runs: list[Told]
    labelled_at: list[int]
    injected_into: list[Course]
    injected: Injected
    seconds: float
    label_ms: float
    refused: int


def main(arguments: list[str] | None = None) -> int:
    """Stream the chosen sets with and without answers and print what they are worth."""
    options = _options(arguments)
    console = Console()
    if not (options.data / "bench" / "datasets.py").exists():
        console.print(f"No labelled data in {options.data}: not measured (give --data or LABELLED_SERIES).")
        return 0
    logging.disable(logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    datasets = module_of(options.data / "bench" / "datasets.py")
    for name in options.sets:
        courses = [_course(one) for one in datasets.dataset(name)]
        answered = stream(courses, seed=options.seed, inject_days=options.inject_days)
        labelled = [each.name for each in answered.injected_into]
        silent = stream(courses, seed=None, inject_into=labelled, inject_days=options.inject_days)
        _print(console, name, courses, silent, answered)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    beside = Path(__file__).resolve().parents[2] / "shared"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"among {', '.join(SETS)}; all if none is named")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LABELLED_SERIES", beside)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inject-days", type=int, default=7, help="of one severe incident each, of either kind")
    return parser.parse_args(arguments)


def _course(one: Any) -> Course:
    """A labelled series, thinned to means of five minutes if it is denser."""
    name, timestamp, value, label = one
    cadence = int(np.median(np.diff(timestamp)))
    if cadence < THINNEST:
        cell = timestamp // THINNEST
        cells, place = np.unique(cell, return_inverse=True)
        known = ~np.isnan(value)
        count = np.bincount(place[known], minlength=cells.size)
        with np.errstate(invalid="ignore"):
            value = np.bincount(place[known], value[known], minlength=cells.size) / count
        label = np.bincount(place, label, minlength=cells.size) > 0
        timestamp, cadence = cells * THINNEST, THINNEST
    return Course(name, timestamp, value, _spans(timestamp, label), cadence)


def _spans(timestamp: Ints, label: Bools) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], label.astype(np.int8), [0]])))
    pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(int(timestamp[a]), int(timestamp[b - 1])) for a, b in pairs]


def stream(
    courses: Sequence[Course], *, seed: int | None, inject_into: Sequence[str] = (), inject_days: int = 7
) -> Run:
    """All series in the order of time through a Heed of their own; `seed` is the analyst's, None if nobody answers.

    inject_into: series that get severe incidents afterwards, where no analyst says which he labelled most.
    inject_days: for so many days, for each kind of them.
    """
    begin = time.perf_counter()
    with _heed() as heed:
        analyst = Analyst(heed, courses, np.random.default_rng(seed)) if seed is not None else None
        for now, posts in _posts(courses):
            for posted, delivery in posts:
                heed.committer.submit(posted, None, delivery).result()
            if analyst:
                analyst.look(now)
        labelled_at = analyst.labelled_at if analyst else []
        seconds = time.perf_counter() - begin
        runs = runs_of(heed, courses, labelled_at)
        refused = analyst.refused if analyst else 0
        label_ms = 1_000 * analyst.seconds / max(len(labelled_at), 1) if analyst else 0.0
        names = [name for name, _ in analyst.by_series.most_common(MOST_LABELLED)] if analyst else inject_into
        injected_into = [each for each in courses if each.name in names]
        injected = inject(heed, injected_into, inject_days)
    return Run(runs, labelled_at, injected_into, injected, seconds, label_ms, refused)


@contextmanager
def _heed() -> Iterator[Heed]:
    with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
        settings = {"database_url": f"sqlite:///{folder}/heed.db", "data_dir": folder, "clock": "event"}
        with Heed(Settings.model_validate(settings | {"alerts_per_week": 1.0})) as heed:
            yield heed


def _posts(courses: Sequence[Course]) -> Iterator[tuple[int, list[tuple[PostedPoints, Delivery]]]]:
    """Hour by hour, or a day at a time while all is history: what is posted, silent history before live points."""
    series = np.repeat(np.arange(len(courses)), [len(each.timestamp) for each in courses])
    timestamp = np.concatenate([each.timestamp for each in courses])
    value = np.concatenate([each.value for each in courses])
    live = timestamp >= np.array([each.half for each in courses])[series]
    order = np.argsort(timestamp, kind="stable")
    hours = timestamp[order] // HOUR
    lively = np.unique(timestamp[live] // HOUR)
    cell = np.where(np.isin(hours, lively), hours, hours // 24 * 24 + 23)
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    identities = [_identity(each) for each in courses]
    for rows in np.split(order, starts[1:]):
        posts = []
        for wanted, delivery in ((False, Delivery.SILENT), (True, Delivery.LIVE)):
            mine = rows[live[rows] == wanted]
            if mine.size:
                posts.append((_posted(identities, series[mine], timestamp[mine], value[mine]), delivery))
        yield int(timestamp[rows[-1]]), posts


def _identity(course: Course) -> SeriesIdentity:
    return identity("labelled", {"series": course.name})


def _posted(identities: list[SeriesIdentity], series: Ints, timestamp: Ints, value: Floats) -> PostedPoints:
    return PostedPoints(identities, series.astype(np.int32), timestamp, value, np.arange(series.size), [])


class Analyst:
    """Answers alerts from the truth, now and then wrongly, and reports some of what was missed."""

    def __init__(self, heed: Heed, courses: Sequence[Course], rng: np.random.Generator) -> None:
        self.heed, self.rng = heed, rng
        self.courses = {each.name: each for each in courses}
        self.labelled_at: list[int] = []
        self.by_series: Counter[str] = Counter()
        self.seconds = 0.0
        self.refused = 0
        self._decided: set[int] = set()
        self._ends = sorted((b + DAY, each.name, (a, b)) for each in courses for a, b in each.spans if a >= each.half)

    def look(self, now: int) -> None:
        """Once an hour."""
        for anomaly, name in self._recent(now):
            is_over = anomaly.ended_at is not None or now - anomaly.started_at.timestamp() >= PATIENCE
            if is_over and anomaly.alert_id is not None and anomaly.alert_id not in self._decided:
                self._decided.add(anomaly.alert_id)
                self._answer(anomaly, self.courses[name], now)
        while self._ends and self._ends[0][0] <= now:
            _, name, span = self._ends.pop(0)
            self._report(self.courses[name], span, now)

    def _recent(self, now: int) -> list[tuple[Anomaly, str]]:
        since = datetime.fromtimestamp(now - 3 * DAY, UTC)
        query = sa.select(Anomaly, Series.dimensions).join(Series, Series.id == Anomaly.series_id)
        with self.heed.database.reading() as session:
            told = query.where(Anomaly.alert_id.is_not(None), Anomaly.last_abnormal_at >= since).order_by(Anomaly.id)
            found = [(anomaly, dimensions["series"]) for anomaly, dimensions in session.execute(told)]
        return [(each, name) for each, name in found if each.started_at.timestamp() >= self.courses[name].half]

    def _answer(self, anomaly: Anomaly, course: Course, now: int) -> None:
        if self.rng.random() >= ANSWERS:
            return
        real = bool(course.touched(*_span_of(anomaly)))
        if self.rng.random() < MISTAKES:
            real = not real
        verdict = Verdict.REAL if real else Verdict.FALSE_ALARM
        self._give(course, now, lambda: label_alert(self.heed, anomaly.alert_id or 0, verdict, **self._signed(now)))

    def _report(self, course: Course, span: tuple[int, int], now: int) -> None:
        """Half of what no alert touched, where that verdict is built."""
        touching = sa.select(Anomaly, Series).join(Series, Series.id == Anomaly.series_id)
        slack = SLACK_POINTS * course.cadence
        first, last = (datetime.fromtimestamp(each, UTC) for each in (span[0] - slack, span[1] + slack))
        with self.heed.database.reading() as session:
            within = touching.where(Anomaly.started_at <= last, Anomaly.last_abnormal_at >= first)
            mine = [row for row, series in session.execute(within) if series.dimensions["series"] == course.name]
            ids = [each.id for each in session.scalars(sa.select(Series)) if each.dimensions["series"] == course.name]
        if any(each.alert_id is not None for each in mine) or self.rng.random() >= REPORTS or not ids:
            return
        said = self._signed(now)
        self._give(course, now, lambda: label_span(self.heed, ids[0], Verdict.MISSED, start=first, end=last, **said))

    def _give(self, course: Course, now: int, label: Callable[[], object]) -> None:
        begin = time.perf_counter()
        try:
            label()
        except Unconfirmed:  # it would hide what the owner wants to hear of: nobody insists
            self.refused += 1
        else:
            self._count(course, now, begin)

    def _signed(self, now: int) -> dict[str, Any]:
        return {"author": "analyst", "source": "api", "now": datetime.fromtimestamp(now, UTC)}

    def _count(self, course: Course, now: int, begin: float) -> None:
        self.seconds += time.perf_counter() - begin
        self.labelled_at.append(now)
        self.by_series[course.name] += 1


def _span_of(anomaly: Anomaly) -> tuple[int, int]:
    return int(anomaly.started_at.timestamp()), int(anomaly.last_abnormal_at.timestamp())


def runs_of(heed: Heed, courses: Sequence[Course], labelled_at: Sequence[int] = ()) -> list[Told]:
    """All runs of the streamed half, told or not."""
    by_name = {each.name: each for each in courses}
    query = (
        sa.select(Anomaly, Series.dimensions, Alert.created_at)
        .join(Series, Series.id == Anomaly.series_id)
        .outerjoin(Alert, Alert.id == Anomaly.alert_id)
    )
    runs = []
    with heed.database.reading() as session:
        for anomaly, dimensions, told in session.execute(query):
            course, (opened_at, last_at) = by_name.get(dimensions["series"]), _span_of(anomaly)
            if course is not None and opened_at >= course.half:
                told_at = int(told.timestamp()) if anomaly.alert_id is not None else 0
                before = bisect_left(labelled_at, told_at or last_at)
                runs.append(Told(course, opened_at, told_at, last_at, anomaly.rarity, anomaly.direction, before))
    return runs


def worth_of(alerts: Sequence[Told], spans: Sequence[tuple[Course, int]]) -> Worth:
    """spans: which incidents count, by their place in their course."""
    found = {
        (each.course.name, place) for each in alerts for place in each.course.touched(each.opened_at, each.last_at)
    }
    wanted = {(course.name, place) for course, place in spans}
    right = sum(each.is_right for each in alerts)
    return Worth(right, len(alerts) - right, len(found & wanted), len(wanted))


def incidents(courses: Sequence[Course], *, late: bool = False) -> list[tuple[Course, int]]:
    """Those of the streamed half, or of its second half."""
    return [
        (course, place)
        for course in courses
        for place, (_, end) in enumerate(course.spans)
        if end >= (course.late if late else course.half)
    ]


def best_fixed(runs: Sequence[Told], spans: Sequence[tuple[Course, int]]) -> tuple[float, Worth]:
    """The threshold (log10 weeks) that gives the best F1 on these very runs, and what it gives."""
    levels = np.arange(-0.6, 6.0, 0.1)
    worths = [worth_of([each for each in runs if each.rarity >= level], spans) for level in levels]
    best = int(np.argmax([each.f1 for each in worths]))
    return float(levels[best]), worths[best]


def inject(heed: Heed, courses: Sequence[Course], days: int) -> Injected:
    """After the stream, the last week of each again and again with a severe incident a day in it: which were told.

    days: of incidents of each kind, one kind after the other. All series go on at the same time, each from the first
    of its own weeks that nobody has lived through yet, since what comes late is told late.
    """
    now = int(heed.clock.now().timestamp())
    hours: defaultdict[int, list[tuple[Course, Ints, Floats]]] = defaultdict(list)
    incidents: list[tuple[Course, str, int]] = []
    for course in courses:
        week = course.timestamp > course.timestamp[-1] - WEEK
        weeks_on = -((int(course.timestamp[week][0]) - now) // WEEK) or 1
        again = [course.timestamp[week] + (weeks_on + more) * WEEK for more in range(len(SEVERE) * days // 7 + 1)]
        timestamp, value = np.concatenate(again), np.tile(course.value[week], len(again))
        begin, largest = int(timestamp[0]), float(np.nanmax(np.abs(value)))
        for number, (kind, (_, factor, ranges)) in enumerate(SEVERE.items()):
            for day in range(days):
                start = begin + (number * days + day) * DAY + (7 + day % 5) * HOUR  # far enough for a run of its own
                hit = (timestamp >= start) & (timestamp < start + INJECTED_SECONDS)
                value[hit] = factor * value[hit] + ranges * largest
                incidents.append((course, kind, start))
        lived = timestamp < begin + len(SEVERE) * days * DAY
        for rows in np.split(np.flatnonzero(lived), np.flatnonzero(np.diff(timestamp[lived] // HOUR)) + 1):
            hours[int(timestamp[rows[0]]) // HOUR].append((course, timestamp[rows], value[rows]))
    for hour in sorted(hours):
        for course, timestamp, value in hours[hour]:
            posted = _posted([_identity(course)], np.zeros(timestamp.size, int), timestamp, value)
            heed.committer.submit(posted).result()
    runs = runs_of(heed, courses)
    return {
        (course.name, kind, start): any(
            tells_of(each, start, SEVERE[kind][0]) for each in runs if each.course is course
        )
        for course, kind, start in incidents
    }


def tells_of(run: Told, start: int, direction: int) -> bool:
    """Whether a run tells of the incident injected at `start`: not of a spike of the series itself beside it.

    An alert is as old as the newest point before those that it came of.
    """
    in_time = start <= max(run.told_at, run.opened_at) < start + 2 * INJECTED_SECONDS
    return bool(run.told_at) and in_time and run.direction == direction and run.opened_at < start + INJECTED_SECONDS


def _print(console: Console, name: str, courses: Sequence[Course], silent: Run, answered: Run) -> None:
    table = Table(title=f"{name}: {len(courses)} series, {len(answered.labelled_at)} labels")
    for column in ("alerts", "precision", "recall", "F1", "right", "false"):
        table.add_column(column, justify="left" if column == "alerts" else "right")
    told, untold = ([each for each in run.runs if each.told_at] for run in (answered, silent))
    for late, where in ((False, "whole stream"), (True, "its second half")):
        spans = incidents(courses, late=late)
        since = _since(late=late)
        kept = [each for each in silent.runs if since(each)]
        level, best = best_fixed(kept, spans)
        perfect = worth_of([each for each in kept if each.is_right], spans)
        _row(table, f"{where}: budget alone", worth_of([each for each in untold if since(each)], spans))
        _row(table, f"{where}: best fixed threshold ({level:.1f})", best)
        _row(table, f"{where}: with answers", worth_of([each for each in told if since(each)], spans))
        _row(table, f"{where}: if the same candidates were told perfectly", perfect)
    for first, last in pairwise((*LABEL_STEPS, len(answered.labelled_at) + 1)):
        if first <= len(answered.labelled_at):
            _row(table, f"after {first} to {last - 1} labels", _between(courses, answered, first, last))
    console.print(table)
    compared = answered.injected.keys() & silent.injected.keys()
    hidden = sum(silent.injected[each] and not answered.injected[each] for each in compared)
    heard = sum(answered.injected[each] for each in compared)
    console.print(
        f"Deafness: of {len(compared)} severe incidents injected into the most labelled series {heard} were told; "
        f"{sum(silent.injected[each] for each in compared)} without labels; {hidden} that were told without labels "
        f"were hidden by them."
    )
    console.print(
        f"{silent.seconds:.0f} s without answers, {answered.seconds:.0f} s with; a label took "
        f"{answered.label_ms:.0f} ms, its receipt and the learning included; "
        f"{answered.refused} were not confirmed."
    )


def _since(*, late: bool) -> Callable[[Told], bool]:
    return lambda each: (each.told_at or each.opened_at) >= (each.course.late if late else each.course.half)


def _between(courses: Sequence[Course], run: Run, first: int, last: int) -> Worth:
    """Alerts told, and incidents that ended, while there were so many labels."""
    alerts = [each for each in run.runs if each.told_at and first <= each.labels_before < last]
    spans = [
        (course, place)
        for course, place in incidents(courses)
        if first <= bisect_left(run.labelled_at, course.spans[place][1]) < last
    ]
    found = worth_of([each for each in run.runs if each.told_at], spans)
    of_alerts = worth_of(alerts, spans)
    return Worth(of_alerts.right, of_alerts.false, found.found, found.incidents)


def _row(table: Table, what: str, worth: Worth) -> None:
    figures = (f"{each:.2f}" for each in (worth.precision, worth.recall, worth.f1))
    table.add_row(what, *figures, str(worth.right), str(worth.false))


if __name__ == "__main__":
    sys.exit(main())
