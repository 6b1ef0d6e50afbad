"""The facts of alerts, gathered from the database for whoever shows them: channels, the API, pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.alerts.budget import Offer
from app.alerts.grouping import Extent
from app.alerts.life import longest
from app.alerts.message import (
    Action,
    AlertFacts,
    AnomalyFacts,
    Answered,
    Escalation,
    LostData,
    Reason,
    Resemblance,
    SeriesFacts,
    Silenced,
    Snoozed,
    WarmUp,
    as_it_ended,
    extent_of,
)
from app.alerts.rules import End, Severity, SnoozedFor
from app.pipeline.policies import current_policies
from app.pipeline.resemble import resembled
from app.security import Links
from app.store import alerts as stored_alerts
from app.store import happenings
from app.store import labels as stored_labels
from app.store import series as stored_series
from app.store import silences as stored_silences
from app.store.tables import Alert, Anomaly, Label, Series
from feedback.labels import LabelEvidence, Verdict

OFFERED = [verdict.value for verdict in Verdict if verdict is not Verdict.MISSED]
"""Verdicts that an alert's links offer."""

OFFERED_OF_GAP = [Verdict.REAL.value, Verdict.BAD_DATA.value]

UNKNOWN_CADENCE = 3_600
Worded = tuple[str | None, Mapping[str, str]]

MOST_REMEMBERED = 500
"""Earlier alerts that are looked through for one that is like a new one, the newest."""

REASON_OF_STATUS = {
    "firing": Reason.FIRING,
    "resolved": Reason.RESOLVED,
    "closed": Reason.CLOSED,
    "withdrawn": Reason.WITHDRAWN,
}


def reason_of(alert: Alert, facts: AlertFacts) -> Reason:
    """How an alert stands, as the reason of a message that would say so."""
    return as_it_ended(REASON_OF_STATUS[alert.status], facts)


def facts_of(
    session: Session, alerts: Sequence[Alert], links: Links, *, origin: str, now: datetime
) -> dict[int, AlertFacts]:
    """All that may be said of each alert, by its id. `origin`: who its links are given to. `now`: real time."""
    ids = [alert.id for alert in alerts]
    anomalies = stored_alerts.anomalies_of(session, ids)
    labels = stored_labels.standing_of_alerts(session, ids)
    series_ids = {each.series_id for those in anomalies.values() for each in those}
    series = stored_series.get_many(session, series_ids)
    rarest = {those[0].series_id for those in anomalies.values()}
    judged = stored_labels.standing_of_series(session, rarest)
    events = happenings.names_of(session, {alert.event_id for alert in alerts if alert.event_id is not None})
    gaps = happenings.origins_of(session, {alert.gap_id for alert in alerts if alert.gap_id is not None})
    past = stored_alerts.told_anomalies(session, rarest, limit=MOST_REMEMBERED)
    silences = _silences(session, alerts)
    worded = _worded(session, series.values())
    return {
        alert.id: AlertFacts(
            id=alert.id,
            kind=alert.kind,
            severity=alert.severity,
            title=alert.title,
            started_at=alert.started_at,
            ended_at=alert.ended_at,
            told_at=alert.created_at,
            url=links.alert_url(alert.id, origin, now),
            anomalies=_told(alert, anomalies.get(alert.id, []), series, worded),
            links=links.verdict_urls(alert.id, _offered(alert, anomalies, gaps), origin, now),
            answered=_answered(labels.get(alert.id, [])),
            event=events.get(alert.event_id or 0),
            offer=None if labels.get(alert.id) else _offer(alert, anomalies.get(alert.id, [])),
            resembles=_resembled(anomalies.get(alert.id, []), past, judged, series),
            growth_to_repeat=alert.growth_to_repeat,
            escalated_after=timedelta(seconds=alert.escalate_after_seconds or 0) if alert.escalated_at else None,
            silence=silences.get(alert.silence_id or 0),
            snooze=_snooze(alert, now),
            looked_after_by=alert.assigned_to or alert.acknowledged_by,
            actions={
                each.value: url_of_action(links, alert.id, each, origin, now)
                for each in _possible(alert, anomalies.get(alert.id, []), series, now)
            }
            | _budget_offered(links, alert, origin, now),
            escalates=_escalation(alert),
            given_up_after=_given_up_after(anomalies.get(alert.id, []), series),
            lost_data=_lost_data(alert, gaps),
            lead=alert.lead_series_id,
            is_of_bad_data=_is_of_bad_data(alert, labels.get(alert.id, [])),
        )
        for alert in alerts
    }


