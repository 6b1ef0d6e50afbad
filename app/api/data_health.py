"""How the data themselves are: what comes late, what is missing, what is silent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer
from app.api.parts import LARGEST_ID, Cursor, Limit, Text, read_cursor, write_cursor
from app.api.service import Heed
from app.pipeline.data_health import DataHealth, data_health
from app.store.series import Matcher

router = APIRouter(tags=["scorecard"])

Metric = Annotated[Text, Query(max_length=200, description="`*` stands for anything.")]


class DataHealthAnswer(BaseModel):
    """The series of one metric that one source, which is one token, sends. Counts are of seven days and today."""

    source: str | None = Field(description="Name of the token that brought the series in; null if there was none.")
    metric: str
    series: int = Field(description="Series that have sent points in the last two weeks.")
    gone: int = Field(description="Series that have not; they count nowhere else.")
    silent: int = Field(description="Series that are overdue: three steps, ten minutes, and longer than usual.")
    silent_series: list[int] = Field(description="Ids of up to ten of them, those first that fell silent last.")
    irregular: int = Field(description="Series that sent less than four fifths of their points while they sent any.")
    cadence_seconds: int | None = Field(description="Usual spacing of points, the median; null until it is known.")
    last_point_at: datetime
    delay_seconds: float | None = Field(
        description="Usual age of a point when it comes; null until points have come live. Those that were older than "
        "a week do not count."
    )
    high_delay_seconds: float | None = Field(description="The same of one point in twenty, estimated.")
    missing: float | None = Field(description="Share of the points that were due and are not there.")
    received: int = Field(description="Points with a value.")
    late: int = Field(description="Of these, those that came after a newer one.")
    corrected: int = Field(description="Points that replaced another value.")
    duplicates: int = Field(description="Points that were there already.")
    open_gaps: list[int] = Field(description="Ids of gaps that some of the series are in now.")


class DataHealthList(BaseModel):
    sources: list[DataHealthAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.get("/v1/data-health")
def show_data_health(
    heed: Heed, _bearer: AnalystBearer, metric: Metric = "*", limit: Limit = 50, cursor: Cursor = None
) -> DataHealthList:
    """How the points of each source and metric come in: delay, holes, late points, corrections, silence, open gaps."""
    done = min(read_cursor(cursor, 0), LARGEST_ID)
    with heed.database.reading() as session:
        now = heed.clock.now()
        page, more = data_health(heed.committer, session, Matcher(metric), now, skip=done, limit=limit)
    following = write_cursor(done + limit) if more else None
    return DataHealthList(sources=[_answer(each) for each in page], next=following)


def _answer(health: DataHealth) -> DataHealthAnswer:
    return DataHealthAnswer(
        source=health.source,
        metric=health.metric,
        series=health.series,
        gone=health.gone,
        silent=health.silent,
        silent_series=list(health.silent_ids),
        irregular=health.irregular,
        cadence_seconds=health.cadence_seconds,
        last_point_at=health.last_point_at,
        delay_seconds=health.delay_seconds,
        high_delay_seconds=health.high_delay_seconds,
        missing=None if health.missing is None else round(health.missing, 4),
        received=health.received,
        late=health.late,
        corrected=health.corrected,
        duplicates=health.duplicate,
        open_gaps=list(health.open_gaps),
    )
