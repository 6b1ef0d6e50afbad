"""How well Heed does: the scorecard, and the health of its detectors."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.access import AnalystBearer
from app.api.service import Heed
from app.pipeline.scorecard import detector_health, record_of
from feedback.scorecard import Card, Estimate, card, cards

router = APIRouter(tags=["scorecard"])


class Grouping(StrEnum):
    METRIC = "metric"
    POLICY = "policy"
    DETECTOR = "detector"


class EstimateAnswer(BaseModel):
    """A share, and the 90 % interval that it lies in."""

    value: float
    low: float
    high: float
    cases: int = Field(description="How many it is counted from.")


class CardAnswer(BaseModel):
    """The figures of one group of series."""

    name: str = Field(description="Of the metric, policy or detector; `all` for everything.")
    series: int = Field(description="Series that points came of.")
    alerts: int = Field(description="Alerts that people were told of.")
    right: int = Field(description="Answered as a real problem, an event or a new normal: there was something to tell.")
    wrong: int = Field(description="Answered as false alarms.")
    bad_data: int = Field(description="Answered as bad data; neither right nor wrong.")
    unanswered: int
    missed: int = Field(description="Problems that people reported because nobody was told.")
    precision: EstimateAnswer | None = Field(description="Share of the answered alerts that were right.")
    recall: EstimateAnswer | None = Field(description="Share of the known problems that were told.")
    coverage: float | None = Field(description="Share of the alerts that were answered.")
    median_hours_to_answer: float | None
    alerts_per_week: float | None = Field(
        description="Of all these series together, a week in which their points came live: history was not watched."
    )
    budget_per_week: float = Field(description="What their owners put up with, for wrong reasons alone.")
    over_budget: bool
    alerts_not_sent: int = Field(description="What labels have saved: anomalies that they kept from being told.")
    problems_hidden: int = Field(description="What labels have cost: reported problems that they had hidden.")


class Scorecard(BaseModel):
    start: datetime
    end: datetime
    by: Grouping
    total: CardAnswer
    groups: list[CardAnswer]


class DetectorHealthAnswer(BaseModel):
    """How the series of one detector are."""

    detector: str
    series: int = Field(description="Series that it judges now.")
    trained: int
    warming_up: int = Field(description="Not known long enough to alert.")
    stale: int = Field(description="Points come, but the last training is more than nine days old.")
    fell_back: int = Field(description="Series of this detector that `basic` judges in its place, because it failed.")
    oldest_training: datetime | None
    alerts_per_week: float | None
    budget_per_week: float
    precision: EstimateAnswer | None


class DetectorHealthList(BaseModel):
    detectors: list[DetectorHealthAnswer]


Days = Annotated[int, Query(ge=1, le=730, description="How far back to look, in days of the points' own time.")]


@router.get("/v1/scorecard")
def show_scorecard(heed: Heed, _bearer: AnalystBearer, days: Days = 60, by: Grouping = Grouping.METRIC) -> Scorecard:
    """Precision and recall with their intervals, answers, alerts against the budget, and what labels saved and cost."""
    now = heed.clock.now()
    since = now - timedelta(days=days)
    with heed.database.reading() as session:
        record = record_of(heed.committer, session, since=since, now=now)
    groups = [_card(name, each) for name, each in cards(record, by.value).items()]
    return Scorecard(start=since, end=now, by=by, total=_card("all", card(record)), groups=groups)


@router.get("/v1/detector-health")
def show_detector_health(heed: Heed, _bearer: AnalystBearer, days: Days = 60) -> DetectorHealthList:
    """Which detectors judge how many series, how many of those are untrained, stale or fell back, and how they do."""
    now = heed.clock.now()
    with heed.database.reading() as session:
        record = record_of(heed.committer, session, since=now - timedelta(days=days), now=now)
        health = detector_health(heed.committer, session, now)
    return DetectorHealthList(
        detectors=[
            DetectorHealthAnswer(
                detector=each.detector,
                series=each.series,
                trained=each.trained,
                warming_up=each.warming_up,
                stale=each.stale,
                fell_back=each.fell_back,
                oldest_training=each.oldest_training,
                alerts_per_week=_rounded(figures.alerts_a_week),
                budget_per_week=round(figures.budget, 3),
                precision=_estimate(figures.precision),
            )
            for each in health
            for figures in [card(record.of("detector", each.detector))]
        ]
    )


def _card(name: str, figures: Card) -> CardAnswer:
    return CardAnswer(
        name=name,
        series=figures.series,
        alerts=figures.alerts,
        right=figures.right,
        wrong=figures.wrong,
        bad_data=figures.bad_data,
        unanswered=figures.unanswered,
        missed=figures.missed,
        precision=_estimate(figures.precision),
        recall=_estimate(figures.recall),
        coverage=_rounded(figures.coverage),
        median_hours_to_answer=_rounded(figures.median_answer / timedelta(hours=1))
        if figures.median_answer is not None
        else None,
        alerts_per_week=_rounded(figures.alerts_a_week),
        budget_per_week=round(figures.budget, 3),
        over_budget=figures.breaks_budget,
        alerts_not_sent=figures.saved,
        problems_hidden=figures.cost,
    )


def _estimate(estimate: Estimate | None) -> EstimateAnswer | None:
    if estimate is None:
        return None
    return EstimateAnswer(
        value=round(estimate.value, 3),
        low=round(estimate.low, 3),
        high=round(estimate.high, 3),
        cases=estimate.cases,
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
