"""Retrains: build new baselines now, at a time or by cron, see what was decided, and take it back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.api.access import OpsBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.problems import Problem
from app.api.service import Heed
from app.errors import Conflict
from app.pipeline import retrain as pipeline
from app.pipeline.roll_back import roll_back
from app.store import retrains as stored
from app.store.packing import Packed
from app.store.tables import Retrain
from feedback.retrain import REASONS, Decision, Reason, decision_of, in_words

router = APIRouter(prefix="/v1/retrains", tags=["retrains"])

MOST_EXCLUDED = 100
MOST_NAMED = 1_000
"""Series that a rollback names."""
FIGURES = (
    "loss_old",
    "loss_new",
    "strange_old",
    "strange_new",
    "level_old",
    "level_new",
    "points",
    "known",
    "wider",
    "heard_old",
    "heard_new",
    "real",
    "real_unheard",
    "false",
    "false_told",
)

Status = Annotated[str | None, Query(pattern="^(scheduled|running|done|cancelled|failed)$")]
OnceKey = Annotated[
    Text | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="The same request sent twice with the same key, by the same token, is one retrain.",
    ),
]


class MatcherInput(Input):
    """Selects series; absent parts match all."""

    metric: Annotated[Text, Field(max_length=200, description="`*` stands for anything.")] = "*"
    dimensions: dict[Annotated[Text, Field(max_length=100)], list[Annotated[Text, Field(max_length=200)]]] = Field(
        default_factory=dict, max_length=20, examples=[{"country": ["DE", "FR"]}]
    )


class Span(Input):
    start: Time
    end: Time


class NewRetrain(Input):
    """Which series, on what, and when."""

    matcher: MatcherInput = Field(default_factory=MatcherInput)
    reason: Annotated[Text, Field(min_length=1, max_length=500, examples=["the backfill is in"])]
    start: Time | None = Field(None, description="Learn from points since then. Default: as far back as usual.")
    end: Time | None = Field(None, description="Learn from points before then. Default: all.")
    exclude: list[Span] = Field(
        default_factory=list, max_length=MOST_EXCLUDED, description="Spans not to learn from, besides those of labels."
    )
    at: Time | None = Field(None, description="When to begin. Default: now.")
    cron: Annotated[Text, Field(max_length=100, examples=["0 3 * * mon"])] | None = Field(
        None,
        description="Begin again and again: minute, hour, day, month, day of the week, in the zone HEED_TIMEZONE. "
        "With `at`, not before then.",
    )
    force: bool = Field(False, description="Promote new baselines even where they are worse.")


class Counts(BaseModel):
    """Series by what was decided of them."""

    promoted: int = Field(description="They have a new baseline.")
    refused: int = Field(description="Their new baseline was worse, or had learned what is not normal.")
    skipped: int = Field(description="There was nothing to learn from, or to compare on.")
    failed: int = Field(description="Their detector could not be fitted, or failed while it judged.")


class Links(BaseModel):
    self: str
    series: str = Field(description="What was decided of each series, and why.")
    rollback: str = Field(description="POST there to take it back.")


class RetrainAnswer(BaseModel):
    """A retrain and how far it is. One with `cron` stays scheduled, and each of its runs is a retrain of its own."""

    id: int
    status: str = Field(description="`scheduled`, `running`, `done`, `cancelled` or `failed`.")
    matcher: MatcherInput
    series_id: int | None = Field(description="The one series that it is about; null: those of the matcher.")
    reason: str
    author: str
    start: datetime | None
    end: datetime | None
    exclude: list[Span]
    force: bool
    due_at: datetime = Field(description="When it is, or was, to begin; of a cron, next.")
    cron: str | None
    timezone: str | None = Field(description="In which the cron counts.")
    schedule_id: int | None = Field(description="The cron that this is a run of.")
    series_done: int
    series_total: int
    counts: Counts
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cancelled_by: str | None
    rolled_back_at: datetime | None
    rolled_back_by: str | None
    links: Links


class RetrainList(BaseModel):
    retrains: list[RetrainAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class DecisionAnswer(BaseModel):
    """What a retrain decided of one series."""

    series_id: int
    decision: Decision
    reason: str = Field(description="In words, with the cure where there is one.")
    code: str = Field(description="The reason's name, such as `not_worse`, `level` or `too_little`.")
    figures: dict[str, float | None] = Field(description="What it rests on; null where it could not be told.")


class DecisionList(BaseModel):
    series: list[DecisionAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class RollbackAnswer(BaseModel):
    """What a rollback did."""

    restored: int = Field(description="Series that have their old baseline again.")
    kept: int = Field(description="Series that a later retrain gave another baseline: they keep it.")
    restored_series: list[int] = Field(description=f"Their ids, the first {MOST_NAMED:,}.")
    kept_series: list[int] = Field(description=f"Their ids, the first {MOST_NAMED:,}.")
    retrain: RetrainAnswer


@router.post("", status_code=202, responses={409: {"model": Problem}, 422: {"model": Problem}})
def retrain(new: NewRetrain, heed: Heed, bearer: OpsBearer, once_key: OnceKey = None) -> RetrainAnswer:
    """Train series on what is stored of them, now, at a time or by cron; the answer comes at once, the work goes on.

    A new baseline takes the place of the old one only where it is not worse on the recent past and on the labels, and
    has not learned an outage; `force` overrides. `GET` shows the progress.
    """
    if heed.committer.switches.frozen and not (new.at or new.cron):
        raise Conflict("Learning is frozen by a flag. DELETE /v1/flags/learning, then retrain.")
    now = heed.clock.now()
    asked = pipeline.ask(
        heed.committer,
        Retrain(
            metric=new.matcher.metric,
            dimensions=new.matcher.dimensions,
            series_id=None,
            window_start=new.start,
            window_end=new.end,
            without=[[int(each.start.timestamp()), int(each.end.timestamp())] for each in new.exclude],
            reason=new.reason,
            author=bearer.name,
            force=new.force,
            cron=new.cron,
            timezone=heed.committer.rules.timezone if new.cron else None,
            due_at=max(new.at, now) if new.at else now,
            status=stored.SCHEDULED,
            once_key=f"{bearer.token_id}: {once_key}" if once_key else None,
            asked=hashlib.sha256(new.model_dump_json().encode()).hexdigest(),
            created_at=now,
        ),
    )
    heed.retrainer.wake()
    return _answer(asked)


@router.get("")
def list_retrains(
    heed: Heed,
    _bearer: OpsBearer,
    status: Status = None,
    schedule_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Runs of this cron only.")] = None,
    nights: Annotated[bool, Query(description="The nightly trainings instead of what was asked for.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RetrainList:
    """Retrains that were asked for, and the runs of those with a cron, the newest first."""
    with heed.database.reading() as session:
        found = stored.find(
            session,
            limit=limit,
            before_id=read_cursor(cursor, LARGEST_ID),
            nights=nights,
            status=status,
            schedule_id=schedule_id,
        )
    return RetrainList(
        retrains=[_answer(each) for each in found], next=write_cursor(found[-1].id) if len(found) == limit else None
    )


@router.get("/{retrain_id}")
def get_retrain(retrain_id: Id, heed: Heed, _bearer: OpsBearer) -> RetrainAnswer:
    """One retrain: how far it is, and how many series have a new baseline."""
    with heed.database.reading() as session:
        return _answer(pipeline.existing(session, retrain_id))


@router.get("/{retrain_id}/series")
def list_decisions(
    retrain_id: Id,
    heed: Heed,
    _bearer: OpsBearer,
    decision: Annotated[Decision | None, Query(description="Only series of which this was decided.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DecisionList:
    """What was decided of each series, in the order of the work, with the reason and the figures behind it."""
    with heed.database.reading() as session:
        every = _decided_from(session, pipeline.existing(session, retrain_id), read_cursor(cursor, 0))
        wanted = (each for each in every if decision is None or each[1].decision is decision)
        found = list(islice(wanted, limit))
    return DecisionList(
        series=[each for _, each in found], next=write_cursor(found[-1][0] + 1) if len(found) == limit else None
    )


PLACES = 1_000
"""A part has fewer series than that: the place of a series is its part times this, and its row."""


def _decided_from(session: Session, retrain: Retrain, first: int) -> Iterator[tuple[int, DecisionAnswer]]:
    number, row = divmod(first, PLACES)
    by_night = stored.is_of_a_night(retrain)
    for part in stored.parts(session, retrain.id, after=number - 1):
        packed = Packed(part.decisions)
        planes = {name: packed[name] for name in packed}
        begin = row if part.number == number else 0
        for at in range(begin, len(planes["series"])):
            one = {name: plane[at] for name, plane in planes.items()}
            yield part.number * PLACES + at, decision_answer(one, by_night=by_night)


def decision_answer(one: dict[str, Any], *, by_night: bool) -> DecisionAnswer:
    """One row of the planes that a part keeps of its decisions."""
    reason, promoted = REASONS[int(one["reason"])], bool(one["promoted"])
    said = decision_of(reason, promoted=promoted)
    figures = {name: float(one[name]) for name in one if name not in ("series", "reason", "promoted")}
    return DecisionAnswer(
        series_id=int(one["series"]),
        decision=said,
        reason=in_words(
            reason,
            figures,
            forced=promoted and decision_of(reason, promoted=False) != said,
            why=_why(reason) if by_night else "forced",
        ),
        code=reason.value,
        figures={name: _rounded(figures[name]) for name in FIGURES},
    )


def _why(reason: Reason) -> str:
    """Why a night learned it all the same."""
    return "learned" if reason is Reason.NO_RECENT else "learned after a week"


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


@router.delete("/{retrain_id}", responses={409: {"model": Problem}})
def cancel_retrain(retrain_id: Id, heed: Heed, bearer: OpsBearer) -> RetrainAnswer:
    """Cancel what is scheduled or running, and end a cron. Series that were done keep their new baselines.

    The rollback takes those back.
    """
    return _answer(pipeline.cancel(heed.committer, retrain_id, by=bearer.name, now=heed.clock.now()))


@router.post("/{retrain_id}/rollback", responses={409: {"model": Problem}})
def roll_back_retrain(retrain_id: Id, heed: Heed, bearer: OpsBearer) -> RollbackAnswer:
    """Bring back the old baseline of every series that it promoted, except where a later retrain gave another one.

    Once that one is rolled back, too, they have what they had before both. The nightly training leaves the restored
    series alone for a week. Sent again, it does nothing more.
    """
    done = roll_back(heed.committer, retrain_id, by=bearer.name, now=heed.clock.now())
    with heed.database.reading() as session:
        row = pipeline.existing(session, retrain_id)
    return RollbackAnswer(
        restored=done.restored.size,
        kept=done.kept.size,
        restored_series=done.restored[:MOST_NAMED].tolist(),
        kept_series=done.kept[:MOST_NAMED].tolist(),
        retrain=_answer(row),
    )


def _answer(row: Retrain) -> RetrainAnswer:
    here = f"/v1/retrains/{row.id}"
    return RetrainAnswer(
        id=row.id,
        status=row.status,
        matcher=MatcherInput(metric=row.metric, dimensions=row.dimensions),
        series_id=row.series_id,
        reason=row.reason,
        author=row.author,
        start=row.window_start,
        end=row.window_end,
        exclude=[Span(start=start, end=end) for start, end in row.without],
        force=row.force,
        due_at=row.due_at,
        cron=row.cron,
        timezone=row.timezone,
        schedule_id=row.schedule_id,
        series_done=row.done_count,
        series_total=row.series_count,
        counts=Counts(promoted=row.promoted, refused=row.refused, skipped=row.skipped, failed=row.failed),
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        cancelled_by=row.cancelled_by,
        rolled_back_at=row.rolled_back_at,
        rolled_back_by=row.rolled_back_by,
        links=Links(self=here, series=f"{here}/series", rollback=f"{here}/rollback"),
    )
