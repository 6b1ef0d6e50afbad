"""What Heed would have said: a causal replay of recorded series, from files or from arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from app.backtest.replay import Progressed, Recorded, Replayed, replay
from app.backtest.tables import Table, UnreadableTable, read_table, write_table
from detectors.calendar import DAY
from detectors.choice import OF_FEW_EVENTS, few_events
from detectors.contract import Bools
from detectors.training import LEARNING_DAYS

__all__ = ["BacktestSummary", "Recorded", "Replayed", "TableSummary", "UnreadableTable", "backtest", "replay"]

WEEK_SECONDS = 604_800
JUDGEMENTS = ("expected", "lower", "upper", "rarity", "direction", "anomalous", "alert")
SLACK_POINTS = 3
"""An alert counts as right if it starts in a labelled segment or so many points beside it."""


@dataclass(frozen=True)
class Verified:
    """How the alerts of a labelled series compare with its labels, over its judged part."""

    segments: int
    found: int
    false_alarms: int


@dataclass(frozen=True)
class TableSummary:
    """What became of one file. output: where its judged rows were written, None if nowhere."""

    path: Path
    output: Path | None
    points: int
    judged_weeks: float
    alerts: int
    verified: Verified | None
    remarks: tuple[str, ...]

    @property
    def alerts_per_week(self) -> float:
        """Alerts a week over the judged part; 0 where nothing was judged."""
        return self.alerts / self.judged_weeks if self.judged_weeks else 0.0


@dataclass(frozen=True)
class BacktestSummary:
    """All files of one backtest."""

    tables: tuple[TableSummary, ...]

    @property
    def alerts(self) -> int:
        """Alerts over all files."""
        return sum(table.alerts for table in self.tables)

    @property
    def alerts_per_week(self) -> float:
        """Alerts a series and week over all files."""
        weeks = sum(table.judged_weeks for table in self.tables)
        return self.alerts / weeks if weeks else 0.0

    @property
    def verified(self) -> Verified | None:
        """Segments, found ones and false alarms over all labelled files; None if none is labelled."""
        known = [table.verified for table in self.tables if table.verified]
        if not known:
            return None
        return Verified(*(sum(getattr(one, name) for one in known) for name in Verified.__dataclass_fields__))


def backtest(
    paths: Sequence[Path],
    output: Path | None = None,
    *,
    alerts_per_week: float = 1.0,
    timezone: str = "UTC",
    country: str = "",
    train_until: int | None = None,
    train_fraction: float | None = None,
    progress: Progressed | None = None,
) -> BacktestSummary:
    """Replay CSV files causally and write `output`/<same name> for each; without `output` only the summary is made.

    timezone: in which days are counted, and times that name none are read.
    country: whose public holidays count, ISO 3166 such as DE or DE-BY; none where it is empty.
    train_until: unix seconds; train_fraction: 0 to 1 of the rows. Points before are learned from, not judged.
    Raises UnreadableTable.
    """
    tables = [read_table(Path(path), ZoneInfo(timezone)) for path in paths]
    targets = _targets([table.path for table in tables], output)
    asked = partial(replay, alerts_per_week=alerts_per_week, timezone=timezone, country=country)
    replayed = asked(
        [table.recorded for table in tables],
        train_until=train_until,
        train_fraction=train_fraction,
        progress=progress,
    )
    replayed = [_counted(judged, table.recorded, asked) for judged, table in zip(replayed, tables, strict=True)]
    summaries = []
    for table, judged, target in zip(tables, replayed, targets, strict=True):
        if target:
            write_table(table, judged, target)
        summaries.append(_summary(table, judged, target))
    return BacktestSummary(tuple(summaries))


def _counted(judged: Replayed, one: Recorded, asked: Callable[..., list[Replayed]]) -> Replayed:
    """Judged anew, once it has learned, by the detector that training gives to what counts single events."""
    start = max(judged.judged_from, int(np.searchsorted(one.timestamp, one.timestamp[:1] + LEARNING_DAYS * DAY).sum()))
    if start >= len(one.timestamp) or not few_events(one.value[None, :start])[0]:
        return judged
    [counted] = asked([one], train_until=int(one.timestamp[start]), detector=OF_FEW_EVENTS)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(judged, name)[:start], getattr(counted, name)[start:]]) for name in JUDGEMENTS
    }
    return replace(judged, **joined)


def _targets(paths: Sequence[Path], output: Path | None) -> list[Path | None]:
    """Where each file's rows go: under its own name, numbered where two share one."""
    if output is None:
        return [None] * len(paths)
    targets: list[Path | None] = []
    for path in paths:
        target, number = output / path.name, 2
        while target in targets:
            target, number = output / f"{path.stem}-{number}{path.suffix}", number + 1
        if target.exists() and target.samefile(path):
            raise UnreadableTable(f"{target} would be overwritten by its own backtest; give another --output")
        targets.append(target)
    return targets


def _summary(table: Table, judged: Replayed, target: Path | None) -> TableSummary:
    start, times = judged.judged_from, judged.timestamp
    seconds = float(times[-1] - times[start]) if start < len(times) else 0.0
    return TableSummary(
        path=table.path,
        output=target,
        points=len(times),
        judged_weeks=seconds / WEEK_SECONDS,
        alerts=int(judged.alert.sum()),
        verified=None if table.label is None else verify(judged.alert[start:], table.label[start:]),
        remarks=_remarks(table, judged),
    )


def _remarks(table: Table, judged: Replayed) -> tuple[str, ...]:
    remarks = []
    if table.unsorted:
        remarks.append("rows were not in time order; they were judged in it")
    if table.duplicates:
        remarks.append(f"{table.duplicates} rows repeat a time; the last of each time counts")
    if np.isnan(judged.rarity).all():
        remarks.append("too little history to judge any point: 2 days and 30 points are needed, or 14 daily points")
    return tuple(remarks)


def verify(alert: Bools, label: Bools, slack: int = SLACK_POINTS) -> Verified:
    """Labelled segments, those that an alert started in or beside, and alerts that belong to none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], label.astype(np.int8), [0]])))
    begins, ends = edges[::2] - slack, edges[1::2] + slack
    starts = np.flatnonzero(alert)
    near = (starts[:, None] >= begins[None, :]) & (starts[:, None] < ends[None, :])
    return Verified(
        segments=len(begins), found=int(near.any(axis=0).sum()), false_alarms=int((~near.any(axis=1)).sum())
    )
