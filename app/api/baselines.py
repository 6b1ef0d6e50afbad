"""The history of a series' baseline: what it has now, and what retrains decided of it."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Limit, read_cursor, write_cursor
from app.api.retrains import DecisionAnswer, decision_answer
from app.api.series import existing
from app.api.service import Heed
from app.pipeline.watch import watches
from app.store import retrains as stored
from app.store.tables import BaselineVersion

router = APIRouter(prefix="/v1/series", tags=["series"])


class VersionAnswer(BaseModel):
    """The baseline that a series has now."""

    id: int = Field(description="Its version.")
    created_at: datetime
    reason: str = Field(description="Of the training or rollback that made it.", examples=["nightly"])


class BaselineAnswer(DecisionAnswer):
    """What one retrain, or one night, decided of the series."""

    retrain_id: int
    retrain_reason: str
    author: str
    decided_at: datetime
    version: int | None = Field(description="The version that it made; null where the series kept its old baseline.")
    rolled_back: bool = Field(description="The series has what it had before.")


class BaselineList(BaseModel):
    now: VersionAnswer | None = Field(description="null: the series was not trained yet.")
    retrains: list[BaselineAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.get("/{series_id}/baselines")
def list_baselines(
    series_id: Id, heed: Heed, _bearer: AnalystBearer, limit: Limit = 50, cursor: Cursor = None
) -> BaselineList:
    """The version that judges a series now, and what retrains and nights decided of it and why, the newest first."""
    with heed.database.reading() as session:
        series = existing(session, series_id)
        decided = stored.of_series(session, series, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
        answers = [
            BaselineAnswer(
                **decision_answer(
                    {name: plane[0] for name, plane in each.planes.items()}, by_night=stored.is_of_a_night(retrain)
                ).model_dump(),
                retrain_id=retrain.id,
                retrain_reason=retrain.reason,
                author=retrain.author,
                decided_at=each.part.decided_at,
                version=each.part.baseline_version_id if each.planes["promoted"][0] else None,
                rolled_back=series_id in stored.rolled_back_ids(each.part)[0].tolist(),
            )
            for retrain, each in decided
        ]
        version = stored.version(session, watches(heed.committer, [series_id])[series_id].baseline_version)
    return BaselineList(
        now=_version(version),
        retrains=answers,
        next=write_cursor(answers[-1].retrain_id) if len(answers) == limit else None,
    )


def _version(row: BaselineVersion | None) -> VersionAnswer | None:
    return None if row is None else VersionAnswer(id=row.id, created_at=row.created_at, reason=row.reason)
