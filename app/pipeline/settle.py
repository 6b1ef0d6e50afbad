"""What an alert is by all that stands about it: its runs, and the labels, events, gaps and new normals about them.

Whoever lets one of these come or go has the alerts settled that it may concern; in what order they came and went does
not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.message import Reason
from app.alerts.rules import Delivery, Outcome
from app.clock import wall_now
from app.pipeline.notify import enqueue
from app.store import alerts as stored_alerts
from app.store import desensitisations, happenings, points
from app.store import labels as stored_labels
from app.store import series as stored_series
from app.store.happenings import FAR_FUTURE
from app.store.tables import Alert, Anomaly, Event, Gap
from feedback.labels import SOON, AlertEffect, EffectOn, LabelEvidence
from feedback.recurrence import Occurrence

log = structlog.get_logger()

CLOSING = (AlertEffect.CLOSED, AlertEffect.WITHDRAWN)
BY_ITS_RUNS = ("firing", "resolved")
AN_INSTANT = timedelta(seconds=1)


@dataclass(frozen=True)
class About:
    """What stands about one alert, beside its runs.

    event_id: the event that explains it. lost_in: the gap that it began in, whose points are taken for missing;
    filled_in: the same of a gap whose points are all there now; of several the one that was declared first.
    new_level: whether a new normal that somebody declared closed it.
    """

    labels: Sequence[LabelEvidence] = ()
    event_id: int | None = None
    lost_in: int | None = None
    filled_in: int | None = None
    new_level: bool = False


@dataclass(frozen=True)
class Settled:
    """What an alert is."""

    status: str
    event_id: int | None
    gap_id: int | None


def settled(alert: Alert, runs: Sequence[Anomaly], about: About) -> Settled:
    """What the alert is while this stands about it.

    What was withdrawn for a gap counts again where no gap is left that caused it, as if it had not been scored since.
    """
    as_scored = settled_as_scored(alert, runs, about)
    return settled_as_scored(alert, runs, about, freed=True) if is_freed(alert, as_scored) else as_scored


def is_freed(alert: Alert, after: Settled) -> bool:
    """Whether it was withdrawn for a gap, and no gap is left that caused it."""
    return alert.gap_id is not None and after.gap_id is None


def settled_as_scored(alert: Alert, runs: Sequence[Anomaly], about: About, *, freed: bool = False) -> Settled:
    """What the alert is by its runs as they were last scored.

    Withdrawn, where a gap caused it, where all of it is called bad data, and where there is nothing to tell: late
    points took it back, or nobody was told of it nor says any more that it was missed. Else closed, where an event or
    a new normal explains it, or people closed it for all its series. Else what its runs are, less those that people
    closed. freed: runs that were taken back count.
    """
    told = [run for run in runs if run.outcome == Outcome.TOLD or (freed and run.outcome == Outcome.WITHDRAWN)]
    is_news = bool(told) or any(each.effects.alert is AlertEffect.OPENED_SILENTLY for each in about.labels)
    gap_id = about.lost_in if is_news else None
    if not is_news and alert.gap_id is not None and any(run.outcome == Outcome.WITHDRAWN for run in runs):
        gap_id = about.lost_in or about.filled_in
    said = [said_of(about.labels, alert.id, run.series_id) for run in runs]
    if gap_id is not None or not is_news or all(effect is AlertEffect.WITHDRAWN for effect in said):
        return Settled("withdrawn", about.event_id, gap_id)
    if about.event_id is not None or about.new_level or all(effect in CLOSING for effect in said):
        return Settled("closed", about.event_id, None)
    over = all(run.ended_at is not None or effect in CLOSING for run, effect in zip(runs, said, strict=True))
    return Settled("resolved" if over else "firing", None, None)


def said_of(labels: Sequence[LabelEvidence], alert_id: int, series_id: int) -> AlertEffect | None:
    """What the verdict on one series of an alert does to it: one on that series alone, or on the whole alert."""
    concerned = [
        each
        for each in labels
        if each.alert_id == alert_id
        and (each.of_whole_alert or each.series_id == series_id)
        and each.acts_on(EffectOn.ALERT)
    ]
    deciding = max(concerned, key=lambda each: each.authority, default=None)
    return deciding.effects.alert if deciding else None


def news(before: str, after: str) -> Reason | None:
    """What people are told of an alert that was this and is that now; None where it was over for them, and is still."""
    if before == after or before == "closed":
        return None
    if after == "closed":
        return Reason.CLOSED if before == "firing" else None
    if after == "resolved":
        return Reason.RESOLVED if before == "firing" else Reason.UPDATED
    return Reason.WITHDRAWN if after == "withdrawn" else Reason.UPDATED


def settle(
    session: Session,
    alert_ids: Iterable[int],
    now: datetime,
    *,
    scored_again: Callable[[Anomaly], bool] = lambda _run: False,
) -> list[int]:
    """Bring these alerts into line with all that stands; returns the ids of series whose run is let go.

    A run that was told goes on without a word, even where it reopens far stranger; so the run of an alert that is
    closed or withdrawn is let go, and what comes after it is judged anew.
    scored_again: which runs are about to be; an alert of theirs that was withdrawn for a gap waits for what that finds.
    """
    session.flush()
    alerts = stored_alerts.by_id(session, alert_ids, to_change=True)
    runs = stored_alerts.anomalies_of(session, alerts)
    around = about(session, [alerts[each] for each in runs], runs)
    released: list[int] = []
    for alert_id in sorted(runs):
        released += _settle(session, alerts[alert_id], runs[alert_id], around[alert_id], now, scored_again)
    return released


def _settle(
    session: Session,
    alert: Alert,
    runs: Sequence[Anomaly],
    around: About,
    now: datetime,
    scored_again: Callable[[Anomaly], bool],
) -> list[int]:
    before, after = alert.status, settled(alert, runs, around)
    freed = is_freed(alert, after)
    if freed and after.status in BY_ITS_RUNS and any(map(scored_again, runs)):
        return []
    for run in runs:
        if after.gap_id is not None and run.outcome == Outcome.TOLD:
            run.outcome = Outcome.WITHDRAWN
        elif freed and run.outcome == Outcome.WITHDRAWN:
            run.outcome = Outcome.TOLD
    ending = end_runs(alert, runs, around, after, now)
    reason = become(alert, runs, after)
    session.flush()
    if reason and alert.delivery == Delivery.LIVE:
        enqueue(session, alert.id, reason, wall_now())
    over = before in BY_ITS_RUNS and after.status not in BY_ITS_RUNS
    return [run.series_id for run in stored_alerts.latest_of_their_series(session, runs if over else ending)]


def end_runs(alert: Alert, runs: Iterable[Anomaly], around: About, after: Settled, now: datetime) -> list[Anomaly]:
    """End the runs that go on, all of an alert that is over, else those that people closed; returns which."""
    ending = [
        run
        for run in runs
        if run.ended_at is None
        and (after.status not in BY_ITS_RUNS or said_of(around.labels, alert.id, run.series_id) in CLOSING)
    ]
    for run in ending:
        run.ended_at = run.last_abnormal_at if after.status == "withdrawn" else max(now, run.last_abnormal_at)
    return ending


def cut_short(session: Session, alert_id: int) -> list[Anomaly]:
    """The runs of an alert that people ended, and that nothing which stands has ended: they may go on.

    Where its series was told of since, that took over.
    """
    alert = stored_alerts.get(session, alert_id)
    runs = stored_alerts.anomalies_of(session, [alert_id]).get(alert_id, [])
    if alert is None or alert.status not in BY_ITS_RUNS:
        return []
    around = about(session, [alert], {alert_id: runs})[alert_id] if runs else About()
    answered = [
        run
        for run in runs
        if run.outcome == Outcome.TOLD
        and is_cut_short(run)
        and said_of(around.labels, alert_id, run.series_id) not in CLOSING
    ]
    return stored_alerts.last_told_of_their_series(session, answered)


def is_cut_short(run: Anomaly) -> bool:
    """Whether somebody's answer ended it, and not the series itself."""
    return run.ended_at is not None and run.end_reason is None


