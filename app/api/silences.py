"""Silences: keep alerts of some series from being sent, for a time."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.retrains import MatcherInput
from app.api.service import Heed, Service
from app.pipeline import silenced
from app.store import silences as stored
from app.store.tables import Silence

router = APIRouter(prefix="/v1/silences", tags=["silences"])

Comment = Annotated[Text, Field(min_length=1, max_length=500, examples=["the warehouse moves"])]


class Status(StrEnum):
    TO_COME = "to_come"
    IN_FORCE = "in_force"
    OVER = "over"


class NewSilence(Input):
    """Of which series nothing is sent, and until when."""

    matcher: MatcherInput
    start: Time
    end: Time = Field(description="A silence always ends by itself.")
    comment: Comment


class ChangedSilence(Input):
    end: Time | None = Field(None, description="When it is to end instead.")
    comment: Comment | None = None


class SilenceAnswer(BaseModel):
    id: int
    status: Status
    matcher: MatcherInput
    start: datetime
    end: datetime
    comment: str
    author: str
    created_at: datetime
    ended_by: str | None = Field(description="Who ended it before its time.")
    alerts: int = Field(description="How many it kept from being sent, or keeps.")


class SilenceList(BaseModel):
    silences: list[SilenceAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.post("", status_code=201)
def make_silence(new: NewSilence, heed: Heed, bearer: AnalystBearer) -> SilenceAnswer:
    """Send nothing of the series of a matcher for a time. Their alerts are kept, and learning goes on.

    An alert that still goes on when the silence ends is told then. What was told before says nothing more meanwhile.
    """
    now = heed.clock.now()
    silence = silence_row(new, bearer.name, now)
    with heed.database.writing() as session:
        silenced.make(session, silence, now)
    return _answered(heed, silence, now)


def silence_row(new: NewSilence, author: str, now: datetime) -> Silence:
    return Silence(
        metric=new.matcher.metric,
        dimensions=new.matcher.dimensions,
        started_at=new.start,
        ended_at=new.end,
        comment=new.comment,
        author=author,
        created_at=now,
    )


@router.get("")
def list_silences(
    heed: Heed,
    _bearer: AnalystBearer,
    in_force: Annotated[bool, Query(description="Only those that keep alerts back now.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SilenceList:
    """Silences, the newest first, those that are over included."""
    now = heed.clock.now()
    before_id = read_cursor(cursor, LARGEST_ID)
    with heed.database.reading() as session:
        found = stored.page(session, limit=limit, before_id=before_id, in_force_at=now if in_force else None)
        counts = stored.count_alerts(session, [each.id for each in found])
    answers = [_answer(each, counts.get(each.id, 0), now) for each in found]
    return SilenceList(silences=answers, next=write_cursor(found[-1].id) if len(found) == limit else None)


@router.patch("/{silence_id}")
def change_silence(silence_id: Id, changed: ChangedSilence, heed: Heed, _bearer: AnalystBearer) -> SilenceAnswer:
    """Let a silence end at another time, or correct what is said of it."""
    now = heed.clock.now()
    with heed.database.writing() as session:
        silence = silenced.change(session, silence_id, end=changed.end, comment=changed.comment, now=now)
    return _answered(heed, silence, now)


@router.delete("/{silence_id}")
def end_silence(silence_id: Id, heed: Heed, bearer: AnalystBearer) -> SilenceAnswer:
    """End a silence now: alerts that still go on are told. One that is over stays as it is."""
    now = heed.clock.now()
    with heed.database.writing() as session:
        silence = silenced.end(session, silence_id, by=bearer.name, now=now)
    return _answered(heed, silence, now)


def _answered(heed: Service, silence: Silence, now: datetime) -> SilenceAnswer:
    heed.notifier.wake()
    with heed.database.reading() as session:
        counts = stored.count_alerts(session, [silence.id])
    return _answer(silence, counts.get(silence.id, 0), now)


def _answer(silence: Silence, alerts: int, now: datetime) -> SilenceAnswer:
    return SilenceAnswer(
        id=silence.id,
        status=_status(silence, now),
        matcher=MatcherInput(metric=silence.metric, dimensions=silence.dimensions),
        start=silence.started_at,
        end=silence.ended_at,
        comment=silence.comment,
        author=silence.author,
        created_at=silence.created_at,
        ended_by=silence.ended_by,
        alerts=alerts,
    )


def _status(silence: Silence, now: datetime) -> Status:
    if silence.ended_at <= now:
        return Status.OVER  # before it began, where somebody ended it before then
    return Status.TO_COME if silence.started_at > now else Status.IN_FORCE