def _offered(alert: Alert, anomalies: Mapping[int, Sequence[Anomaly]], gaps: Mapping[int, str]) -> list[str]:
    """The verdicts that may be given: of a gap that Heed found, whether it is one."""
    if alert.kind == "data":
        return OFFERED_OF_GAP if _lost_data(alert, gaps) is LostData.FOUND else []
    return OFFERED if alert.id in anomalies else []


def _is_of_bad_data(alert: Alert, labels: Sequence[Label]) -> bool:
    said = _answered(labels)
    return alert.gap_id is not None or (said is not None and said.verdict == Verdict.BAD_DATA)


def _lost_data(alert: Alert, gaps: Mapping[int, str]) -> LostData | None:
    origin = gaps.get(alert.gap_id or 0)
    if alert.kind != "data" or origin is None:
        return None
    return LostData.FOUND if origin in happenings.FOUND else LostData.DECLARED


def _offer(alert: Alert, anomalies: Sequence[Anomaly]) -> str | None:
    """The verdict that Heed proposes while nobody has answered: what has lasted for a day may well stay so."""
    if Offer.read(alert.offer):
        return None
    aged = any(each.end_reason == End.AGED and each.outcome != "withdrawn" for each in anomalies)
    return alert.offer or (Verdict.NEW_NORMAL.value if aged else None)


def _budget_offered(links: Links, alert: Alert, origin: str, now: datetime) -> dict[str, str]:
    """Where what an alert of a broken budget offers can be taken."""
    offer = Offer.read(alert.offer)
    if offer is None or alert.policy is None or alert.status != "firing":
        return {}
    url = links.budget_url(alert.id, alert.policy, offer.before, offer.wanted, origin=origin, now=now)
    return {Action.BUDGET.value: url}


def url_of_action(links: Links, alert_id: int, action: Action, origin: str, now: datetime) -> str:
    """Where it is done. `origin`, `now`: as of `facts_of`."""
    if action is Action.MISSED:
        return links.missed_url(alert_id, origin, now)
    return links.action_url(alert_id, action.value, origin, now)


def _possible(alert: Alert, anomalies: Sequence[Anomaly], series: Mapping[int, Series], now: datetime) -> list[Action]:
    """What can still be done with it besides answering it."""
    is_on, is_snoozed = alert.status == "firing", _is_snoozed(alert, anomalies, series, now)
    possible = {
        Action.ACKNOWLEDGE: is_on and not (alert.assigned_to or alert.acknowledged_by),
        Action.SNOOZE: is_on and alert.kind == "anomaly" and not is_snoozed,
        Action.MISSED: bool(anomalies) and alert.status != "withdrawn",
    }
    return [action for action, is_possible in possible.items() if is_possible]


def _escalation(alert: Alert) -> Escalation | None:
    """What is to come; not what has come already."""
    if alert.escalate_at is None or alert.escalated_at is not None or not alert.escalate_to:
        return None
    return Escalation(alert.escalate_at, tuple(alert.escalate_to))


def _given_up_after(anomalies: Sequence[Anomaly], series: Mapping[int, Series]) -> timedelta | None:
    """For how long an alert about series like these may last; None of one that is about no series."""
    cadences = [series[each.series_id].cadence_seconds or 0 for each in anomalies]
    return timedelta(seconds=longest(max(cadences))) if cadences else None


def _snooze(alert: Alert, now: datetime) -> Snoozed | None:
    if alert.snoozed_for is not None:
        then = alert.snoozed_at_extent or {}
        return Snoozed(None, SnoozedFor(alert.snoozed_for), Extent.read(then), Severity(then["severity"]))
    until = alert.snoozed_until
    return Snoozed(until) if until is not None and until > now and alert.status == "firing" else None


def _is_snoozed(alert: Alert, anomalies: Sequence[Anomaly], series: Mapping[int, Series], now: datetime) -> bool:
    snooze = _snooze(alert, now)
    if snooze is None:  # nearly always, and to measure a large alert takes a while
        return False
    size = _measured(alert, anomalies, series)
    return snooze.holds(size, Severity(alert.severity), alert.growth_to_repeat)


def is_snoozed(session: Session, alert: Alert, now: datetime) -> bool:
    """Whether somebody wants to hear no more of it yet. `now`: real time."""
    return _is_snoozed(alert, *_anomalies_and_series(session, alert), now)


