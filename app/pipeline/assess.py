"""What to expect of series before anything is enabled: their past put on grids, assessed, and told with its pictures.

Nothing is written, and no state is touched: a history that was only posted is forgotten with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from app.alerts import life as lives
from app.alerts.policy import Policies, PolicySettings
from app.partitions.partition import DEFAULT_DETECTOR
from app.partitions.regime import bar_of, limits_of
from app.pipeline.fall_back import FALL_BACK
from app.pipeline.score import advance
from app.store import choices, points
from app.store import series as stored_series
from app.store.series import Matcher
from app.store.tables import Series
from detectors import registry
from detectors.assessment import Assessment, assess
from detectors.bars import Bar, Bars, least_of
from detectors.calendar import DAY, local_seconds
from detectors.choice import OF_FEW_EVENTS, few_events
from detectors.contract import Bools, Detector, Fields, Floats, History, Ints, Points, Scores
from detectors.days import kinds_of_day
from detectors.quality import Arrival
from detectors.static import Limited
from detectors.training import LEARNING_DAYS, on_grid, steps_of, usual_cadence

MOST_COLUMNS = 50_000
"""How far back an assessment looks, in steps of the cadence, as training does."""
UNKNOWN_CADENCE = 3_600


class AsLive:
    """Runs of strange points become alerts as they do when points come in, of series that nobody has answered for."""

    def begin(self, count: int, kinds: int) -> Fields:
        return lives.newborn(count, kinds)

    def advance(self, runs: Fields, points: Points, scores: Scores, bars: Bars) -> tuple[Fields, Bools]:
        after, changes = advance(runs, points, scores, bars, (bars.threshold, bars.threshold))
        return after, changes.told

    def frozen(self, runs: Fields) -> Bools:
        return lives.frozen(runs)

    def open_alerts(self, runs: Fields) -> tuple[Ints, Ints]:
        told = lives.is_told(runs)
        return np.where(told, runs["opened_at"], 0), np.where(told, runs["last_abnormal_at"], 0)


LIVE = AsLive()
POSTED = PolicySettings()
"""What holds for a history that was only shown to us."""


@dataclass(frozen=True)
class Past:
    """The known points of one series. timestamp: rising unix seconds; value: NaN where known to be missing.

    weight: of a ratio the number of events behind each value, NaN where not given; None if none was.
    series_id: None where the history was only shown to us. cadence: seconds, 0 where it is to be found. arrival: known
    of points that were posted only. country: whose public holidays count, "" where nobody's do. bar: what it must pass
    to be told of. detector: its name; limits: lower and upper, by which that of fixed limits judges, NaN where none is.
    """

    metric: str
    timezone: str
    timestamp: Ints
    value: Floats
    dimensions: Mapping[str, str] = field(default_factory=dict)
    series_id: int | None = None
    cadence: int = 0
    arrival: Arrival = field(default_factory=Arrival)
    weight: Floats | None = None
    country: str = ""
    bar: Bar = field(default_factory=lambda: bar_of(POSTED))
    detector: str = DEFAULT_DETECTOR
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Report:
    """One series' assessment for a budget, on the grid (one row) that it rests on."""

    past: Past
    history: History
    assessment: Assessment
    alerts_per_week: float

    @property
    def told(self) -> tuple[tuple[int, int], ...]:
        """First and last strange moment, unix seconds, of each alert that there would have been."""
        return self.assessment.course.alerts if self.assessment.course else ()


def assess_pasts(pasts: Sequence[Past], *, alerts_per_week: float) -> list[Report]:
    """One report a past, in their order. Those on the very same grid are assessed together."""
    grids = [_on_grid(past) for past in pasts]
    pasts = [_with_least(_with_judge(past, grid), grid) for past, grid in zip(pasts, grids, strict=True)]
    reports: dict[int, Report] = {}
    for members, together in _stacked(pasts, grids):
        came = [_arrival(pasts[member], grids[member].cadence) for member in members]
        found = assess(
            together,
            detector=_detector(pasts[members[0]]),
            life=LIVE,
            bars=Bars.of([pasts[member].bar for member in members]),
            alerts_per_week=alerts_per_week,
            arrivals=came,
        )
        for member, assessment in zip(members, found, strict=True):
            reports[member] = Report(pasts[member], grids[member], assessment, alerts_per_week)
    return [reports[index] for index in range(len(pasts))]


