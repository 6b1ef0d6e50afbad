"""Shadows: try a detector beside the live one before it may tell anybody anything."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer, OpsBearer
from app.api.parts import Id, Input, Text
from app.api.retrains import MatcherInput
from app.api.service import Heed
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.store import shadows
from app.store.series import Matcher
from app.store.tables import Shadow
from detectors import registry

router = APIRouter(prefix="/v1/shadows", tags=["shadows"])


class NewShadow(Input):
    """Which series the candidate is to judge as well, and which detector it is."""

    matcher: MatcherInput = Field(default_factory=MatcherInput)
    detector: Annotated[Text, Field(min_length=1, max_length=100, examples=["decomposed"])]


class ShadowMatcher(BaseModel):
    metric: str
    dimensions: dict[str, list[str]]


class ShadowAnswer(BaseModel):
    """A candidate detector and its would-be alerts, beside what the live detectors told of the same series."""

    id: int
    matcher: ShadowMatcher
    detector: str
    created_at: datetime
    counted_from: datetime
    counted_until: datetime = Field(description="Counts are brought up to date every night.")
    series_count: int = Field(description="Series that it judged when last counted: those that have learned enough.")
    would_be_alerts: int
    live_alerts: int


class ShadowList(BaseModel):
    shadows: list[ShadowAnswer]


@router.post("", status_code=201)
def begin_shadow(new: NewShadow, heed: Heed, _bearer: OpsBearer) -> ShadowAnswer:
    """Let a detector judge series beside the live one. It tells nobody; its would-be alerts are counted."""
    if new.detector not in registry.DETECTORS:
        raise Unprocessable(f"No detector has this name. Take one of {', '.join(sorted(registry.DETECTORS))}.")
    matcher = Matcher(new.matcher.metric, new.matcher.dimensions)
    with heed.database.writing() as session:
        shadow = shadows.begin(session, matcher, new.detector, event_now=heed.clock.now(), now=wall_now())
        return _answer(shadow)


@router.get("")
def list_shadows(heed: Heed, _bearer: AnalystBearer) -> ShadowList:
    """Every shadow with its counts, the newest first."""
    with heed.database.reading() as session:
        return ShadowList(shadows=[_answer(shadow) for shadow in shadows.list_all(session)])


@router.get("/{shadow_id}")
def get_shadow(shadow_id: Id, heed: Heed, _bearer: AnalystBearer) -> ShadowAnswer:
    """One shadow with its counts."""
    with heed.database.reading() as session:
        return _answer(_existing(shadows.get(session, shadow_id)))


@router.delete("/{shadow_id}")
def end_shadow(shadow_id: Id, heed: Heed, _bearer: OpsBearer) -> ShadowAnswer:
    """End a shadow. The answer is the last that is known of it."""
    with heed.database.writing() as session:
        return _answer(_existing(shadows.end(session, shadow_id)))


def _existing(shadow: Shadow | None) -> Shadow:
    if shadow is None:
        raise NotFound("There is no shadow with this id. GET /v1/shadows lists them.")
    return shadow


def _answer(shadow: Shadow) -> ShadowAnswer:
    return ShadowAnswer(
        id=shadow.id,
        matcher=ShadowMatcher(metric=shadow.metric, dimensions=shadow.dimensions),
        detector=shadow.detector,
        created_at=shadow.created_at,
        counted_from=shadow.counted_from,
        counted_until=shadow.counted_until,
        series_count=shadow.series_count,
        would_be_alerts=shadow.would_be_alerts,
        live_alerts=shadow.live_alerts,
    )
