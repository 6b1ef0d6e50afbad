"""Desensitisations: tell Heed that series have a new normal, and see how far they have settled on it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.api.access import AnalystBearer, OpsBearer
from app.api.parts import LARGEST_ID, BodyId, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.problems import Problem
from app.api.retrains import MatcherInput
from app.api.service import Heed
from app.errors import NotFound, Unprocessable
from app.pipeline import desensitise
from app.store import desensitisations as stored
from app.store.series import Matcher
from app.store.tables import Desensitisation, DesensitisedSeries
from feedback.desensitise import LONGEST

router = APIRouter(prefix="/v1/desensitisations", tags=["desensitisations"])

MOST_DAYS = desensitise.LONGEST_ALLOWED.days


class NewDesensitisation(Input):
    """Which series have a new level: those of a matcher, or one."""

    matcher: MatcherInput | None = None
    series_id: BodyId | None = None
    start: Time | None = Field(
        default=None, description="When the new level began. Default: in the open anomaly of each series, or now."
    )
    max_duration_days: Annotated[float, Field(gt=0, le=MOST_DAYS)] = float(LONGEST.days)
    reason: Annotated[Text, Field(min_length=1, max_length=500, examples=["prices were lowered"])]


class ChangedDesensitisation(Input):
    """What is to change; what is left out stays."""

    max_duration_days: Annotated[float | None, Field(gt=0, le=MOST_DAYS)] = None
    reason: Annotated[Text | None, Field(min_length=1, max_length=500)] = None


class SettlingSeries(BaseModel):
    """How far one series has settled."""

    series_id: int
    started_at: datetime
    until: datetime = Field(description="When it counts as settled even if it has not.")
    progress: float = Field(description="0 to 1.")
    text: str = Field(examples=["63 % settled"])
    lacks: str | None = Field(description="What is still missing, in words.")
    alert_id: int | None = Field(description="The alert that it closed.")
    ended_at: datetime | None
    outcome: str | None = Field(description="`settled`, `expired` or `ended`; null while it goes on.")


class DesensitisationAnswer(BaseModel):
    """Series that have a new normal. Tolerance is wide at first and narrows as they settle."""

    id: int
    status: str = Field(description="`settling`, `ended`, or `undone` where it was taken back.")
    matcher: MatcherInput
    series_id: int | None
    reason: str
    author: str
    created_at: datetime
    label_id: int | None = Field(description="The label that made it, and whose undo takes it back.")
    progress: float = Field(description="0 to 1: of the series that lags most.")
    ended_at: datetime | None
    ended_by: str | None = Field(description="null: the series settled.")
    series: list[SettlingSeries]


class DesensitisationList(BaseModel):
    desensitisations: list[DesensitisationAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.post("", status_code=201, responses={422: {"model": Problem}})
def desensitise_series(new: NewDesensitisation, heed: Heed, bearer: OpsBearer) -> DesensitisationAnswer:
    """Say that series have a new normal. The old level is forgotten at once, the season's shape is kept.

    Alerts that it explains are closed. Heed tells by itself when the series have settled.
    """
    if (new.matcher is None) == (new.series_id is None):
        raise Unprocessable("Send either `matcher` or `series_id`.")
    matcher = Matcher(new.matcher.metric, new.matcher.dimensions) if new.matcher else None
    wanted = desensitise.NewNormal(
        reason=new.reason,
        author=bearer.name,
        now=heed.clock.now(),
        matcher=matcher,
        series_id=new.series_id,
        start=new.start,
        longest=timedelta(days=new.max_duration_days),
    )
    created = desensitise.begin(heed.committer, wanted)
    with heed.database.reading() as session:
        return _answer(session, _existing(session, created))


@router.get("")
def list_desensitisations(
    heed: Heed, _bearer: AnalystBearer, limit: Limit = 50, cursor: Cursor = None
) -> DesensitisationList:
    """Every desensitisation with its progress, the newest first."""
    with heed.database.reading() as session:
        found = stored.find(session, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
        answers = [_answer(session, each) for each in found]
    return DesensitisationList(
        desensitisations=answers, next=write_cursor(found[-1].id) if len(found) == limit else None
    )


@router.get("/{desensitisation_id}")
def get_desensitisation(desensitisation_id: Id, heed: Heed, _bearer: AnalystBearer) -> DesensitisationAnswer:
    """One desensitisation: how far each of its series has settled, and what is still missing."""
    with heed.database.reading() as session:
        return _answer(session, _existing(session, desensitisation_id))


@router.patch("/{desensitisation_id}", responses={409: {"model": Problem}, 422: {"model": Problem}})
def change_desensitisation(
    desensitisation_id: Id, changes: ChangedDesensitisation, heed: Heed, _bearer: OpsBearer
) -> DesensitisationAnswer:
    """Change its reason, or for how long it lasts at most, counted from its start. Only while it goes on."""
    with heed.database.reading() as session:
        _existing(session, desensitisation_id)
    days = changes.max_duration_days
    longest = timedelta(days=days) if days is not None else None
    desensitise.change(heed.committer, desensitisation_id, reason=changes.reason, longest=longest)
    with heed.database.reading() as session:
        return _answer(session, _existing(session, desensitisation_id))


@router.delete("/{desensitisation_id}")
def end_desensitisation(
    desensitisation_id: Id,
    heed: Heed,
    bearer: OpsBearer,
    undo: Annotated[bool, Query(description="Forget the new level too, as if it had never been sent.")] = False,
) -> DesensitisationAnswer:
    """End it: tolerance is as usual from the next point on, and the new level stays learned unless `undo` is true."""
    with heed.database.reading() as session:
        _existing(session, desensitisation_id)
    change = desensitise.take_back if undo else desensitise.end
    change(heed.committer, desensitisation_id, by=bearer.name, now=heed.clock.now())
    with heed.database.reading() as session:
        return _answer(session, _existing(session, desensitisation_id))


def in_words(progress: float) -> str:
    return f"{100 * progress:.0f} % settled"


def _existing(session: Session, desensitisation_id: int) -> Desensitisation:
    row = stored.get(session, desensitisation_id)
    if row is None:
        raise NotFound("There is no desensitisation with this id. GET /v1/desensitisations lists them.")
    return row


def _answer(session: Session, row: Desensitisation) -> DesensitisationAnswer:
    members = stored.members_of(session, [row.id])
    return DesensitisationAnswer(
        id=row.id,
        status=_status(session, row),
        matcher=MatcherInput(metric=row.metric, dimensions=row.dimensions),
        series_id=row.series_id,
        reason=row.reason,
        author=row.author,
        created_at=row.created_at,
        label_id=row.label_id,
        progress=min((each.progress for each in members), default=1.0),
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        series=[_member(each) for each in members],
    )


def _status(session: Session, row: Desensitisation) -> str:
    if not stored.is_standing(session, row):
        return "undone"
    return "ended" if row.ended_at else "settling"


def _member(each: DesensitisedSeries) -> SettlingSeries:
    return SettlingSeries(
        series_id=each.series_id,
        started_at=each.started_at,
        until=each.until,
        progress=round(each.progress, 3),
        text=in_words(each.progress),
        lacks=each.lacks or None,
        alert_id=each.alert_id,
        ended_at=each.ended_at,
        outcome=each.outcome,
    )
