"""Alerts and anomalies: found, listed, followed and closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.database import is_among
from app.store.series import KEYS_PER_QUERY, Matcher, selected_by
from app.store.tables import Alert, Anomaly, Event, Gap, Label, Series

SENT = ("live", "digest")
"""Deliveries of alerts that people were told of."""

GROUPS_LOCK = 0x68656564
"""Key of the advisory lock; of no meaning but that nothing else uses it."""

DECIDED_BY_RARITY = ("below_threshold", "tolerated")
"""Outcomes of anomalies that nobody was told of, and would have been with another threshold."""


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to list; what is left out selects all. `start` and `end` bound the time an alert began."""

    status: Sequence[str] = ()
    kind: str | None = None
    severity: str | None = None
    series_id: int | None = None
    series: Matcher = field(default_factory=Matcher)
    start: datetime | None = None
    end: datetime | None = None
    labelled: bool | None = None
    assigned_to: str | None = None


def get(session: Session, alert_id: int) -> Alert | None:
    return session.get(Alert, alert_id)


def by_id(session: Session, alert_ids: Iterable[int], *, to_change: bool = False) -> dict[int, Alert]:
    """The alerts of these ids that exist. to_change: nobody else may change them before the transaction ends."""
    wanted = sorted(set(alert_ids))
    found: dict[int, Alert] = {}
    for first in range(0, len(wanted), KEYS_PER_QUERY):
        query = sa.select(Alert).where(Alert.id.in_(wanted[first : first + KEYS_PER_QUERY])).order_by(Alert.id)
        query = query.with_for_update() if to_change else query
        found |= {alert.id: alert for alert in session.scalars(query)}
    return found


def of_series(session: Session, series_id: int) -> list[int]:
    """Ids of the alerts with an anomaly of the series."""
    query = sa.select(Anomaly.alert_id).where(Anomaly.series_id == series_id, Anomaly.alert_id.is_not(None))
    return [each for each in session.scalars(query.distinct()) if each is not None]


