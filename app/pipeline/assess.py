"""What to expect of series before anything is enabled: their past put on grids, assessed, and told with its pictures.

Nothing is written, and no state is touched: a history that was only posted is forgotten with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from app.alerts.policy import Policies
from app.partitions.partition import DEFAULT_DETECTOR
from app.store import points
from app.store import series as stored_series
from app.store.series import Matcher
from app.store.tables import Series
from detectors import registry
from detectors.assessment import Assessment, assess
from detectors.calendar import local_seconds
from detectors.contract import Floats, History, Ints
from detectors.days import kinds_of_day
from detectors.quality import Arrival
from detectors.training import on_grid, usual_cadence

MOST_COLUMNS = 50_000
"""How far back an assessment looks, in steps of the cadence, as training does."""
UNKNOWN_CADENCE = 3_600


@dataclass(frozen=True)
class Past:
    """The known points of one series. timestamp: rising unix seconds; value: NaN where known to be missing.

    series_id: None where the history was only shown to us. cadence: seconds, 0 where it is to be found. arrival: known
    of points that were posted only. country: whose public holidays count, "" where nobody's do.
    """

    metric: str
    timezone: str
    timestamp: Ints
    value: Floats
    dimensions: Mapping[str, str] = field(default_factory=dict)
    series_id: int | None = None
    cadence: int = 0
    arrival: Arrival = field(default_factory=Arrival)
    country: str = ""


@dataclass(frozen=True)
class Report:
    """One series' assessment for a budget, on the grid (one row) that it rests on."""

    past: Past
    history: History
    assessment: Assessment
    alerts_per_week: float

    @property
    def told(self) -> list[tuple[int, int]]:
        """First and last strange moment, unix seconds, of each alert that there would have been."""
        course = self.assessment.course
        if course is None:
            return []
        time = self.history.timestamp[course.first :]
        return [
            (int(time[first]), int(time[last]))
            for first, last in course.told(self.alerts_per_week, self.history.cadence)
        ]


def assess_pasts(pasts: Sequence[Past], *, alerts_per_week: float) -> list[Report]:
    """One report a past, in their order. Those on the very same grid are assessed together."""
    detector = registry.get(DEFAULT_DETECTOR)
    grids = [_on_grid(past) for past in pasts]
    reports: dict[int, Report] = {}
    for members, together in _stacked(pasts, grids):
        came = [pasts[member].arrival for member in members]
        found = assess(together, detector=detector, alerts_per_week=alerts_per_week, arrivals=came)
        for member, assessment in zip(members, found, strict=True):
            reports[member] = Report(pasts[member], grids[member], assessment, alerts_per_week)
    return [reports[index] for index in range(len(pasts))]


def pasts_of(
    session: Session, matcher: Matcher, *, limit: int, now: datetime, policies: Policies
) -> tuple[list[Past], bool]:
    """The stored past of the first series that a matcher selects, and whether there are more."""
    found = stored_series.find(session, matcher, limit=limit + 1)
    return [_stored(session, series, int(now.timestamp()), policies) for series in found[:limit]], len(found) > limit


def _stored(session: Session, series: Series, now: int, policies: Policies) -> Past:
    cadence = series.cadence_seconds or UNKNOWN_CADENCE
    batch = points.read_points(session, [series.id], now - MOST_COLUMNS * cadence, now + cadence)
    return Past(
        metric=series.metric,
        timezone=series.timezone,
        timestamp=batch.timestamp,
        value=batch.value,
        dimensions=series.dimensions,
        series_id=series.id,
        cadence=series.cadence_seconds,
        country=policies.resolve(series.metric, series.dimensions).settings.country or "",
    )


def _on_grid(past: Past) -> History:
    """The newest points of a past on the grid of its cadence; one empty column where there is none."""
    if not len(past.timestamp):
        return _history(np.zeros(1, np.int64), np.full(1, np.nan), UNKNOWN_CADENCE, past)
    cadence = past.cadence or usual_cadence(past.timestamp) or UNKNOWN_CADENCE
    recent = past.timestamp > past.timestamp[-1] - MOST_COLUMNS * cadence
    return _history(*on_grid(past.timestamp[recent], past.value[recent], cadence), cadence, past)


def _history(timestamp: Ints, values: Floats, cadence: int, past: Past) -> History:
    local = local_seconds(timestamp, past.timezone)
    return History(values[None, :], timestamp, local, cadence, kinds_of_day=kinds_of_day(local, past.country))


def _stacked(pasts: Sequence[Past], grids: Sequence[History]) -> Iterator[tuple[list[int], History]]:
    """Histories of one row each as few of many, with the places of the rows."""
    alike: dict[tuple[str | int, ...], list[int]] = {}
    for place, (past, grid) in enumerate(zip(pasts, grids, strict=True)):
        ends = (grid.timestamp[0], grid.timestamp[-1], grid.local[0], grid.local[-1])
        alike.setdefault((past.country, grid.cadence, *map(int, ends)), []).append(place)
    for places in alike.values():
        first = grids[places[0]]
        if all(np.array_equal(grids[place].local, first.local) for place in places):
            values = np.concatenate([grids[place].values for place in places])
            yield places, replace(first, values=values)
        else:
            yield from (([place], grids[place]) for place in places)
