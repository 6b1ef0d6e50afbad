"""Write what happened to runs of strange points: anomalies, alerts, and the notifications that tell of them.

Everything is keyed by series and start, so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.grouping import Extent, group_key, lead_of, left_of, may_have_grown, off_by, split_by
from app.alerts.message import title_of_several
from app.alerts.policy import Resolved, resolved
from app.alerts.rules import (
    Critical,
    Delivery,
    End,
    Outcome,
    Severity,
    Silencing,
    outcome_of_untold,
    severity_of,
    silence_of,
    worse,
)
from app.pipeline.groups import HEARD, Groups, Newcomer, member_of
from app.pipeline.notify import enqueue_all, held_until, put_off
from app.pipeline.score import Transition
from app.store import alerts as stored
from app.store import notifications as outbox
from app.store import series as stored_series
from app.store.tables import Alert, Anomaly, Series
from detectors.training import LEARNING_DAYS

log = structlog.get_logger()

KEPT = ("features", "triage")
"""Of a told run, what triage saw and made of it when it was told, however it goes on."""
NO_POLICY = resolved((), {})
SENT = "sent"
UNTOLD_DELIVERIES = (Delivery.SILENT, Delivery.STALE)


@dataclass(frozen=True)
class Recording:
    """What the recorder must know besides the transitions.

    series_id: of a slot. delivery: who is told of a point. policy: what holds for the series of a slot, asked where
    people are told of it. silences: those in force. wall_now: real time, from which deliveries are due. now: by the
    clock of the points. may_wait: whether what nobody is told of at once is told of in the daily digest.
    """

    series_id: Callable[[int], int]
    delivery: Callable[[Transition], Delivery]
    wall_now: datetime
    now: datetime
    policy: Callable[[int], Resolved] = lambda _slot: NO_POLICY
    silences: Sequence[Silencing] = ()
    may_wait: bool = True


@dataclass
class Book:
    """The rows that the transitions of one commit are about, and what is to be told of them in which order.

    opened: ids of alerts that are new; announced: those of them that a first message tells of. joined: newcomers by
    the id of their alert. over: ids of alerts with an anomaly that has ended. grown: alerts that may be worth speaking
    of again.
    """

    session: Session
    recording: Recording
    anomalies: dict[tuple[int, datetime], Anomaly]
    alerts: dict[int, Alert]
    messages: list[tuple[Alert, str]] = field(default_factory=list)
    opened: set[int] = field(default_factory=set)
    announced: set[int] = field(default_factory=set)
    joined: dict[int, list[Newcomer]] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)
    grown: dict[int, Alert] = field(default_factory=dict)

    def key(self, transition: Transition) -> tuple[int, datetime]:
        return self.recording.series_id(transition.slot), as_time(transition.run.opened_at)

    def silence_of(self, series: Series) -> int | None:
        """The silence that keeps alerts of the series from being sent."""
        return silence_of(series.metric, series.dimensions, self.recording.silences)


def newcomer_of(book: Book, series: Series, transition: Transition, over_budget: Collection[str]) -> Newcomer:
    """over_budget: policies that tell of too much."""
    member, run = member_of(series), transition.run
    policy = book.recording.policy(transition.slot)
    band = (none_if_unknown(each) for each in (run.peak_expected, run.peak_lower, run.peak_upper))
    change = off_by(run.peak_value, *band)
    critical = Critical(policy.settings.critical_change, policy.settings.critical_impact)
    severity = severity_of(
        run.peak_rarity, detector=transition.detector, change=change, impact=run.impact, critical=critical
    )
    delivery = book.recording.delivery(transition)
    silence_id = book.silence_of(series) if delivery in HEARD else None
    zone = policy.settings.timezone or series.timezone
    may_be_heard = delivery is Delivery.LIVE and silence_id is None
    if delivery is Delivery.LIVE and severity is not Severity.CRITICAL:
        delivery = delivery_by(policy, zone, book.recording.now, over_budget)
    return Newcomer(
        member=member,
        policy=policy,
        group_key=group_key(policy, member, run.direction),
        delivery=delivery if silence_id is None else Delivery.SILENCED,
        started_at=as_time(run.opened_at),
        told_at=as_time(transition.timestamp),
        direction=run.direction,
        severity=severity,
        cadence_seconds=series.cadence_seconds or 0,
        timezone=zone,
        silence_id=silence_id,
        may_be_heard=may_be_heard,
    )


def delivery_by(policy: Resolved, zone: str, now: datetime, over_budget: Collection[str]) -> Delivery:
    """Who is told of an alert that is not critical: nobody at once where the owner is away, or has heard too much."""
    hours = policy.settings.active_hours
    if hours is not None and not hours.hold(now, zone):
        return Delivery.DIGEST
    return Delivery.DIGEST if policy.origin["alerts_per_week"] in over_budget else Delivery.LIVE


def record(session: Session, transitions: Sequence[Transition], recording: Recording) -> int:
    """Bring anomalies and alerts up to date; returns how many messages are due because of it."""
    relevant = without_overtaken_growth(transitions)
    if not relevant:
        return 0
    book = Book(session, recording, {}, {})
    book.anomalies = stored.anomalies_by_start(session, {book.key(each) for each in relevant})
    known = [a.alert_id for a in book.anomalies.values() if a.alert_id is not None]
    book.alerts = stored.by_id(session, known, to_change=True)
    _meet_anomalies(book, relevant)
    for transition in relevant:
        _follow(book, transition)
    session.flush()
    bring_in_line(book)
    return tell(book)


def without_overtaken_growth(transitions: Sequence[Transition]) -> list[Transition]:
    """In time order, less those where a run merely grew and something later happened to the same series."""
    ordered = sorted(transitions, key=lambda t: (t.timestamp, t.slot))
    last = {t.slot: t.timestamp for t in ordered}
    return [t for t in ordered if t.changes != {"grew"} or last[t.slot] == t.timestamp]


def as_time(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(int(unix_seconds), UTC)


def _meet_anomalies(book: Book, transitions: Sequence[Transition]) -> None:
    """An anomaly for every run that has none, and an alert for every one that is told now."""
    told: dict[tuple[int, datetime], Transition] = {}
    for transition in transitions:
        key = book.key(transition)
        anomaly = book.anomalies.setdefault(key, Anomaly(series_id=key[0], started_at=key[1]))
        if "told" in transition.changes and anomaly.alert_id is None:
            told.setdefault(key, transition)
    if told:
        give_alerts(book, [(book.anomalies[key], transition) for key, transition in told.items()])


def give_alerts(book: Book, told: Sequence[tuple[Anomaly, Transition]]) -> None:
    """Put each anomaly that is told now into the alert of its cause, or into a new one; in their order."""
    series = stored_series.get_many(book.session, {anomaly.series_id for anomaly, _ in told})
    over = stored.over_budget(book.session)
    newcomers = [newcomer_of(book, series[anomaly.series_id], transition, over) for anomaly, transition in told]
    groups = Groups(book.session, newcomers)
    alerts, opened = [], []
    for newcomer in newcomers:
        known = groups.alert_of(newcomer)
        alert = known or newcomer.alert(book.recording.now)
        if known is None:
            if alert.delivery == Delivery.DIGEST and book.recording.may_wait:
                put_off(alert, book.recording.now)
            opened.append(alert)
        alert.started_at = min(alert.started_at, newcomer.started_at)
        alert.newest_start = max(alert.newest_start or newcomer.started_at, newcomer.started_at)
        groups.take_in(newcomer, alert, is_new=known is None)
        alerts.append(alert)
    book.session.add_all(opened)
    book.session.flush()
    book.opened |= {alert.id for alert in opened}
    for (anomaly, _), newcomer, alert in zip(told, newcomers, alerts, strict=True):
        anomaly.alert_id = alert.id
        book.alerts[alert.id] = alert
        book.joined.setdefault(alert.id, []).append(newcomer)
        what = "alert_opened" if len(book.joined[alert.id]) == 1 and alert.id in book.opened else "alert_joined"
        log.info(what, alert=alert.id, series=anomaly.series_id, delivery=alert.delivery)


def _follow(book: Book, transition: Transition) -> None:
    """One step of a run: it begins to be told, goes on, comes back, or is over."""
    anomaly = book.anomalies[book.key(transition)]
    alert = book.alerts.get(anomaly.alert_id or 0)
    if alert is not None and alert.status == "closed":
        return
    before = _extent(anomaly) if anomaly in book.session else None
    describe(anomaly, transition)
    book.session.add(anomaly)
    if alert is None or (alert.status == "withdrawn" and "told" not in transition.changes):
        return
    if alert.status == "withdrawn":  # late points had taken it back, later ones bear it out
        _goes_on(book, alert)
    fresh = book.recording.delivery(transition) is Delivery.LIVE
    if "told" in transition.changes:
        meet(book, alert)
    if alert.delivery in UNTOLD_DELIVERIES and fresh and "ended" not in transition.changes:
        _tell_after_all(book, alert, anomaly)
    elif before is not None and may_have_grown(before, _extent(anomaly), alert.growth_to_repeat):
        book.grown[alert.id] = alert
    severity = _severity(alert, anomaly)
    if worse(Severity(alert.severity), severity) != alert.severity:
        _worsen(book, alert, severity, fresh=fresh)
    if "reopened" in transition.changes and alert.status == "resolved":
        _goes_on(book, alert)
    if "ended" in transition.changes:
        book.over.add(alert.id)


def _worsen(book: Book, alert: Alert, severity: Severity, *, fresh: bool) -> None:
    alert.severity = severity
    book.grown[alert.id] = alert
    if alert.daily_digest is not None and fresh:  # it can't wait for the digest any longer
        alert.delivery, alert.daily_digest = Delivery.LIVE, None
        book.messages.append((alert, "updated" if outbox.last_reasons(book.session, [alert.id]) else "firing"))


def meet(book: Book, alert: Alert) -> None:
    """One of its anomalies is told now: the alert is told, or has grown, or is not over after all."""
    if alert.id not in book.opened:
        book.grown[alert.id] = alert
    elif alert.id not in book.announced:
        book.announced.add(alert.id)
        book.messages.append((alert, "firing"))
    if alert.status == "resolved":
        _goes_on(book, alert)


def _tell_after_all(book: Book, alert: Alert, anomaly: Anomaly) -> None:
    """It began in old points that nobody was told of, and it still lasts."""
    series = stored_series.get(book.session, anomaly.series_id)
    alert.silence_id = book.silence_of(series) if series else None
    if alert.silence_id is not None:
        alert.delivery = Delivery.SILENCED
        return
    alert.delivery = Delivery.LIVE
    book.messages.append((alert, "firing"))


def _goes_on(book: Book, alert: Alert) -> None:
    """It was over, and is not."""
    alert.status, alert.ended_at = "firing", None
    book.messages.append((alert, "updated"))


def _off_by(anomaly: Anomaly) -> float:
    """How far off its rarest point is."""
    return off_by(anomaly.actual, anomaly.expected, anomaly.lower, anomaly.upper)


def _extent(anomaly: Anomaly) -> Extent:
    return Extent(1, _off_by(anomaly), left_of(anomaly.actual, anomaly.expected))


def _severity(alert: Alert, anomaly: Anomaly) -> Severity:
    """How severe one anomaly of the alert is by what its policy said when it opened."""
    critical = Critical(alert.critical_change, alert.critical_impact)
    return severity_of(
        anomaly.rarity, detector=anomaly.detector, change=_off_by(anomaly), impact=anomaly.impact, critical=critical
    )


def bring_in_line(book: Book) -> None:
    """Alerts whose anomalies are not what they were: how many series they have, what they are called, if they are over.

    What the anomalies are must have been written.
    """
    extents = stored.extents(book.session, book.over | book.joined.keys())
    for alert_id, extent in extents.items():
        alert = book.alerts[alert_id]
        if extent.last_end is not None and alert.status == "firing":
            stored.resolve(alert, extent.last_end)
            book.messages.append((alert, "resolved"))
        alert.series_count = extent.series
    _name_anew(book, [book.alerts[each] for each in book.joined if book.alerts[each].series_count > 1])


def _name_anew(book: Book, alerts: Sequence[Alert]) -> None:
    """Titles of alerts that took newcomers in; the total of a metric leads its parts."""
    leads = stored_series.get_many(book.session, {each.lead_series_id for each in alerts if each.lead_series_id})
    for alert in alerts:
        newcomers = book.joined[alert.id]
        known = leads.get(alert.lead_series_id or 0)
        split = split_by(newcomers[0].policy)
        lead = lead_of(member_of(known) if known else None, [each.member for each in newcomers], split)
        alert.lead_series_id = lead.series_id
        one_way = "direction" in newcomers[0].policy.settings.group_by
        way = newcomers[0].direction if one_way else 0
        alert.title = title_of_several(lead.metric, lead.dimensions, way, alert.series_count)


def describe_alert(alert: Alert, standing: Sequence[Anomaly], series: Mapping[int, Series], policy: Resolved) -> None:
    """Write into the alert what the anomalies amount to that it tells of, the rarest of them first.

    policy: of any of its series, as they share what they are grouped by.
    """
    alert.started_at = min(each.started_at for each in standing)
    alert.newest_start = max(each.started_at for each in standing)
    worst = [_severity(alert, each) for each in standing]
    alert.severity = Severity.CRITICAL if Severity.CRITICAL in worst else Severity.WARNING
    alert.series_count = len({each.series_id for each in standing})
    members = {each.series_id: member_of(series[each.series_id]) for each in standing}
    lead = members.get(alert.lead_series_id or 0) or lead_of(None, members.values(), split_by(policy))
    alert.lead_series_id = lead.series_id
    ways = {each.direction for each in standing}
    alert.title = title_of_several(
        lead.metric, lead.dimensions, ways.pop() if len(ways) == 1 else 0, alert.series_count
    )


def describe(anomaly: Anomaly, transition: Transition) -> None:
    """Write into the anomaly what its run was after the transition."""
    run = transition.run
    anomaly.last_abnormal_at = as_time(run.last_abnormal_at)
    anomaly.ended_at = as_time(transition.timestamp) if "ended" in transition.changes else None
    anomaly.end_reason = end_of(transition)
    anomaly.direction = run.direction
    anomaly.rarity = run.peak_rarity
    anomaly.peak_at = as_time(run.peak_at)
    anomaly.actual = run.peak_value
    anomaly.expected, anomaly.lower, anomaly.upper = (
        none_if_unknown(number) for number in (run.peak_expected, run.peak_lower, run.peak_upper)
    )
    anomaly.impact = run.impact
    anomaly.point_count = run.abnormal_points
    if not math.isnan(transition.value):
        anomaly.latest = transition.value
    anomaly.threshold = transition.threshold
    anomaly.detector = transition.detector
    kept = transition.kept or {name: anomaly.evidence[name] for name in KEPT if name in (anomaly.evidence or {})}
    anomaly.evidence = dict(run.evidence) | warm_up(transition.days_seen) | kept
    anomaly.outcome = (
        Outcome.TOLD
        if run.told_at
        else outcome_of_untold(
            run.peak_rarity,
            change=abs(run.peak_value - run.peak_expected),
            expected=run.peak_expected,
            direction=run.direction,
            bar=transition.bar,
            may_alert=transition.may_alert,
        )
    )


def end_of(transition: Transition) -> End | None:
    """Why the run is over, or None while it is not."""
    if "ended" not in transition.changes:
        return None
    return next((end for end in (End.AGED, End.SILENT) if end in transition.changes), End.RECOVERED)


def none_if_unknown(number: float) -> float | None:
    return None if math.isnan(number) else number


def warm_up(days_seen: int) -> dict[str, dict[str, int]]:
    """What a message says of a series that is told of before it has been learned in full."""
    if days_seen >= LEARNING_DAYS:
        return {}
    return {"warm_up": {"days_seen": days_seen, "days_needed": LEARNING_DAYS}}


def tell(book: Book) -> int:
    """Put the messages of live alerts into the outbox, each alert's in their order; returns how many."""
    spoken_of = {alert.id for alert, _ in book.messages}
    grown = [
        (alert, "grown") for alert in book.grown.values() if alert.id not in spoken_of and alert.status == "firing"
    ]
    waves: list[dict[int, str]] = []
    due = 0
    for alert, reason in [*book.messages, *grown]:
        if not _is_told_now(alert, reason, book.recording.now):
            log.info("alert_not_told", alert=alert.id, reason=alert.daily_digest or alert.delivery, step=reason)
            continue
        wave = next((wave for wave in waves if alert.id not in wave), None)
        if wave is None:
            wave = {}
            waves.append(wave)
        wave[alert.id] = reason
    for wave in waves:
        for reason in dict.fromkeys(wave.values()):
            of_reason = [alert_id for alert_id, why in wave.items() if why == reason]
            due += enqueue_all(book.session, of_reason, reason, book.recording.wall_now)
    return due


def _is_told_now(alert: Alert, reason: str, now: datetime) -> bool:
    """Whether its message goes out at once. What a digest told of is told to be over in the next one."""
    if alert.delivery != Delivery.LIVE:
        if alert.delivery == Delivery.DIGEST and alert.daily_digest == SENT and reason in ("resolved", "updated"):
            put_off(alert, now)
        return False
    if held_until(alert, now) is not None:
        put_off(alert, now)
        return False
    return True