def lock_groups(session: Session) -> None:
    """Whoever opens alerts waits for whoever is opening some, so that one cause is not told of twice.

    SQLite has only one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(GROUPS_LOCK)))


@dataclass(frozen=True)
class Recent:
    """Alerts with an anomaly that began since then, open or ended since then."""

    newest_since: datetime
    ended_since: datetime

    @property
    def conditions(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            Alert.newest_start >= self.newest_since,
            (Alert.status == "firing") | ((Alert.status == "resolved") & (Alert.ended_at >= self.ended_since)),
        )


def of_groups(session: Session, keys: Iterable[str], recent: Recent) -> list[Alert]:
    """The recent alerts of these groups, the oldest first."""
    wanted = sorted(set(keys))
    found: list[Alert] = []
    for first in range(0, len(wanted), KEYS_PER_QUERY):
        query = sa.select(Alert).where(Alert.group_key.in_(wanted[first : first + KEYS_PER_QUERY]), *recent.conditions)
        found += session.scalars(query.order_by(Alert.id).with_for_update())
    return found


def sent_of_groups(session: Session, keys: Iterable[str], since: datetime) -> list[Alert]:
    """The alerts of these groups since then that people were told of, by their start."""
    wanted, found = sorted(set(keys)), list[Alert]()
    for first in range(0, len(wanted), KEYS_PER_QUERY):
        of_these = Alert.group_key.in_(wanted[first : first + KEYS_PER_QUERY])
        found += session.scalars(sa.select(Alert).where(of_these, Alert.delivery.in_(SENT), Alert.started_at >= since))
    return sorted(found, key=lambda each: (each.started_at, each.id))


def of_metrics(session: Session, metrics: Iterable[str], recent: Recent, *, limit: int) -> list[Alert]:
    """The recent alerts of a group that tell of series of these metrics, the oldest first."""
    of_these = sa.select(Anomaly.alert_id).join(Series, Series.id == Anomaly.series_id)
    query = sa.select(Alert).where(
        Alert.group_key.is_not(None),
        Alert.id.in_(of_these.where(Series.metric.in_(sorted(metrics)), Anomaly.alert_id.is_not(None))),
        *recent.conditions,
    )
    return list(session.scalars(query.order_by(Alert.id).limit(limit).with_for_update()))


def series_of(session: Session, alert_ids: Iterable[int]) -> dict[int, list[Series]]:
    """The series that each of these alerts tells of."""
    told_of = sa.select(Anomaly.alert_id, Series).join(Series, Series.id == Anomaly.series_id)
    found: defaultdict[int, list[Series]] = defaultdict(list)
    for alert_id, series in session.execute(told_of.where(is_among(session, Anomaly.alert_id, alert_ids))):
        found[alert_id or 0].append(series)
    return found


@dataclass(frozen=True)
class Extent:
    """How many series an alert has, and when the last of its anomalies ended; None while one has not."""

    series: int
    last_end: datetime | None


def extents(session: Session, alert_ids: Iterable[int]) -> dict[int, Extent]:
    """What the anomalies of each of these alerts amount to, less those that were taken back."""
    still_open = sa.func.sum(sa.case((Anomaly.ended_at.is_(None), 1), else_=0))
    counted = sa.func.count(sa.distinct(Anomaly.series_id))
    query = sa.select(Anomaly.alert_id, counted, still_open, sa.func.max(Anomaly.ended_at)).where(
        is_among(session, Anomaly.alert_id, alert_ids), Anomaly.outcome != "withdrawn"
    )
    return {
        alert_id: Extent(series, None if is_open else last_end)
        for alert_id, series, is_open, last_end in session.execute(query.group_by(Anomaly.alert_id))
    }


def find(session: Session, wanted: AlertFilter, *, limit: int, before_id: int | None = None) -> list[Alert]:
    """A page of alerts, newest first; the last id of a full page leads to the next."""
    query = sa.select(Alert).where(*_conditions(session, wanted)).order_by(Alert.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(Alert.id < before_id)
    return list(session.scalars(query))


def count(session: Session, wanted: AlertFilter) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Alert).where(*_conditions(session, wanted))) or 0


def _conditions(session: Session, wanted: AlertFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.status:
        conditions.append(Alert.status.in_(wanted.status))
    if wanted.kind is not None:
        conditions.append(Alert.kind == wanted.kind)
    if wanted.severity is not None:
        conditions.append(Alert.severity == wanted.severity)
    if wanted.start is not None:
        conditions.append(Alert.started_at >= wanted.start)
    if wanted.end is not None:
        conditions.append(Alert.started_at < wanted.end)
    if wanted.assigned_to is not None:
        conditions.append(Alert.assigned_to == wanted.assigned_to)
    if wanted.labelled is not None:
        stands = sa.exists().where(Label.alert_id == Alert.id, Label.revoked_at.is_(None))
        conditions.append(stands if wanted.labelled else ~stands)
    return conditions + _series_conditions(session, wanted)


def _series_conditions(session: Session, wanted: AlertFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    of_alert = sa.exists().where(Anomaly.alert_id == Alert.id)
    if wanted.series_id is not None:
        conditions.append(of_alert.where(Anomaly.series_id == wanted.series_id))
    if wanted.series != Matcher():
        selected = selected_by(session, wanted.series).with_only_columns(Series.id)
        conditions.append(of_alert.where(Anomaly.series_id.in_(selected)))
    return conditions


def anomalies_of(session: Session, alert_ids: Iterable[int]) -> dict[int, list[Anomaly]]:
    """The anomalies of each of these alerts, the rarest first."""
    of_these = is_among(session, Anomaly.alert_id, alert_ids)
    query = sa.select(Anomaly).where(of_these).order_by(Anomaly.rarity.desc(), Anomaly.id)
    found: defaultdict[int, list[Anomaly]] = defaultdict(list)
    for anomaly in session.scalars(query):
        found[anomaly.alert_id or 0].append(anomaly)
    return dict(found)


def aged(session: Session, alert_ids: Iterable[int]) -> set[int]:
    """Those of these alerts of which an anomaly was given up although it was still abnormal."""
    of_these = is_among(session, Anomaly.alert_id, alert_ids)
    found = sa.select(Anomaly.alert_id).where(of_these, Anomaly.end_reason == "aged", Anomaly.outcome != "withdrawn")
    return {each for each in session.scalars(found.distinct()) if each is not None}


def anomalies_by_start(session: Session, runs: Iterable[tuple[int, datetime]]) -> dict[tuple[int, datetime], Anomaly]:
    """The anomalies that exist of these runs, each named by its series and its start."""
    wanted = sorted(runs)
    found: dict[tuple[int, datetime], Anomaly] = {}
    for first in range(0, len(wanted), KEYS_PER_QUERY):
        part = wanted[first : first + KEYS_PER_QUERY]
        query = sa.select(Anomaly).where(
            Anomaly.series_id.in_({series_id for series_id, _ in part}),
            Anomaly.started_at.in_({started_at for _, started_at in part}),
        )
        found |= {(anomaly.series_id, anomaly.started_at): anomaly for anomaly in session.scalars(query)}
    return {run: found[run] for run in wanted if run in found}


def anomalies_since(session: Session, series_ids: Iterable[int], since: datetime) -> list[Anomaly]:
    """The anomalies of these series that began, went on or ended after then, oldest first."""
    wanted = list(series_ids)
    found: list[Anomaly] = []
    for first in range(0, len(wanted), KEYS_PER_QUERY):
        query = sa.select(Anomaly).where(
            Anomaly.series_id.in_(wanted[first : first + KEYS_PER_QUERY]),
            (Anomaly.started_at > since) | Anomaly.ended_at.is_(None) | (Anomaly.ended_at > since),
        )
        found += session.scalars(query.order_by(Anomaly.series_id, Anomaly.started_at))
    return found


def told_of_series(
    session: Session, series_ids: Iterable[int], *, since: datetime, before: datetime | None = None
) -> list[tuple[Alert, list[Anomaly]]]:
    """Alerts about anomalies that began since then, of these series alone; with these. before: opened up to then."""
    query = sa.select(Anomaly.alert_id).where(
        is_among(session, Anomaly.series_id, series_ids), Anomaly.alert_id.is_not(None), Anomaly.started_at >= since
    )
    wanted = {int(each) for each in series_ids}
    alerts = by_id(session, [each for each in session.scalars(query.distinct()) if each is not None])
    anomalies = anomalies_of(session, alerts)
    return [
        (alerts[alert_id], those)
        for alert_id, those in sorted(anomalies.items())
        if (before is None or alerts[alert_id].created_at <= before) and {each.series_id for each in those} <= wanted
    ]


def explained_or_caused_by(session: Session, kind: type[Event] | type[Gap], ids: Iterable[int]) -> list[Alert]:
    """Alerts about series that these events explain, or these gaps caused."""
    of_it = Alert.event_id if kind is Event else Alert.gap_id
    return list(session.scalars(sa.select(Alert).where(is_among(session, of_it, ids), Alert.kind == "anomaly")))


def telling_of(session: Session, gap_id: int) -> list[Alert]:
    """The alert that tells of a gap itself."""
    return list(session.scalars(sa.select(Alert).where(Alert.gap_id == gap_id, Alert.kind == "data")))


def told_anomalies(session: Session, series_ids: Iterable[int], *, limit: int) -> list[Anomaly]:
    """The newest anomalies of these series that people were told of."""
    of_series = (
        sa.select(Anomaly).join(Alert, Alert.id == Anomaly.alert_id).where(Anomaly.series_id.in_(list(series_ids)))
    )
    told = of_series.where(Alert.delivery.in_(SENT), Alert.status != "withdrawn")
    return list(session.scalars(told.order_by(Anomaly.started_at.desc(), Anomaly.id.desc()).limit(limit)))


def strongest_anomaly(session: Session, series_id: int, start: datetime, end: datetime) -> Anomaly | None:
    """The rarest anomaly of the series that touches the span."""
    query = (
        sa.select(Anomaly)
        .where(Anomaly.series_id == series_id, Anomaly.started_at <= end, Anomaly.last_abnormal_at >= start)
        .order_by(Anomaly.rarity.desc(), Anomaly.id)
        .limit(1)
    )
    return session.scalars(query).first()


def closed_runs(session: Session, series_ids: Iterable[int]) -> set[tuple[int, int]]:
    """Series and start (unix seconds) of the runs that are over, by themselves or by what somebody said."""
    wanted, found = list(series_ids), set()
    for first in range(0, len(wanted), KEYS_PER_QUERY):
        query = (
            sa.select(Anomaly.series_id, Anomaly.started_at)
            .join(Alert, Alert.id == Anomaly.alert_id)
            .where(
                (Alert.status != "firing") | Anomaly.ended_at.is_not(None),
                Anomaly.series_id.in_(wanted[first : first + KEYS_PER_QUERY]),
            )
        )
        found |= {(series_id, int(start.timestamp())) for series_id, start in session.execute(query)}
    return found


def decided_by_rarity(
    session: Session, *, since: datetime, direction: int, series_id: int, floor: float, ceiling: float
) -> list[tuple[Anomaly, Series]]:
    """Anomalies that another tolerance may tell, or not tell, with their series, newest first.

    Those at least as rare as `floor`, of `series_id` whatever their rarity, of other series up to `ceiling`.
    """
    was_sent = sa.exists().where(Alert.id == Anomaly.alert_id, Alert.delivery.in_(SENT))
    query = (
        sa.select(Anomaly, Series)
        .join(Series, Series.id == Anomaly.series_id)
        .where(
            Anomaly.started_at >= since,
            Anomaly.direction == direction,
            Anomaly.rarity >= floor,
            (Anomaly.series_id == series_id) | (Anomaly.rarity < ceiling),
            was_sent | Anomaly.outcome.in_(DECIDED_BY_RARITY),
        )
        .order_by(Anomaly.started_at.desc(), Anomaly.id.desc())
    )
    return [(anomaly, series) for anomaly, series in session.execute(query)]


def unanswered(session: Session, *, since: datetime, until: datetime, limit: int) -> list[tuple[Anomaly, str]]:
    """Anomalies that were over by `until` and whose alert, if there was one, nobody answered; with their metric.

    The newest `limit` that began after `since`.
    """
    answered = sa.exists().where(Label.alert_id == Anomaly.alert_id, Label.revoked_at.is_(None))
    query = (
        sa.select(Anomaly, Series.metric)
        .join(Series, Series.id == Anomaly.series_id)
        .where(
            Anomaly.started_at >= since,
            Anomaly.ended_at < until,
            Anomaly.outcome.in_(("told", *DECIDED_BY_RARITY)),
            Anomaly.expected.is_not(None),
            ~answered,
        )
        .order_by(Anomaly.started_at.desc(), Anomaly.id.desc())
        .limit(limit)
    )
    return [(anomaly, metric) for anomaly, metric in session.execute(query)]


def count_sent(session: Session, since: datetime, without: Collection[int] = ()) -> int:
    """Alerts about anomalies that people were told of since then, less those that a gap or an event explains."""
    sent = sa.select(sa.func.count()).select_from(Alert).where(Alert.started_at >= since, Alert.delivery.in_(SENT))
    unexplained = sent.where(Alert.event_id.is_(None), Alert.gap_id.is_(None))
    return session.scalar(unexplained.where(~is_among(session, Alert.id, without))) or 0


def resolve(alert: Alert, at: datetime) -> None:
    """It is over by itself. Whoever snoozed it until then has heard all; should it go on, that is told."""
    alert.status, alert.ended_at = "resolved", at
    alert.snoozed_for = alert.snoozed_at_extent = None


def become(alert: Alert, runs: Sequence[Anomaly], status: str) -> None:
    """It is that from now on, as these runs of it have it."""
    ends = [run.ended_at for run in runs if run.ended_at is not None]
    if status == "resolved":
        resolve(alert, max(ends))
    elif status == "withdrawn":
        alert.status, alert.ended_at = status, max(run.last_abnormal_at for run in runs)
    else:
        alert.status, alert.ended_at = status, max(ends) if status == "closed" else None


def latest_of_their_series(session: Session, anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    """Those after which their series had no other anomaly."""
    newest = (
        sa.select(Anomaly.series_id, sa.func.max(Anomaly.started_at))
        .where(is_among(session, Anomaly.series_id, {anomaly.series_id for anomaly in anomalies}))
        .group_by(Anomaly.series_id)
    )
    latest: dict[int, datetime] = dict(session.execute(newest).all())
    return [anomaly for anomaly in anomalies if anomaly.started_at == latest[anomaly.series_id]]


def last_told_of_their_series(session: Session, anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    """Those after which nobody was told of another anomaly of their series."""
    ids = {anomaly.series_id for anomaly in anomalies}
    told = Anomaly.alert_id.is_not(None) & (Anomaly.outcome == "told")
    newest = sa.select(Anomaly.series_id, sa.func.max(Anomaly.started_at)).where(
        is_among(session, Anomaly.series_id, ids), told
    )
    latest: dict[int, datetime] = dict(session.execute(newest.group_by(Anomaly.series_id)).all())
    return [each for each in anomalies if each.started_at >= latest.get(each.series_id, each.started_at)]


def over_budget(session: Session) -> set[str]:
    """The policies that tell of too much: an alert says so for as long as that lasts."""
    said = sa.select(Alert.policy).where(Alert.kind == "data", Alert.status == "firing", Alert.policy.is_not(None))
    return {policy for policy in session.scalars(said) if policy}


def of_budget(session: Session, policy: str) -> Alert | None:
    """The alert that says that a policy tells of too much."""
    said = sa.select(Alert).where(Alert.kind == "data", Alert.status == "firing", Alert.policy == policy)
    return session.scalar(said.limit(1))


def told_by_policy(session: Session, since: datetime) -> dict[str, list[Alert]]:
    """Alerts since then that people were told of, at once or in a digest, by their policy."""
    told = sa.select(Alert).where(
        Alert.kind == "anomaly",
        Alert.policy.is_not(None),
        Alert.created_at > since,
        sa.or_(Alert.delivery == "live", Alert.daily_digest.is_not(None)),
        Alert.status != "withdrawn",
        Alert.event_id.is_(None),
    )
    found: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in session.scalars(told.order_by(Alert.id)):
        found[alert.policy or ""].append(alert)
    return dict(found)


def waiting_for_digest(session: Session, now: datetime, *, to_change: bool = False) -> list[Alert]:
    """Alerts that a digest is to tell of by now, the oldest first; to change them, those that nobody else has."""
    due = sa.or_(Alert.digest_at.is_(None), Alert.digest_at <= now)
    waiting = sa.select(Alert).where(Alert.daily_digest == "waiting", due).order_by(Alert.id)
    return list(session.scalars(waiting.with_for_update(skip_locked=True) if to_change else waiting))


def to_escalate(session: Session, now: datetime) -> list[Alert]:
    """Alerts that last, that people were told of, and that nobody has looked after in time."""
    due = sa.select(Alert).where(
        Alert.escalate_at <= now,
        Alert.escalated_at.is_(None),
        Alert.acknowledged_at.is_(None),
        Alert.status == "firing",
        Alert.delivery == "live",
        sa.or_(Alert.snoozed_until.is_(None), Alert.snoozed_until <= now),
        ~sa.exists().where(Label.alert_id == Alert.id, Label.revoked_at.is_(None)),
    )
    return list(session.scalars(due.order_by(Alert.id)))


def acknowledge(alert: Alert, by: str, now: datetime) -> None:
    """Somebody has seen it. The first one counts."""
    if alert.acknowledged_at is None:
        alert.acknowledged_at, alert.acknowledged_by = now, by


def assign(alert: Alert, to: str, by: str, now: datetime) -> None:
    """Somebody looks after it, whoever else did before."""
    unassign(alert)
    acknowledge(alert, to, now)
    alert.assigned_to, alert.assigned_by, alert.assigned_at = to, by, now


def unassign(alert: Alert) -> None:
    """Nobody in particular looks after it; what was acknowledged before it was assigned stays so."""
    if alert.acknowledged_at is not None and alert.acknowledged_at == alert.assigned_at:
        alert.acknowledged_at = alert.acknowledged_by = None
    alert.assigned_to = alert.assigned_by = alert.assigned_at = None


def snooze(
    alert: Alert,
    at: datetime,
    *,
    until: datetime | None = None,
    what: str | None = None,
    extent: Mapping[str, Any] | None = None,
) -> None:
    """Nothing more is told of this alert until then, or but what is waited for; with neither, all is told again.

    extent: how large and severe it is now.
    """
    alert.snoozed_until, alert.snoozed_for, alert.snooze_changed_at = until, what, at
    alert.snoozed_at_extent = None if extent is None else dict(extent)
