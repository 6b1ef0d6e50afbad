"""Gaps: spans of lost, late or wrong data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer, OpsBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.retrains import MatcherInput
from app.api.service import Heed
from app.pipeline import gaps
from app.store import happenings as stored
from app.store.tables import Gap

router = APIRouter(prefix="/v1/gaps", tags=["gaps"])


class NewGap(Input):
    """Which series lost data, and when. Without an end it lasts until it is ended."""

    matcher: MatcherInput
    start: Time
    end: Time | None = None
    reason: Annotated[Text, Field(min_length=1, max_length=200, examples=["the exporter was down"])]
    retrain_when_backfilled: bool = False


class ChangedGap(Input):
    """Either the data are back from `end` on, or all late points are in."""

    end: Time | None = None
    backfilled: bool = Field(False, description="The points of the span are complete and right now.")


class GapAnswer(BaseModel):
    id: int
    matcher: dict[str, Any]
    series_id: int | None = Field(description="Instead of a matcher: this series alone.")
    label_id: int | None = Field(description="The label that made it.")
    start: datetime
    end: datetime | None
    reason: str
    origin: str
    author: str
    created_at: datetime
    stands: bool
    revoked_by: str | None
    retrain_when_backfilled: bool
    filled_at: datetime | None = Field(description="When its late points were in, and its span counted again.")
    retrained_at: datetime | None


class GapList(BaseModel):
    gaps: list[GapAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.post("", status_code=201)
def declare_gap(new: NewGap, heed: Heed, bearer: OpsBearer) -> GapAnswer:
    """Say that data are lost, late or wrong. Their points teach nothing and open nothing until they are filled.

    Alerts of its series that began in it are withdrawn; while it lasts one alert of kind `data` stands for them all.
    """
    now = heed.clock.now()
    gap = Gap(
        metric=new.matcher.metric,
        dimensions=new.matcher.dimensions,
        started_at=new.start,
        ended_at=new.end,
        reason=new.reason,
        origin="declared",
        author=bearer.name,
        created_at=now,
        retrain_when_backfilled=new.retrain_when_backfilled,
    )
    return _answer(gaps.declare(heed.committer, gap, now))


@router.get("")
def list_gaps(heed: Heed, _bearer: AnalystBearer, limit: Limit = 50, cursor: Cursor = None) -> GapList:
    """Gaps, the newest first, those that were taken back included."""
    with heed.database.reading() as session:
        found = stored.page(session, Gap, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
    following = write_cursor(found[-1].id) if len(found) == limit else None
    return GapList(gaps=[_answer(each) for each in found], next=following)


@router.patch("/{gap_id}")
def change_gap(gap_id: Id, changed: ChangedGap, heed: Heed, _bearer: OpsBearer) -> GapAnswer:
    """Say when the data were back, or that the late points are in. Points that fill it are noticed by themselves."""
    now = heed.clock.now()
    with heed.database.reading() as session:
        gap = gaps.existing(session, gap_id)
    if changed.end is not None:
        gap = gaps.end(heed.committer, gap_id, at=changed.end, now=now)
    if changed.backfilled:
        gap = gaps.fill(heed.committer, gap_id, now=now)
    return _answer(gap)


@router.delete("/{gap_id}")
def take_gap_back(gap_id: Id, heed: Heed, bearer: OpsBearer) -> GapAnswer:
    """There was no gap: its points count, and alerts that were withdrawn for it come back where they still stand."""
    return _answer(gaps.take_back(heed.committer, gap_id, by=bearer.name, now=heed.clock.now()))


def _answer(gap: Gap) -> GapAnswer:
    return GapAnswer(
        id=gap.id,
        matcher={"metric": gap.metric, "dimensions": gap.dimensions},
        series_id=gap.series_id,
        label_id=gap.label_id,
        start=gap.started_at,
        end=gap.ended_at,
        reason=gap.reason,
        origin=gap.origin,
        author=gap.author,
        created_at=gap.created_at,
        stands=gap.revoked_at is None,
        revoked_by=gap.revoked_by,
        retrain_when_backfilled=gap.retrain_when_backfilled,
        filled_at=gap.filled_at,
        retrained_at=gap.retrained_at,
    )
