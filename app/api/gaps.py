"""Gaps: spans of lost, late or wrong data."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer, OpsBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.retrains import MatcherInput
from app.api.service import Heed, Service
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
    origin: str = Field(description="`declared`, or found by Heed: `silence` of a source, `zeros`, or a `stuck` value.")
    series: int | None = Field(description="Of a gap that was found: how many series lost data.")
    author: str
    created_at: datetime
    stands: bool
    revoked_by: str | None
    retrain_when_backfilled: bool
    ended_by: str | None = Field(description="Who ended it, or on what evidence Heed did.")
    real_at: datetime | None = Field(description="When somebody said that what it shows is real.")
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
    return _answer(heed, gaps.declare(heed.committer, gap, now))


@router.get("")
def list_gaps(heed: Heed, _bearer: AnalystBearer, limit: Limit = 50, cursor: Cursor = None) -> GapList:
    """Gaps, the newest first, those that were taken back included."""
    with heed.database.reading() as session:
        found = stored.page(session, Gap, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
        members = stored.count_members(session, [each.id for each in found])
    following = write_cursor(found[-1].id) if len(found) == limit else None
    return GapList(gaps=[_as_answer(each, members.get(each.id)) for each in found], next=following)


@router.patch("/{gap_id}")
def change_gap(gap_id: Id, changed: ChangedGap, heed: Heed, bearer: OpsBearer) -> GapAnswer:
    """Say when the data were back, or that the late points are in. Points that fill it are noticed by themselves."""
    now = heed.clock.now()
    with heed.database.reading() as session:
        gap = gaps.existing(session, gap_id)
    if changed.end is not None:
        gap = gaps.end(heed.committer, gap_id, at=changed.end, now=now, by=bearer.name)
    if changed.backfilled:
        gap = gaps.fill(heed.committer, gap_id, now=now, by=bearer.name)
    return _answer(heed, gap)


@router.delete("/{gap_id}")
def take_gap_back(gap_id: Id, heed: Heed, bearer: OpsBearer) -> GapAnswer:
    """There was no gap: its points count, and alerts that were withdrawn for it come back where they still stand."""
    return _answer(heed, gaps.take_back(heed.committer, gap_id, by=bearer.name, now=heed.clock.now()))


def _answer(heed: Service, gap: Gap) -> GapAnswer:
    with heed.database.reading() as session:
        members = stored.count_members(session, [gap.id])
    return _as_answer(gap, members.get(gap.id))


def _as_answer(gap: Gap, members: int | None) -> GapAnswer:
    return GapAnswer(
        id=gap.id,
        matcher={"metric": gap.metric, "dimensions": gap.dimensions},
        series_id=gap.series_id,
        label_id=gap.label_id,
        start=gap.started_at,
        end=gap.ended_at,
        reason=gap.reason,
        origin=gap.origin,
        series=members,
        author=gap.author,
        created_at=gap.created_at,
        stands=gap.revoked_at is None,
        revoked_by=gap.revoked_by,
        retrain_when_backfilled=gap.retrain_when_backfilled,
        ended_by=gap.ended_by,
        real_at=gap.real_at,
        filled_at=gap.filled_at,
        retrained_at=gap.retrained_at,
    )