def was_calm_since(session: Session, run: Anomaly) -> bool:
    """Whether the points since, as they were scored when they came, would have ended a run that was cut short."""
    last = int(run.last_abnormal_at.timestamp())
    since = points.read_points(session, [run.series_id], last + 1, FAR_FUTURE)
    calm = since.rarity < run.threshold
    strange_at = np.maximum.accumulate(np.where(calm, last, since.timestamp))
    long = since.timestamp - strange_at >= SOON.total_seconds()
    return bool((calm[1:] & calm[:-1] & long[1:]).any())


def would_be_told(session: Session, alerts: Collection[Alert], *, without_labels: Collection[int]) -> set[int]:
    """Ids of the alerts that nothing closes or takes back without these labels and what they made."""
    runs = stored_alerts.anomalies_of(session, [alert.id for alert in alerts])
    around = about(session, [alert for alert in alerts if alert.id in runs], runs, without_labels=without_labels)
    return {
        alert.id
        for alert in alerts
        if alert.id in around and settled(alert, runs[alert.id], around[alert.id]).status in BY_ITS_RUNS
    }


def become(alert: Alert, runs: Sequence[Anomaly], after: Settled) -> Reason | None:
    """Write into the alert what it is now, by runs that are written already; returns what people are told of it."""
    reason = news(alert.status, after.status)
    if alert.status != after.status:
        log.info("alert_settled", alert=alert.id, status=after.status, declared=after.event_id, gap=after.gap_id)
    alert.event_id, alert.gap_id = after.event_id, after.gap_id
    stored_alerts.become(alert, runs, after.status)
    return reason