def pasts_of(
    session: Session, matcher: Matcher, *, limit: int, now: datetime, policies: Policies
) -> tuple[list[Past], bool]:
    """The stored past of the first series that a matcher selects, and whether there are more."""
    found = stored_series.find(session, matcher, limit=limit + 1)
    own = choices.judges(session, [series.id for series in found[:limit]], fall_back=FALL_BACK)
    pasts = [
        _stored(
            session,
            series,
            int(now.timestamp()),
            policies.resolve(series.metric, series.dimensions).settings,
            own.get(series.id, DEFAULT_DETECTOR),
        )
        for series in found[:limit]
    ]
    return pasts, len(found) > limit


def _stored(session: Session, series: Series, now: int, settings: PolicySettings, chosen: str) -> Past:
    """chosen: the detector that judges it where no policy names another."""
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
        weight=batch.weight.astype(np.float64) if np.isfinite(batch.weight).any() else None,
        country=settings.country or "",
        bar=bar_of(settings),
        detector=settings.must_judge or chosen,
        limits=None if settings.limits is None else limits_of(settings),
    )


def _detector(past: Past) -> Detector:
    return registry.get(past.detector) if past.limits is None else Limited(*past.limits)


def _with_judge(past: Past, grid: History) -> Past:
    """A history that was only shown to us gets the detector that training gives to all that count single events."""
    learned = grid.timestamp[-1] - grid.timestamp[0] >= LEARNING_DAYS * DAY
    if past.series_id is None and learned and few_events(grid.values)[0]:
        return replace(past, detector=OF_FEW_EVENTS)
    return past


def _with_least(past: Past, grid: History) -> Past:
    """With the least change that is news of it, where its policies name none."""
    return replace(past, bar=Bars.of([past.bar]).with_least(least_of(grid.values)).one(0))


def _on_grid(past: Past) -> History:
    """The newest points of a past on the grid of its cadence; one empty column where there is none."""
    if not len(past.timestamp):
        return _history(np.zeros(1, np.int64), np.full(1, np.nan), None, UNKNOWN_CADENCE, past)
    cadence = past.cadence or usual_cadence(past.timestamp) or UNKNOWN_CADENCE
    recent = past.timestamp > past.timestamp[-1] - MOST_COLUMNS * cadence
    timestamp, values = on_grid(past.timestamp[recent], past.value[recent], cadence)
    weights = None
    if past.weight is not None:
        _, weights = on_grid(past.timestamp[recent], past.weight[recent], cadence)
    return _history(timestamp, values, weights, cadence, past)


def _arrival(past: Past, cadence: int) -> Arrival:
    """How its points came, and how they lie on a grid of this cadence."""
    recent = past.timestamp[past.timestamp > past.timestamp[-1:].sum() - MOST_COLUMNS * cadence]
    sharing = recent.size - np.unique(steps_of(recent, cadence)).size
    spacing = int(np.median(np.diff(recent))) if recent.size > 2 else 0
    return replace(past.arrival, sharing=sharing, spacing=spacing)


def _history(timestamp: Ints, values: Floats, weights: Floats | None, cadence: int, past: Past) -> History:
    local = local_seconds(timestamp, past.timezone)
    weight = None if weights is None else weights[None, :]
    return History(values[None, :], timestamp, local, cadence, weight, kinds_of_day(local, past.country))


def _stacked(pasts: Sequence[Past], grids: Sequence[History]) -> Iterator[tuple[list[int], History]]:
    """Histories of one row each as few of many that one detector judges, with the places of the rows."""
    alike: dict[tuple[str | float, ...], list[int]] = {}
    for place, (past, grid) in enumerate(zip(pasts, grids, strict=True)):
        ends = (grid.timestamp[0], grid.timestamp[-1], grid.local[0], grid.local[-1])
        judged_by = (past.detector, past.weight is not None, *(past.limits or ()))
        alike.setdefault((*judged_by, past.country, grid.cadence, *map(int, ends)), []).append(place)
    for places in alike.values():
        first = grids[places[0]]
        if all(np.array_equal(grids[place].local, first.local) for place in places):
            values = np.concatenate([grids[place].values for place in places])
            weights = [each for place in places if (each := grids[place].weights) is not None]
            yield places, replace(first, values=values, weights=np.concatenate(weights) if weights else None)
        else:
            yield from (([place], grids[place]) for place in places)