def measured(session: Session, alert: Alert) -> Extent:
    """How large it is."""
    return _measured(alert, *_anomalies_and_series(session, alert))


def _measured(alert: Alert, anomalies: Sequence[Anomaly], series: Mapping[int, Series]) -> Extent:
    return extent_of(_told(alert, anomalies, series, dict.fromkeys(series, (None, {}))))


def _anomalies_and_series(session: Session, alert: Alert) -> tuple[Sequence[Anomaly], Mapping[int, Series]]:
    anomalies = stored_alerts.anomalies_of(session, [alert.id]).get(alert.id, [])
    return anomalies, stored_series.get_many(session, {each.series_id for each in anomalies})


def _silences(session: Session, alerts: Sequence[Alert]) -> dict[int, Silenced]:
    """What keeps alerts of which nobody was told from being sent."""
    ids = {alert.silence_id for alert in alerts if alert.delivery == "silenced" and alert.silence_id is not None}
    found = stored_silences.by_id(session, ids) if ids else {}
    return {each.id: Silenced(each.author, each.ended_at, each.comment) for each in found.values()}


def _told(
    alert: Alert, anomalies: Sequence[Anomaly], series: Mapping[int, Series], worded: Mapping[int, Worded]
) -> tuple[AnomalyFacts, ...]:
    """Its anomalies, less those that late points took back while others stand."""
    standing = [each for each in anomalies if each.outcome != "withdrawn" or alert.status == "withdrawn"]
    return tuple(_anomaly(each, series[each.series_id], worded[each.series_id]) for each in standing)


def _worded(session: Session, series: Iterable[Series]) -> dict[int, Worded]:
    """The unit and the wording that policies give each series, by its id."""
    policies = current_policies(session, {})
    return {
        each.id: (
            policies.given("unit", each.metric, each.dimensions),
            policies.given("wording", each.metric, each.dimensions) or {},
        )
        for each in series
    }


def _anomaly(anomaly: Anomaly, series: Series, worded: Worded) -> AnomalyFacts:
    return AnomalyFacts(
        series=SeriesFacts(
            series.id,
            series.metric,
            series.dimensions,
            series.timezone,
            series.cadence_seconds or UNKNOWN_CADENCE,
            *worded,
        ),
        started_at=anomaly.started_at,
        ended_at=anomaly.ended_at,
        direction=anomaly.direction,
        actual=anomaly.actual,
        expected=anomaly.expected,
        lower=anomaly.lower,
        upper=anomaly.upper,
        rarity=anomaly.rarity,
        impact=anomaly.impact,
        point_count=anomaly.point_count,
        detector=anomaly.detector,
        warm_up=_warm_up(anomaly.evidence),
        worth=_triage(anomaly.evidence).get("worth"),
        reasons=tuple(_triage(anomaly.evidence).get("reasons", ())),
        evidence={kind: float(rarity) for kind, rarity in anomaly.evidence.items() if isinstance(rarity, int | float)},
        place=anomaly.id,
        end=anomaly.end_reason,
        latest=anomaly.latest,
        last_abnormal_at=anomaly.last_abnormal_at,
    )


def _triage(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """What triage made of it when it was told, where anybody had taught it anything."""
    return evidence.get("triage") or {}


def _warm_up(evidence: Mapping[str, Any]) -> WarmUp | None:
    """Left in the evidence, as `{"warm_up": {"days_seen", "days_needed"}}`, where a series alerts before its time."""
    left = evidence.get("warm_up")
    return WarmUp(int(left["days_seen"]), int(left["days_needed"])) if isinstance(left, Mapping) else None


def _resembled(
    anomalies: Sequence[Anomaly], past: Sequence[Anomaly], judged: Sequence[LabelEvidence], series: Mapping[int, Series]
) -> Resemblance | None:
    """What the rarest of them is most like."""
    if not anomalies:
        return None
    return next(iter(resembled(anomalies[0], past, judged, series[anomalies[0].series_id].timezone)), None)


def _answered(labels: Sequence[Label]) -> Answered | None:
    """The verdict of the strongest identity, the newest of equals. Only people who signed in are known by name."""
    if not labels:
        return None
    decisive = max(labels, key=lambda label: (label.weight, label.created_at, label.id))
    return Answered(decisive.verdict, None if decisive.source == "link" else decisive.author)
