"""History sent to a Heed in silence and learned at once, so that it need not wait two weeks to know a series."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from app.clock import wall_now
from app.history import History
from app.local_server import LocalServer, client_of, is_ready
from app.security import Scope
from app.settings import PREFIX, Settings, own_url
from app.store.database import Database
from app.store.migrate import upgrade
from app.store.tokens import ensure_admin, issue, revoke

POINTS_PER_REQUEST = 20_000
REASONS_SHOWN = 5
TRAINING_TIMEOUT_SECONDS = 3600.0
UNLIMITED = 2**31 - 1
"""New series that an import may bring: whoever can run it owns the database anyway."""


class ImportRefused(Exception):
    """An answer that stops the import; the text says the cure."""


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
        progress.add_task("learning", total=None)
        retrain = {"matcher": {}, "reason": "history imported"}
        _check(client.post("/v1/retrains", json=retrain, timeout=TRAINING_TIMEOUT_SECONDS))
    return _total(reports, len(history.series))


def send_calendar(client: httpx.Client, calendar: bytes, about: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Have the events of an .ics file taken in; the server's answer."""
    headers = {"Content-Type": "text/calendar"}
    answer: dict[str, Any] = _check(client.post("/v1/events/import", content=calendar, params=about, headers=headers))
    return answer


@contextmanager
def own_heed(settings: Settings, console: Console) -> Iterator[httpx.Client]:
    """Speaks to the Heed of these settings: the one that runs, or one that is started just for this.

    Only a server ever writes points, so an import can't meet one in the database.
    """
    database = Database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
        with (
            _passing_token(database, settings, console) as token,
            _running(settings) as url,
            client_of(url, token) as client,
        ):
            yield client
    finally:
        database.close()


@contextmanager
def _passing_token(database: Database, settings: Settings, console: Console) -> Iterator[str]:
    """A token that is revoked afterwards. An installation's first admin token is made first, and shown, if need be."""
    limit = settings.new_series_per_token
    chosen = settings.admin_token.get_secret_value() if settings.admin_token else None
    with database.writing() as session:
        admin = ensure_admin(session, chosen=chosen, new_series_limit=limit, now=wall_now())
        row, token = issue(session, name="heed import", scope=Scope.OPS, new_series_limit=UNLIMITED, now=wall_now())
    if admin:
        console.print(f"This is a new installation. Its admin token, shown only now: {admin}", soft_wrap=True)
    try:
        yield token
    finally:
        with database.writing() as session:
            revoke(session, row.id, wall_now())


@contextmanager
def _running(settings: Settings) -> Iterator[str]:
    """The URL of the server of these settings."""
    url = own_url(settings.host, settings.port)
    if is_ready(url):
        yield url
        return
    environment = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    with (
        tempfile.TemporaryDirectory(prefix="heed-import-") as folder,
        LocalServer(environment, log=Path(folder) / "serve.log") as server,
    ):
        yield server.url


def _send(client: httpx.Client, history: History, first: int, end: int) -> ImportReport:
    answer = client.post("/v1/points", params={"alert": "silent"}, json=_columnar(history, first, end))
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY and "rejected" in answer.json():
        return _report({"accepted": 0, "duplicates": 0, **answer.json()})
    return _report(_check(answer))


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


def _check(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = "it gave no reason"
    raise ImportRefused(f"The server refused ({answer.status_code}): {detail}")
