"""Retrains on demand: build new baselines from what is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.access import OpsBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Input, Limit, Text, Time, read_cursor, write_cursor
from app.api.problems import Problem
from app.api.service import Heed, Service
from app.errors import Conflict, NotBuiltYet, NotFound
from app.partitions.partition import Partition
from app.pipeline.train import everything, train
from app.store import baselines
from app.store import series as stored_series
from app.store.series import Matcher
from app.store.tables import BaselineVersion
from detectors.contract import Ints

router = APIRouter(prefix="/v1/retrains", tags=["retrains"])

NOT_BUILT = ("start", "end", "at", "cron", "force")


class MatcherInput(Input):
    """Selects series; absent parts match all."""

    metric: Annotated[Text, Field(max_length=200, description="`*` stands for anything.")] = "*"
    dimensions: dict[Annotated[Text, Field(max_length=100)], list[Annotated[Text, Field(max_length=200)]]] = Field(
        default_factory=dict, max_length=20, examples=[{"country": ["DE", "FR"]}]
    )


class NewRetrain(Input):
    """`start`, `end`, `at`, `cron` and `force` are refused with 501 until they are built."""

    matcher: MatcherInput = Field(default_factory=MatcherInput)
    reason: Annotated[Text, Field(min_length=1, max_length=500, examples=["the backfill is in"])]
    start: Time | None = None
    end: Time | None = None
    at: Time | None = None
    cron: Annotated[Text, Field(max_length=100)] | None = None
    force: bool | None = None


class Failure(BaseModel):
    series_id: int
    reason: str


class RetrainAnswer(BaseModel):
    """What the training did."""

    reason: str
    trained: int = Field(description="Series that have a new baseline.")
    skipped: int = Field(description="Series with too little history yet.")
    failed: list[Failure] = Field(description="Series that fell back to the basic detector, and why.")


class VersionAnswer(BaseModel):
    """One training of some series of one partition."""

    id: int
    partition: int
    created_at: datetime
    reason: str
    series_count: int


class VersionList(BaseModel):
    retrains: list[VersionAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.post("", status_code=201, responses={409: {"model": Problem}, 501: {"model": Problem}})
def retrain(new: NewRetrain, request: Request, heed: Heed, _bearer: OpsBearer) -> RetrainAnswer:
    """Train series now, on all that is stored of them except the spans that labels exclude.

    The answer comes when it is done. Points are taken in meanwhile.
    """
    if heed.committer.switches.frozen:
        raise Conflict("Learning is frozen by a flag. DELETE /v1/flags/learning, then retrain.")
    if asked := [name for name in NOT_BUILT if getattr(new, name) is not None]:
        names = ", ".join(asked)
        raise NotBuiltYet(f"A retrain can't take {names} yet: leave it out to train now on all that is stored.")
    running: threading.Lock = request.app.state.retraining
    if not running.acquire(blocking=False):
        raise Conflict("A retrain is running already. Ask again when it is done.")
    try:
        report = train(heed.committer, now=heed.clock.now(), reason=new.reason, wanted=_selected(heed, new.matcher))
    finally:
        running.release()
    return RetrainAnswer(
        reason=new.reason,
        trained=report.trained,
        skipped=report.skipped,
        failed=[Failure(series_id=series_id, reason=reason) for series_id, reason in report.failed.items()],
    )


@router.get("")
def list_retrains(heed: Heed, _bearer: OpsBearer, limit: Limit = 50, cursor: Cursor = None) -> VersionList:
    """Trainings, scheduled and on demand, the newest first."""
    with heed.database.reading() as session:
        found = baselines.find(session, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
    return VersionList(
        retrains=[_answer(each) for each in found], next=write_cursor(found[-1].id) if len(found) == limit else None
    )


@router.get("/{retrain_id}")
def get_retrain(retrain_id: Id, heed: Heed, _bearer: OpsBearer) -> VersionAnswer:
    """One training: when, why, and of how many series."""
    with heed.database.reading() as session:
        version = baselines.get(session, retrain_id)
    if version is None:
        raise NotFound("There is no retrain with this id. GET /v1/retrains lists them.")
    return _answer(version)


def _selected(heed: Service, matcher: MatcherInput) -> Callable[[Partition], Ints]:
    """Of each partition the slots of the series that the matcher selects."""
    wanted = Matcher(matcher.metric, matcher.dimensions)
    if wanted == Matcher():
        return everything
    with heed.database.reading() as session:
        ids = np.array([series.id for series in stored_series.matching(session, wanted)], np.int64)

    def slots(partition: Partition) -> Ints:
        seen = everything(partition)
        return seen[np.isin(partition.columns["series_id"][seen], ids)]

    return slots


def _answer(version: BaselineVersion) -> VersionAnswer:
    return VersionAnswer(
        id=version.id,
        partition=version.partition,
        created_at=version.created_at,
        reason=version.reason,
        series_count=version.series_count,
    )
