"""History sent to a Heed in silence and learned at once, so that it need not wait two weeks to know a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from app.history import History
from app.local_server import retrained
from app.own_server import ServerRefused, checked

POINTS_PER_REQUEST = 20_000
REASONS_SHOWN = 5


@dataclass(frozen=True)
class ImportReport:
    """What became of the points, as the server answered."""

    accepted: int
    duplicates: int
    rejected: int
    reasons: tuple[str, ...]
    series: int


def run_import(client: httpx.Client, history: History, console: Console) -> ImportReport:
    """Send all points in order of time, then have the server learn from them. Shows how far it is."""
    edges = [*range(0, len(history.timestamp), POINTS_PER_REQUEST), len(history.timestamp)]
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        sending = progress.add_task("points", total=len(history.timestamp))
        reports = []
        for first, end in pairwise(edges):
            reports.append(_send(client, history, first, end))
            progress.update(sending, completed=end)
        learning = progress.add_task("series", total=None)
        retrain = checked(client.post("/v1/retrains", json={"reason": "history imported"}))
        show = partial(_show, progress, learning)
        if (ended := retrained(client, retrain["id"], show=show)) != "done":
            raise ServerRefused(f"The points are stored. Learning from them has {ended}: see GET /v1/retrains.")
    return _total(reports, len(history.series))


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def send_calendar(client: httpx.Client, calendar: bytes, about: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Have the events of an .ics file taken in; the server's answer."""
    headers = {"Content-Type": "text/calendar"}
    answer: dict[str, Any] = checked(client.post("/v1/events/import", content=calendar, params=about, headers=headers))
    return answer


def _send(client: httpx.Client, history: History, first: int, end: int) -> ImportReport:
    answer = client.post("/v1/points", params={"alert": "silent"}, json=_columnar(history, first, end))
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY and "rejected" in answer.json():
        return _report({"accepted": 0, "duplicates": 0, **answer.json()})
    return _report(checked(answer))


def _report(answer: dict[str, Any]) -> ImportReport:
    reasons = dict.fromkeys(rejection["reason"] for rejection in answer["rejected"])
    return ImportReport(answer["accepted"], answer["duplicates"], len(answer["rejected"]), tuple(reasons), series=0)


def _total(reports: Sequence[ImportReport], series: int) -> ImportReport:
    reasons = dict.fromkeys(reason for report in reports for reason in report.reasons)
    return ImportReport(
        accepted=sum(report.accepted for report in reports),
        duplicates=sum(report.duplicates for report in reports),
        rejected=sum(report.rejected for report in reports),
        reasons=tuple(reasons)[:REASONS_SHOWN],
        series=series,
    )


def _columnar(history: History, first: int, end: int) -> dict[str, Any]:
    """The request for the points from `first` up to, not including, `end`."""
    which = history.which[first:end]
    order = np.argsort(which, kind="stable")
    bounds = np.flatnonzero(np.diff(which[order], prepend=-1, append=-1))
    return {"series": [_series(history, first + order[a:b]) for a, b in pairwise(bounds.tolist())]}


def _series(history: History, points: NDArray[np.int64]) -> dict[str, Any]:
    metric, dimensions = history.series[int(history.which[points[0]])]
    values, weights = (_with_nulls(column[points]) for column in (history.value, history.weight))
    return {
        "metric": metric,
        "dimensions": dict(dimensions),
        "timestamps": history.timestamp[points].tolist(),
        "values": values,
        "weights": weights if any(weight is not None for weight in weights) else None,
    }


def _with_nulls(numbers: NDArray[np.float64]) -> list[float | None]:
    return [None if number != number else number for number in numbers.tolist()]
