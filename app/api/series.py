"""Series: find, look at, and their points with what was expected of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.api.access import AdminBearer, AnalystBearer
from app.api.desensitisations import in_words
from app.api.parts import Cursor, Id, Limit, Text, Time, read_cursor, read_dimensions, write_cursor
from app.api.service import Heed, Service
from app.errors import BadRequest, NotFound
from app.pipeline import erase
from app.pipeline.fall_back import NOT_COMPARED
from app.pipeline.watch import Watch, watches
from app.store import choices, desensitisations, points
from app.store import series as stored
from app.store.points import PointBatch
from app.store.series import Matcher
from app.store.tables import DesensitisedSeries, Series
from detectors.contract import Floats

router = APIRouter(prefix="/v1/series", tags=["series"])

SHOWN = timedelta(days=7)
LONGEST_SPAN = timedelta(days=400)
RAREST = 300.0


class SeriesAnswer(BaseModel):
    """One metric with one set of dimensions."""

    id: int
    metric: str
    dimensions: dict[str, str]
    timezone: str = Field(description="IANA zone in which its days and weeks are counted.")
    cadence_seconds: int | None = Field(description="Usual spacing of its points; null while not known yet.")
    created_at: datetime


class Learning(BaseModel):
    """How far Heed knows the series: the countdown of its warm-up."""

    text: str = Field(examples=["12 of 14 days"])
    days: int
    of_days: int
    may_alert: bool
    reason: str | None = Field(description="Why it can't alert yet.")
    siblings: int = Field(description="Siblings whose past it learned from and bears out, so that it alerts sooner.")


class Settling(BaseModel):
    """How far the series has settled on its new normal; its tolerance is wider until then."""

    text: str = Field(examples=["63 % settled"])
    progress: float = Field(description="0 to 1.")
    until: datetime = Field(description="When it counts as settled even if it has not.")
    desensitisation_id: int


class SettingAnswer(BaseModel):
    """One setting of a series."""

    value: Any
    origin: str = Field(description="The policy that it comes from, or `default`.")


class WatchedSeries(SeriesAnswer):
    """A series and how it is watched right now."""

    learning: Learning
    settling: Settling | None = Field(description="null: it has no new normal to settle on.")
    detector: str
    detector_reason: str = Field(description="Why this detector judges it, from comparing them on its own past.")
    point_count: int
    first_point_at: datetime | None
    last_point_at: datetime | None
    trained_at: datetime | None
    policies: list[str] = Field(description="The policies that speak of it, the first to decide first.")
    settings: dict[str, SettingAnswer] = Field(description="What holds for it, by setting.")


class SeriesList(BaseModel):
    series: list[WatchedSeries]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class PointAnswer(BaseModel):
    timestamp: datetime
    value: float | None = Field(description="null: known to be missing.")
    expected: float | None = Field(description="As judged when the point came in; null while it could not be.")
    lower: float | None
    upper: float | None
    rarity_weeks: float | None
    weight: float | None = Field(description="Of a ratio, the number of events behind it; null where not given.")


class PointList(BaseModel):
    series: SeriesAnswer
    points: list[PointAnswer]


class _Point(msgspec.Struct):
    timestamp: datetime
    value: float
    expected: float
    lower: float
    upper: float
    rarity_weeks: float
    weight: float


@router.get("")
def list_series(
    heed: Heed,
    _bearer: AnalystBearer,
    metric: Annotated[Text | None, Query(max_length=200, description="`*` stands for anything.")] = None,
    dimension: Annotated[list[Text], Query(description="`name:value`; repeat it for several.")] = [],  # noqa: B006
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SeriesList:
    """Find series by metric and dimensions, paged."""
    matcher = Matcher(metric if metric is not None else "*", read_dimensions(dimension))
    with heed.database.reading() as session:
        found = stored.find(session, matcher, limit=limit, after_id=read_cursor(cursor, 0))
    next_cursor = write_cursor(found[-1].id) if len(found) == limit else None
    return SeriesList(series=_watched(heed, found), next=next_cursor)


@router.get("/{series_id}")
def get_series(series_id: Id, heed: Heed, _bearer: AnalystBearer) -> WatchedSeries:
    """One series by its id: what it is called, how far it is known, and who judges it."""
    with heed.database.reading() as session:
        series = existing(session, series_id)
    return _watched(heed, [series])[0]


@router.get("/{series_id}/points", response_model=PointList)
def get_points(
    series_id: Id,
    heed: Heed,
    _bearer: AnalystBearer,
    start: Annotated[Time | None, Query(description="Default: seven days before `end`.")] = None,
    end: Annotated[Time | None, Query(description="Not included. Default: now.")] = None,
) -> Response:
    """The points of a series with expected value, band and rarity, as they were judged when they came in."""
    end = end or heed.clock.now() + timedelta(seconds=1)
    start = start or end - SHOWN
    if not start < end or end - start > LONGEST_SPAN:
        raise BadRequest(f"`start` must lie before `end`, by at most {LONGEST_SPAN.days} days.")
    with heed.database.reading() as session:
        series = existing(session, series_id)
        batch = points.read_points(session, [series_id], int(start.timestamp()), int(end.timestamp()))
    answer = {"series": _answer(series).model_dump(), "points": _points(batch)}
    return Response(msgspec.json.encode(answer), media_type="application/json")


@router.delete("/{series_id}", status_code=204)
def erase_series(series_id: Id, heed: Heed, bearer: AdminBearer) -> None:
    """Erase a series for ever: points, models, labels, anomalies and its alerts. An audit entry says who did it."""
    erase.erase_series(heed.committer, series_id, by=bearer.name)


def existing(session: Session, series_id: int) -> Series:
    series = stored.get(session, series_id)
    if series is None:
        raise NotFound("There is no series with this id. GET /v1/series finds them.")
    return series


def _answer(series: Series) -> SeriesAnswer:
    return SeriesAnswer(
        id=series.id,
        metric=series.metric,
        dimensions=series.dimensions,
        timezone=series.timezone,
        cadence_seconds=series.cadence_seconds or None,
        created_at=series.created_at,
    )


def _watched(heed: Service, found: list[Series]) -> list[WatchedSeries]:
    ids = [series.id for series in found]
    known = watches(heed.committer, ids)
    with heed.database.reading() as session:
        reasons = choices.reasons(session, ids)
        settling = desensitisations.settling_of(session, ids)
    return [
        _watched_answer(series, known[series.id], reasons.get(series.id, NOT_COMPARED), settling.get(series.id))
        for series in found
        if series.id in known
    ]


def _watched_answer(series: Series, watch: Watch, reason: str, settling: DesensitisedSeries | None) -> WatchedSeries:
    learning = watch.learning
    return WatchedSeries(
        **_answer(series).model_dump(),
        learning=Learning(
            text=str(learning),
            days=learning.days,
            of_days=learning.of_days,
            may_alert=learning.may_alert,
            reason=learning.reason or None,
            siblings=learning.siblings,
        ),
        settling=_settling(settling) if settling else None,
        detector=watch.detector,
        detector_reason=_named_by(watch) or reason,
        point_count=watch.point_count,
        first_point_at=watch.first_point_at,
        last_point_at=watch.last_point_at,
        trained_at=watch.trained_at,
        policies=list(watch.policy.policies),
        settings={
            name: SettingAnswer(value=getattr(watch.policy.settings, name), origin=origin)
            for name, origin in watch.policy.origin.items()
        },
    )


def _settling(member: DesensitisedSeries) -> Settling:
    return Settling(
        text=in_words(member.progress),
        progress=round(member.progress, 3),
        until=member.until,
        desensitisation_id=member.desensitisation_id,
    )


def _named_by(watch: Watch) -> str | None:
    """Why no comparison decided: a policy did."""
    if watch.policy.settings.must_judge is None:
        return None
    named = "limits" if watch.policy.settings.limits is not None else "detector"
    return f"the policy {watch.policy.origin[named]} says so"


def _points(batch: PointBatch) -> list[_Point]:
    """NaN is written as null by msgspec."""
    weeks = 10.0 ** np.minimum(batch.rarity.astype(np.float64), RAREST)
    scores = (_rounded(each, 7) for each in (batch.expected, batch.lower, batch.upper))
    columns = (batch.value, *scores, _rounded(weeks, 3), _rounded(batch.weight, 7))
    times = [datetime.fromtimestamp(second, UTC) for second in batch.timestamp.tolist()]
    return [_Point(*each) for each in zip(times, *(column.tolist() for column in columns), strict=True)]


def _rounded(column: NDArray[np.floating[Any]], digits: int) -> Floats:
    """To so many leading digits: what is stored in single precision has seven, and would show noise after them."""
    wide = column.astype(np.float64)
    with np.errstate(divide="ignore"):
        place = np.where(wide == 0, 0, np.floor(np.log10(np.abs(wide)))) - digits + 1
    unit = 10.0 ** np.clip(np.abs(place), 0, 300)
    return np.asarray(np.where(place > 0, np.round(wide / unit) * unit, np.round(wide * unit) / unit))