def about(
    session: Session,
    alerts: Collection[Alert],
    runs: Mapping[int, Sequence[Anomaly]],
    *,
    without_labels: Collection[int] = (),
) -> dict[int, About]:
    """What stands about each of these alerts. without_labels: ids of labels that do not count, nor what they made."""
    if not alerts:
        return {}
    ids = [alert.id for alert in alerts]
    labels: defaultdict[int | None, list[LabelEvidence]] = defaultdict(list)
    for label in stored_labels.standing_evidence(session, alert_ids=ids):
        if label.label_id not in without_labels:
            labels[label.alert_id].append(label)
    levels = desensitisations.declared_on(session, ids)
    every = [run for alert in alerts for run in runs[alert.id]]
    events = [each for each in happenings.standing(session, Event) if each.label_id not in without_labels]
    gaps = [each for each in happenings.standing(session, Gap) if each.label_id not in without_labels]
    explaining = _reaches(session, events, every)
    losing = _reaches(session, [gap for gap in gaps if gap.filled_at is None], every)
    filled = _reaches(session, [gap for gap in gaps if gap.filled_at is not None], every)

    def first(those: Iterable[_Reach], alert: Alert) -> int | None:
        return next((each.id for each in those if each.covers(alert, runs[alert.id])), None)

    return {
        alert.id: About(
            labels[alert.id],
            event_id=first(explaining, alert),
            lost_in=first(losing, alert),
            filled_in=first(filled, alert),
            new_level=any({run.series_id for run in runs[alert.id]} <= level for level in levels.get(alert.id, [])),
        )
        for alert in alerts
    }


@dataclass(frozen=True)
class _Reach:
    """How far an event or a gap reaches. series_ids: of the series at hand those that it is about; spans: when it is
    on; only_before: whether it is an event, so that what opened although it was declared goes beyond it."""

    id: int
    declared_at: datetime
    series_ids: Collection[int]
    spans: Sequence[Occurrence]
    only_before: bool

    def covers(self, alert: Alert, runs: Sequence[Anomaly]) -> bool:
        """Whether the alert began in it, all of it."""
        if self.only_before and alert.created_at > self.declared_at:
            return False
        return all(run.series_id in self.series_ids for run in runs) and began_within(self.spans, runs)


def began_within(spans: Sequence[Occurrence], runs: Sequence[Anomaly]) -> bool:
    """Whether all of them began in one of the spans each."""
    return all(any(span.start <= run.started_at < span.end for span in spans) for run in runs)


def _reaches(session: Session, those: Sequence[Event | Gap], runs: Sequence[Anomaly]) -> list[_Reach]:
    """Of those in which some of these may have begun, by when they were declared."""
    series = list(stored_series.get_many(session, {run.series_id for run in runs}).values())
    last = max(run.started_at for run in runs)
    found = [
        _Reach(
            each.id,
            each.created_at,
            happenings.among(session, each, series),
            happenings.spans_of(each, last + AN_INSTANT),
            only_before=isinstance(each, Event),
        )
        for each in those
        if each.started_at <= last
    ]
    return sorted(found, key=lambda each: (each.declared_at, each.id))
