"""Assessments: what to expect of series before anything is enabled."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

import msgspec
import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.api.access import AnalystBearer
from app.api.parts import Input, Text
from app.api.points import COLUMNS, POINT, limits_of
from app.api.problems import Problem
from app.api.retrains import MatcherInput
from app.api.service import Heed, Service
from app.errors import Conflict, TooLarge, Unprocessable
from app.formats import FORMATS, PostedPoints, decode
from app.pipeline.assess import Past, Report, assess_pasts, pasts_of
from app.pipeline.policies import current_policies
from app.store.series import Matcher
from app.web.assessment import assessment_page
from detectors.advice import Advice
from detectors.assessment import Season
from detectors.calendar import zone_names
from detectors.days import UnknownCountryError, check_country
from detectors.quality import arrival_of

router = APIRouter(prefix="/v1/assessments", tags=["assessments"])

MOST_SERIES = 20
"""A series takes a second or two."""
BODY: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in FORMATS} | {
    "application/json": {
        "schema": {
            "anyOf": [
                {
                    "type": "object",
                    "required": ["matcher"],
                    "properties": {"matcher": {"type": "object", "description": "Stored series: metric, dimensions."}},
                },
                {"type": "object", "required": ["points"], "properties": {"points": {"type": "array", "items": POINT}}},
                {
                    "type": "object",
                    "required": ["series"],
                    "properties": {"series": {"type": "array", "items": COLUMNS}},
                },
            ]
        },
        "example": {"matcher": {"metric": "orders", "dimensions": {"country": ["DE"]}}},
    }
}


class Wanted(Input):
    """Which stored series to assess."""

    matcher: MatcherInput


class AssessedSeries(BaseModel):
    """`id` is null where the history was only posted."""

    id: int | None
    metric: str
    dimensions: dict[str, str]


class QualityAnswer(BaseModel):
    """What the history is like; shares from 0 to 1."""

    points: int
    days: float
    missing: float = Field(description="Share of the steps without a value.")
    repeated: float = Field(description="Share of the values equal to the one before.")
    zero: float = Field(description="Share of the values that are 0.")
    frozen: int = Field(description="Points of the longest run of one value that chance does not explain.")
    outliers: int = Field(description="Single values far from all others at their time of the week.")
    duplicates: int | None = Field(description="Points of a time that another has; null of stored series.")
    late: int | None = Field(description="Points that came after a later one; null of stored series.")
    sharing: int = Field(description="Points in one step with a later one, which alone counts: of irregular series.")
    findings: list[str] = Field(description="What a reader should know, in words.")


class ExpectedAnswer(BaseModel):
    budget: float = Field(description="Alerts a week that somebody would put up with for wrong reasons.")
    alerts_per_week: float = Field(description="What the judged part of the history gave, real problems included.")
    alerts: int = Field(description="How many these are; few of them tell little of a week.")


class SmallestAnswer(BaseModel):
    """The smallest injected change that was told nine times of ten; null where there is none, with the reason."""

    kind: str = Field(description="`drop` or `spike`.")
    within_points: int
    share: float | None = Field(description="Of the usual size.")
    size: float | None = Field(description="In the unit of the series.")
    trials: int = Field(
        description="Places that were calm for so long. From fewer than 10 nothing is said but what is seen in fewer "
        "points."
    )
    reason: str | None = Field(description="Why `share` is null: even the largest was missed, or it is not known.")


class SpecialDaysAnswer(BaseModel):
    """Days that differ from others of their weekday, as the detector has learned them."""

    which: str = Field(description="Such as `last day of the month`.")
    days: int = Field(description="How many of them the history holds.")
    share: float | None = Field(description="By how much more or less is expected; null of series that go below zero.")
    amount: float = Field(description="The same in the unit of the series.")


class WouldBe(BaseModel):
    started_at: datetime
    ended_at: datetime


class AssessmentAnswer(BaseModel):
    """What to expect of one series."""

    series: AssessedSeries
    timezone: str
    cadence_seconds: int
    detector: str = Field(
        description="What judged it: of a stored series its own; of a posted history that of counts where it counts "
        "single events, otherwise the default."
    )
    advice: Advice
    recommendation: str = Field(description="What to do, in a sentence or two.")
    predictability: float | None = Field(
        description="Share of the error of its median that the detector takes away, on days it had not seen."
    )
    season: Season
    season_strength: float = Field(description="Share of the ups and downs that repeat.")
    monthly: list[SpecialDaysAnswer] = Field(description="Places in the month with an effect of their own.")
    holidays: SpecialDaysAnswer | None = Field(
        description="Public holidays in this history; null where it holds none, or no country was said."
    )
    quality: QualityAnswer
    expected_alerts: list[ExpectedAnswer]
    smallest_changes: list[SmallestAnswer]
    fixed_limit_changes: list[SmallestAnswer] = Field(description="The same of a fixed limit.")
    gain_over_fixed_limit: float | None = Field(
        description="By what share the changes seen are smaller, the mean of drops and spikes; -1 of those that only "
        "the limit sees."
    )
    gain_over_last_week: float | None = Field(description="By what share errors are smaller than last week's value.")
    days_of_history: int
    days_still_needed: int = Field(
        description="Until the whole pattern is known and the series can be tried on its own past; 0 where it is."
    )
    judged_weeks: float = Field(description="How much of the history the figures rest on.")
    would_be_alerts: list[WouldBe] = Field(description="At the budget asked for, in the judged part.")

    @classmethod
    def of(cls, report: Report) -> Self:
        one, past = report.assessment, report.past
        return cls(
            series=AssessedSeries(id=past.series_id, metric=past.metric, dimensions=dict(past.dimensions)),
            timezone=past.timezone,
            cadence_seconds=report.history.cadence,
            detector=past.detector,
            advice=one.advice,
            recommendation=one.recommendation,
            predictability=one.predictability,
            season=one.season,
            season_strength=one.season_strength,
            monthly=_all(SpecialDaysAnswer, one.monthly),
            holidays=SpecialDaysAnswer.model_validate(one.holidays, from_attributes=True) if one.holidays else None,
            quality=QualityAnswer.model_validate(one.quality, from_attributes=True),
            expected_alerts=_all(ExpectedAnswer, one.alerts),
            smallest_changes=_all(SmallestAnswer, one.smallest),
            fixed_limit_changes=_all(SmallestAnswer, one.limited),
            gain_over_fixed_limit=one.gain_over_fixed_limit,
            gain_over_last_week=one.gain_over_last_week,
            days_of_history=one.learning.days,
            days_still_needed=one.days_still_needed,
            judged_weeks=one.judged_weeks,
            would_be_alerts=[
                WouldBe(started_at=datetime.fromtimestamp(start, UTC), ended_at=datetime.fromtimestamp(end, UTC))
                for start, end in report.told
            ],
        )


class AssessmentList(BaseModel):
    alerts_per_week: float = Field(description="The budget that the figures are for.")
    assessments: list[AssessmentAnswer]
    more_match: bool = Field(description="More stored series match than were assessed.")


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post(
    "",
    response_model=AssessmentList,
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
    responses={status: {"model": Problem} for status in (400, 409, 413, 415, 422)},
)
def assess_series(
    request: Request,
    body: Annotated[bytes, Depends(_body)],
    heed: Heed,
    _bearer: AnalystBearer,
    alerts_per_week: Annotated[
        float | None, Query(gt=0, le=100, description="Budget to assess for. Default: `HEED_ALERTS_PER_WEEK`.")
    ] = None,
    timezone: Annotated[Text, Query(max_length=100, description="Of posted points, an IANA name.")] = "UTC",
    country: Annotated[
        Text, Query(max_length=6, description="Of posted points, whose public holidays count: `DE` or `DE-BY`.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_SERIES, description="At most so many series.")] = MOST_SERIES,
) -> Response:
    """Say what to expect of series before they are watched: what changes would be seen, and how many alerts come.

    The body is `{"matcher": {…}}` for stored series, or points as `POST /v1/points` takes them, in any of its formats.
    These are not kept. With `Accept: text/html` the answer is a page with pictures.
    """
    assessing: threading.Lock = request.app.state.assessing
    budget = alerts_per_week or 10**-heed.base_threshold
    if not assessing.acquire(blocking=False):
        raise Conflict("An assessment is running already. Ask again when it is done.")
    try:
        pasts, more_match = _pasts(request, body, heed, timezone, country, limit)
        reports = assess_pasts(pasts, alerts_per_week=budget)
    finally:
        assessing.release()
    if "text/html" in request.headers.get("accept", ""):
        return Response(assessment_page(reports, left_out=more_match), media_type="text/html")
    answer = AssessmentList(
        alerts_per_week=budget, assessments=[AssessmentAnswer.of(each) for each in reports], more_match=more_match
    )
    return Response(answer.model_dump_json(), media_type="application/json")


def _pasts(
    request: Request, body: bytes, heed: Service, timezone: str, country: str, limit: int
) -> tuple[list[Past], bool]:
    """The history that was asked about, and whether there is more that matches."""
    if (wanted := _matcher(request, body)) is not None:
        with heed.database.reading() as session:
            policies = current_policies(session, heed.committer.rules.policy_defaults)
            return pasts_of(session, wanted, limit=limit, now=heed.clock.now(), policies=policies)
    kind, encoding = (request.headers.get(name, "") for name in ("content-type", "content-encoding"))
    posted = decode(body, kind, encoding, limits_of(heed))
    if timezone not in zone_names():
        raise Unprocessable("There is no time zone of this name: give an IANA name such as Europe/Berlin.")
    _refuse_unknown_country(country)
    if posted.rejected or not len(posted):
        first = (
            f" The first, at index {posted.rejected[0].index}: {posted.rejected[0].reason}" if posted.rejected else ""
        )
        raise Unprocessable(f"{len(posted.rejected)} points can't be read; nothing was assessed.{first}")
    if len(posted.identities) > limit:
        raise TooLarge(f"At most {limit} series are assessed at a time.")
    return _posted_pasts(posted, timezone, country), False


def _refuse_unknown_country(country: str) -> None:
    try:
        if country:
            check_country(country)
    except UnknownCountryError as error:
        raise Unprocessable(f"country: {error}.") from None


def _matcher(request: Request, body: bytes) -> Matcher | None:
    """The matcher of a body that has one; None where it holds points."""
    if request.headers.get("content-encoding") or "json" not in request.headers.get("content-type", "json"):
        return None
    try:
        asked = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if "matcher" not in asked:
            return None
        wanted = TypeAdapter(Wanted).validate_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # whoever decodes points says what is wrong
    except ValidationError:
        raise Unprocessable(
            'A matcher is {"metric": "orders*", "dimensions": {"country": ["DE"]}}, and goes without points.'
        ) from None
    return Matcher(wanted.matcher.metric, wanted.matcher.dimensions)


def _posted_pasts(posted: PostedPoints, timezone: str, country: str) -> list[Past]:
    """Each series' points in time order; of several at one time the last one posted."""
    pasts = []
    for place, series in enumerate(posted.identities):
        mine = np.flatnonzero(posted.identity == place)
        order = mine[np.argsort(posted.timestamp[mine], kind="stable")]
        time = posted.timestamp[order]
        last = order[np.append(time[1:] != time[:-1], True)]
        arrival = arrival_of(posted.timestamp[mine])
        time, value, dimensions = posted.timestamp[last], posted.value[last], dict(series.dimensions)
        weight = None if posted.weight is None else posted.weight[last]
        pasts.append(
            Past(series.metric, timezone, time, value, dimensions, arrival=arrival, weight=weight, country=country)
        )
    return [past for past in pasts if len(past.timestamp)]


def _all(answer: type[Any], found: Sequence[object]) -> list[Any]:
    return [answer.model_validate(each, from_attributes=True) for each in found]
