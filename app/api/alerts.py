"""Alerts: list, look at, look after."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.alerts.contribution import Explanation
from app.alerts.evidence import in_words, spoke
from app.alerts.message import (
    AlertFacts,
    AnomalyFacts,
    like_what,
    limit_in_words,
    remarks,
    resemblance,
    sentence,
    weeks_of,
)
from app.alerts.rules import End, SnoozedFor
from app.alerts.shape import ShapeKind
from app.alerts.wording import rarity_in_words
from app.api.access import AnalystBearer
from app.api.parts import LARGEST_ID, Cursor, Id, Input, Limit, Text, Time, read_cursor, read_dimensions, write_cursor
from app.api.service import Heed, Service
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.pipeline import look_after
from app.pipeline.explain import each_explained, explained
from app.pipeline.facts import facts_of, reason_of
from app.pipeline.shapes import shaped
from app.store import alerts as stored
from app.store import labels as stored_labels
from app.store.alerts import AlertFilter
from app.store.series import Matcher
from app.store.tables import Alert, Label

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

ORIGIN = "api"
"""What links given out through the API say of where they came from."""


LISTED_ANOMALIES = 20
"""Of each alert where several are listed."""


class Status(StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class SeriesName(BaseModel):
    id: int
    metric: str
    dimensions: dict[str, str]


class EvidenceAnswer(BaseModel):
    """One kind of evidence."""

    kind: str
    text: str = Field(description="What it means, in plain words.")
    rarity_weeks: float = Field(description="Return period that it alone would have given.")


class ShareAnswer(BaseModel):
    """What one value of a dimension makes of the change."""

    value: str
    series_id: int
    change: float = Field(description="Actual less expected, summed over the anomaly.")
    share: float = Field(description="Of the change of all values that moved the same way, 0 to 1.")


class ContributionAnswer(ShareAnswer):
    """The same, with the dimension."""

    dimension: str


class ExplanationAnswer(BaseModel):
    """How the siblings along one dimension share in the change of their total."""

    dimension: str
    text: str = Field(description="In a sentence.")
    compared: int = Field(description="How many values were looked at.")
    contributions: list[ShareAnswer] = Field(description="The largest first.")


class ResemblanceAnswer(BaseModel):
    """An earlier happening of the series that is like it."""

    started_at: datetime
    verdict: str | None = Field(description="What people said of it; null where nobody answered.")
    distance: float = Field(description="0 is the same again; nothing from 1.2 on is called alike.")
    text: str = Field(description="In a sentence.")


class AnomalyAnswer(BaseModel):
    """A run of abnormal points of one series, with the numbers of its strangest point."""

    series: SeriesName
    started_at: datetime
    ended_at: datetime | None
    end_reason: End | None = Field(
        description="`recovered`; `aged`: still abnormal after a day; `silent`: no point came. Null while it lasts, "
        "and where an answer ended it."
    )
    direction: Literal["up", "down"]
    actual: float
    latest: float | None = Field(description="Value of the last point that made anything of it.")
    expected: float | None
    lower: float | None
    upper: float | None
    rarity_weeks: float = Field(description="Return period: on normal data one would wait so many weeks for this.")
    rarity: str = Field(description="The same in words.")
    impact: float
    shape: ShapeKind | None = Field(
        description="`spike`: it passed soon; `shift`: another level; `drift`: ever further away. Null while it is too "
        "early to say, where it is none of them, and of all but the 20 rarest anomalies of an alert."
    )
    detector: str
    evidence: list[EvidenceAnswer] = Field(description="What spoke, the strongest first.")
    worth: float | None = Field(
        description="Chance that people want to hear of it, by what they said of others; null before they did."
    )
    reasons: list[str] = Field(description="Why, in plain words.")
    explanations: list[ExplanationAnswer] = Field(
        description="By each dimension that says anything, the most telling first; only of one alert, of its first 5."
    )
    resembles: list[ResemblanceAnswer] = Field(
        description="At most 3 earlier happenings that are like it, what people judged before what nobody answered, "
        "the nearest first; only of one alert, of its first 5."
    )


class GivenVerdict(BaseModel):
    label_id: int
    verdict: str
    author: str
    source: str
    comment: str | None
    created_at: datetime


class AlertAnswer(BaseModel):
    """What people are told, under the same names as in the generic webhook."""

    id: int
    status: Status
    kind: Literal["anomaly", "data"]
    severity: str
    title: str
    text: str = Field(description="One sentence that says it all.")
    remarks: list[str] = Field(description="What tempers it: a series not known for long, basic detection.")
    started_at: datetime
    ended_at: datetime | None
    url: str = Field(description="Signed link to the alert's page.")
    links: dict[str, str] = Field(description="Verdict to the signed link whose page gives it.")
    actions: dict[str, str] = Field(
        description="`acknowledge`, `snooze`, `missed`: to the signed link whose page does that, where it is possible."
    )
    series_count: int = Field(description="How many series it is about.")
    anomalies: list[AnomalyAnswer] = Field(description="The rarest first; in a list of alerts at most 20 of each.")
    explained_by: str | None = Field(
        description="The values of a dimension behind most of the change; only of one alert."
    )
    contributions: list[ContributionAnswer] = Field(description="The same in numbers, the largest first.")
    explanations: list[ExplanationAnswer] = Field(
        description="By each dimension that says anything, the most telling first; only of one alert."
    )
    offer: str | None = Field(description="The verdict that Heed itself proposes, such as `new_normal`.")
    resembles: str | None = Field(
        description="An earlier happening of its series that is like it, and what people said."
    )
    created_at: datetime
    event_id: int | None = Field(description="The event that explains it.")
    gap_id: int | None = Field(description="The gap that caused it or, where `kind` is `data`, of which it tells.")
    delivery: str = Field(
        description="`live` and `digest` are told; `silent` and `stale` are only recorded, `silenced` while it lasts."
    )
    silence_id: int | None = Field(description="The silence that keeps it, or what is new of it, from being sent.")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    assigned_to: str | None = Field(description="Who looks after it, where somebody said so.")
    assigned_by: str | None
    assigned_at: datetime | None
    snoozed_until: datetime | None
    snoozed_for: SnoozedFor | None = Field(description="`change` or `recovery`, where it is snoozed until that.")
    channels: list[str] | None = Field(description="Names of the channels that are told; null: all.")
    escalate_at: datetime | None = Field(description="When others are told, too, unless somebody looks after it.")
    escalated_at: datetime | None
    labels: list[GivenVerdict] = Field(description="The verdicts that stand, the oldest first.")


class AlertList(BaseModel):
    alerts: list[AlertAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class Assignment(Input):
    to: Annotated[Text, Field(min_length=1, max_length=100, description="Who looks after it.", examples=["Anna"])]


class Snooze(Input):
    until: Literal["change", "recovery"] | Time = Field(
        description="A time; or `change`: until it grows by its policy's `growth_to_repeat`, becomes critical or is "
        "over; or `recovery`: until it is over.",
    )


@router.get("")
def list_alerts(
    heed: Heed,
    _bearer: AnalystBearer,
    status: Annotated[list[Status], Query(description="Repeat it for several.")] = [],  # noqa: B006
    kind: Literal["anomaly", "data"] | None = None,
    severity: Annotated[Text | None, Query(max_length=50)] = None,
    series_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    metric: Annotated[Text | None, Query(max_length=200, description="`*` stands for anything.")] = None,
    dimension: Annotated[list[Text], Query(description="`name:value`; repeat it for several.")] = [],  # noqa: B006
    start: Annotated[Time | None, Query(description="Only alerts that began then or later.")] = None,
    end: Annotated[Time | None, Query(description="Only alerts that began before.")] = None,
    labelled: Annotated[bool | None, Query(description="Only alerts with, or without, a verdict.")] = None,
    assigned_to: Annotated[Text | None, Query(max_length=100, description="Only alerts that this one has.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AlertList:
    """Alerts, the newest first, filtered and paged."""
    wanted = AlertFilter(
        status=[each.value for each in status],
        kind=kind,
        severity=severity,
        series_id=series_id,
        series=Matcher(metric if metric is not None else "*", read_dimensions(dimension)),
        start=start,
        end=end,
        labelled=labelled,
        assigned_to=assigned_to,
    )
    with heed.database.reading() as session:
        found = stored.find(session, wanted, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
        answers = _answers(session, found, heed)
    return AlertList(alerts=answers, next=write_cursor(found[-1].id) if len(found) == limit else None)


@router.get("/{alert_id}")
def get_alert(alert_id: Id, heed: Heed, _bearer: AnalystBearer) -> AlertAnswer:
    """One alert with its anomalies, what explains them, verdicts and links."""
    with heed.database.reading() as session:
        alert = existing(session, alert_id)
        facts = facts_of(session, [alert], heed.links, origin=ORIGIN, now=wall_now())[alert_id]
        labels = stored_labels.standing_of_alerts(session, [alert_id]).get(alert_id, [])
        return _answer(alert, each_explained(session, explained(session, facts)), labels)


@router.post("/{alert_id}/acknowledge")
def acknowledge_alert(alert_id: Id, heed: Heed, bearer: AnalystBearer) -> AlertAnswer:
    """Say that somebody looks after it. The first one counts; it is no verdict."""
    with heed.database.writing() as session:
        alert = existing(session, alert_id)
        look_after.acknowledge(session, alert, bearer.name, heed.clock.now())
        return _answers(session, [alert], heed)[0]


@router.post("/{alert_id}/assign")
def assign_alert(alert_id: Id, assignment: Assignment, heed: Heed, bearer: AnalystBearer) -> AlertAnswer:
    """Say who looks after it from now on. It counts as acknowledged."""
    with heed.database.writing() as session:
        alert = existing(session, alert_id)
        look_after.assign(session, alert, assignment.to, bearer.name, heed.clock.now())
        return _answers(session, [alert], heed)[0]


@router.delete("/{alert_id}/assign")
def unassign_alert(alert_id: Id, heed: Heed, _bearer: AnalystBearer) -> AlertAnswer:
    """Nobody in particular looks after it any more. It stays acknowledged where it was before it was assigned."""
    with heed.database.writing() as session:
        alert = existing(session, alert_id)
        look_after.unassign(session, alert)
        return _answers(session, [alert], heed)[0]


@router.post("/{alert_id}/snooze")
def snooze_alert(alert_id: Id, snooze: Snooze, heed: Heed, _bearer: AnalystBearer) -> AlertAnswer:
    """Tell nothing more of this alert until a time, until it changes, or until it is over."""
    if isinstance(snooze.until, datetime) and snooze.until <= heed.clock.now():
        raise Unprocessable("`until` must lie in the future.")
    until = SnoozedFor(snooze.until) if isinstance(snooze.until, str) else snooze.until
    with heed.database.writing() as session:
        alert = existing(session, alert_id)
        look_after.snooze(session, alert, until)
        return _answers(session, [alert], heed)[0]


@router.delete("/{alert_id}/snooze")
def wake_alert(alert_id: Id, heed: Heed, _bearer: AnalystBearer) -> AlertAnswer:
    """Tell of this alert as before: what waited is told now."""
    with heed.database.writing() as session:
        alert = existing(session, alert_id)
        look_after.wake(session, alert)
        answer = _answers(session, [alert], heed)[0]
    heed.committer.told()
    return answer


def existing(session: Session, alert_id: int) -> Alert:
    alert = stored.get(session, alert_id)
    if alert is None:
        raise NotFound("There is no alert with this id. GET /v1/alerts lists them.")
    return alert


def _answers(session: Session, alerts: list[Alert], heed: Service) -> list[AlertAnswer]:
    labels = stored_labels.standing_of_alerts(session, [alert.id for alert in alerts])
    known = facts_of(session, alerts, heed.links, origin=ORIGIN, now=wall_now())
    facts = {alert_id: shaped(session, each) for alert_id, each in known.items()}
    return [_answer(alert, facts[alert.id], labels.get(alert.id, []), LISTED_ANOMALIES) for alert in alerts]


def _answer(alert: Alert, facts: AlertFacts, labels: list[Label], most_anomalies: int | None = None) -> AlertAnswer:
    return AlertAnswer(
        id=alert.id,
        status=Status(alert.status),
        kind="data" if alert.kind == "data" else "anomaly",
        severity=alert.severity,
        title=alert.title,
        text=sentence(facts, reason_of(alert, facts)),
        remarks=list(remarks(facts)),
        started_at=alert.started_at,
        ended_at=alert.ended_at,
        url=facts.url,
        links=dict(facts.links),
        actions=dict(facts.actions),
        series_count=len({each.series.id for each in facts.anomalies}),
        anomalies=[_anomaly(each, facts.told_at) for each in facts.anomalies[:most_anomalies]],
        explained_by=facts.explained_by,
        contributions=_contributions(facts),
        explanations=[_explanation(each) for each in facts.explanations],
        offer=facts.offer,
        resembles=resemblance(facts),
        created_at=alert.created_at,
        event_id=alert.event_id,
        gap_id=alert.gap_id,
        delivery=alert.delivery,
        silence_id=alert.silence_id,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        assigned_to=alert.assigned_to,
        assigned_by=alert.assigned_by,
        assigned_at=alert.assigned_at,
        snoozed_until=alert.snoozed_until,
        snoozed_for=None if alert.snoozed_for is None else SnoozedFor(alert.snoozed_for),
        channels=alert.channels,
        escalate_at=alert.escalate_at,
        escalated_at=alert.escalated_at,
        labels=[_verdict(label) for label in labels],
    )


def _anomaly(anomaly: AnomalyFacts, told_at: datetime) -> AnomalyAnswer:
    series = anomaly.series
    return AnomalyAnswer(
        series=SeriesName(id=series.id, metric=series.metric, dimensions=dict(series.dimensions)),
        started_at=anomaly.started_at,
        ended_at=anomaly.ended_at,
        end_reason=None if anomaly.end is None else End(anomaly.end),
        latest=anomaly.latest,
        direction="down" if anomaly.direction < 0 else "up",
        actual=anomaly.actual,
        expected=anomaly.expected,
        lower=anomaly.lower,
        upper=anomaly.upper,
        rarity_weeks=float(f"{anomaly.rarity_weeks:.3g}"),
        rarity=limit_in_words(anomaly) or rarity_in_words(anomaly.rarity_weeks),
        impact=anomaly.impact,
        shape=anomaly.shape.kind if anomaly.shape else None,
        detector=anomaly.detector,
        evidence=[
            EvidenceAnswer(kind=kind, text=in_words(kind), rarity_weeks=weeks_of(anomaly.evidence[kind]))
            for kind in spoke(anomaly.evidence)
        ],
        worth=anomaly.worth,
        reasons=list(anomaly.reasons),
        explanations=[_explanation(each) for each in anomaly.explanations],
        resembles=[
            ResemblanceAnswer(
                started_at=each.at,
                verdict=each.verdict,
                distance=round(each.distance, 3),
                text=like_what(each, series.timezone, told_at),
            )
            for each in anomaly.resemblances
        ],
    )


def _explanation(found: Explanation) -> ExplanationAnswer:
    return ExplanationAnswer(
        dimension=found.dimension,
        text=found.sentence,
        compared=found.compared,
        contributions=[
            ShareAnswer(value=each.value, series_id=each.series_id, change=each.change, share=each.share)
            for each in found.contributions
        ],
    )


def _contributions(facts: AlertFacts) -> list[ContributionAnswer]:
    """Those of the most telling dimension."""
    return [
        ContributionAnswer(
            dimension=each.dimension, value=one.value, series_id=one.series_id, change=one.change, share=one.share
        )
        for each in facts.explanations[:1]
        for one in each.contributions
    ]


def _verdict(label: Label) -> GivenVerdict:
    return GivenVerdict(
        label_id=label.id,
        verdict=label.verdict,
        author=label.author,
        source=label.source,
        comment=label.comment,
        created_at=label.created_at,
    )
