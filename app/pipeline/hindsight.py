"""Which alerts of the last weeks a label would have kept from being sent, and which it would have sent besides.

An alert counts once, however many anomalies it tells of, and is sent as long as one of them is told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.alerts.grouping import JOINS_AFTER_ITS_END, goes_with, group_key
from app.alerts.policy import Policies
from app.alerts.rules import freshness
from app.pipeline.groups import member_of
from app.pipeline.policies import current_policies
from app.pipeline.receipts import LISTED_ALERTS
from app.store import alerts as stored_alerts
from app.store import series as stored_series
from app.store.tables import Alert, Anomaly, Series
from feedback.receipt import HINDSIGHT_DAYS, Change, Hindsight, PastAnomaly, SeriesName

HINDSIGHT = timedelta(days=HINDSIGHT_DAYS)


@dataclass(frozen=True)
class Decided:
    """An anomaly of the last weeks, and whether what labels teach would tell it: before this label, and after it."""

    anomaly: Anomaly
    series: Series
    was_told: bool
    is_told: bool


def hindsight(
    session: Session, decided: Sequence[Decided], explained: Change[Collection[int]], now: datetime
) -> tuple[Hindsight, Hindsight]:
    """Alerts of the last weeks that would no longer be sent, and that now would be.

    explained: ids of alerts that what the label created explains or takes back, before and after.
    """
    turned = _turned(session, decided)
    lost = [_rarest(runs) for runs in turned.values() if any(each.was_told for each in runs)]
    won = [_rarest(runs) for runs in turned.values() if not any(each.was_told for each in runs)]
    won += _further(session, decided, without={each.anomaly.alert_id for each in lost})
    return (
        _listed(lost, _explained(session, explained.after, lost, now)),
        _listed(won, _explained(session, explained.before, won, now)),
    )


def _turned(session: Session, decided: Sequence[Decided]) -> dict[int, list[Decided]]:
    """By alert, the anomalies of those that are sent either before or after, not both."""
    by_alert: defaultdict[int, list[Decided]] = defaultdict(list)
    for each in decided:
        if each.anomaly.alert_id is not None:
            by_alert[each.anomaly.alert_id].append(each)
    turned = {
        alert_id: runs
        for alert_id, runs in by_alert.items()
        if any(each.was_told for each in runs) != any(each.is_told for each in runs)
    }
    complete = stored_alerts.anomalies_of(session, turned)  # with those that no label decides on
    return {alert_id: runs for alert_id, runs in turned.items() if len(runs) == len(complete[alert_id])}


def _rarest(runs: Sequence[Decided]) -> Decided:
    return max(runs, key=lambda each: each.anomaly.rarity)


@dataclass
class _Cause:
    """What was, or would be, one alert. ended_at: None while it lasts."""

    began: datetime
    newest: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, alert: Alert) -> _Cause:
        return cls(alert.started_at, alert.newest_start or alert.started_at, alert.ended_at)

    def takes_in(self, run: Decided) -> bool:
        over_for = run.anomaly.started_at - self.ended_at if self.ended_at else timedelta()
        cadence = run.series.cadence_seconds or 0
        return over_for < JOINS_AFTER_ITS_END and goes_with(self.began, self.newest, run.anomaly.started_at, cadence)

    def take_in(self, run: Decided) -> None:
        ended_at = run.anomaly.ended_at
        self.newest = run.anomaly.started_at
        self.ended_at = max(self.ended_at, ended_at) if self.ended_at and ended_at else None


def _further(session: Session, decided: Sequence[Decided], without: Collection[int | None]) -> list[Decided]:
    """Of those that now would be told and are in no alert, the rarest of each alert that they would make.

    What would have gone into an alert that is sent anyway makes none. without: ids of alerts that are not sent. Totals
    and parts that a policy tells apart count apart.
    """
    untold = [each for each in decided if each.anomaly.alert_id is None and each.is_told and not each.was_told]
    if not untold:
        return []
    policies = current_policies(session, {})
    keys = {each.anomaly.id: group_of(policies, each.series, each.anomaly.direction) for each in untold}
    sent: defaultdict[str, list[_Cause]] = defaultdict(list)
    for alert in stored_alerts.sent_of_groups(session, keys.values(), since=min(map(_start, untold)) - HINDSIGHT):
        if alert.id not in without:
            sent[alert.group_key or ""].append(_Cause.of(alert))
    made: defaultdict[str, list[tuple[_Cause, list[Decided]]]] = defaultdict(list)
    for run in sorted(untold, key=_start):
        key = keys[run.anomaly.id]
        if _is_in_one(run, sent[key]):
            continue
        if not made[key] or not made[key][-1][0].takes_in(run):
            made[key].append((_Cause(run.anomaly.started_at, run.anomaly.started_at, run.anomaly.ended_at), []))
        cause, runs = made[key][-1]
        cause.take_in(run)
        runs.append(run)
    return [_rarest(runs) for causes in made.values() for _, runs in causes]


def _is_in_one(run: Decided, causes: Sequence[_Cause]) -> bool:
    """Whether the last of these that had begun when the run might have joined it would have taken it in."""
    latest = run.anomaly.started_at + freshness(run.series.cadence_seconds or 0)
    place = bisect_right(causes, latest, key=lambda each: each.began)
    return place > 0 and causes[place - 1].takes_in(run)


def _start(run: Decided) -> datetime:
    return run.anomaly.started_at


def group_of(policies: Policies, series: Series, direction: int) -> str:
    """The group of its alerts."""
    return group_key(policies.resolve(series.metric, series.dimensions), member_of(series), direction)


def _explained(
    session: Session, alert_ids: Collection[int], besides: Sequence[Decided], now: datetime
) -> list[tuple[Anomaly, Series]]:
    """The rarest anomaly of each of these alerts besides, of those that were sent in the last weeks."""
    known = {each.anomaly.alert_id for each in besides}
    sent = [
        alert.id
        for alert in stored_alerts.by_id(session, [each for each in alert_ids if each not in known]).values()
        if alert.delivery in stored_alerts.SENT and alert.started_at >= now - HINDSIGHT
    ]
    rarest = [runs[0] for runs in stored_alerts.anomalies_of(session, sent).values()]
    series = stored_series.get_many(session, {each.series_id for each in rarest})
    return [(each, series[each.series_id]) for each in rarest]


def _listed(decided: Sequence[Decided], explained: Sequence[tuple[Anomaly, Series]]) -> Hindsight:
    found = [*((each.anomaly, each.series) for each in decided), *explained]
    found.sort(key=lambda each: each[0].started_at, reverse=True)
    listed = [
        PastAnomaly(
            anomaly_id=anomaly.id,
            alert_id=anomaly.alert_id,
            series=SeriesName(series.id, series.metric, series.dimensions),
            started_at=anomaly.started_at,
            direction=anomaly.direction,
            rarity=anomaly.rarity,
        )
        for anomaly, series in found[:LISTED_ALERTS]
    ]
    return Hindsight(len(found), listed)
