"""A policy that tells of more than its owner puts up with turns to a digest, says so once, and how to mend it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.budget import Told, in_words, is_broken
from app.alerts.policy import DEFAULT
from app.alerts.wording import name_in_words
from app.clock import wall_now
from app.partitions.partition import Partition
from app.pipeline.ingest import Committer
from app.pipeline.notify import announce, enqueue
from app.store import alerts as stored
from app.store import series as stored_series
from app.store.tables import Alert

log = structlog.get_logger()

WEEK = timedelta(days=7)


def watch_budgets(committer: Committer, now: datetime) -> int:
    """Look at the last week of every policy; returns how many have broken their budget, or keep it again."""
    with committer.database.reading() as session:
        told, over = stored.told_by_policy(session, now - WEEK), stored.over_budget(session)
    if not told and not over:
        return 0
    budgets = committer.call(lambda: _budgets(committer.partitions, now))
    changed = 0
    for policy in sorted(told.keys() | over):
        alerts, budget = told.get(policy, []), budgets.get(policy, 0.0)
        if policy in over and len(alerts) <= max(budget, 1.0):
            _say_over(committer, policy, now)
        elif policy not in over and is_broken(len(alerts), budget):
            _say_broken(committer, policy, alerts, budget, now)
        else:
            continue
        changed += 1
    if changed:
        committer.told()
    return changed


def _budgets(partitions: Sequence[Partition], now: datetime) -> dict[str, float]:
    """By policy, the alerts a week that its series may give together: those that had points in the last one."""
    found: defaultdict[str, float] = defaultdict(float)
    since = int((now - WEEK).timestamp())
    for partition in partitions:
        active = partition.columns["last_at"][: partition.count] > since
        series = np.bincount(partition.columns["regime"][: partition.count][active])
        for resolved, count in zip(partition.regimes.resolved, series.tolist(), strict=False):
            found[resolved.origin["alerts_per_week"]] += count * resolved.settings.alerts_per_week
    return dict(found)


def _say_broken(committer: Committer, policy: str, alerts: Sequence[Alert], budget: float, now: datetime) -> None:
    title = "The default budget" if policy == DEFAULT else f"Policy {policy}"
    per_series = committer.call(lambda: _alerts_per_week(committer.partitions, policy))
    with committer.database.writing() as session:
        said = in_words(title, _told(session, alerts, per_series), budget, alerts_per_week=per_series)
        announce(session, said, now, policy=policy, channels=alerts[-1].channels)
    log.warning("budget_broken", policy=policy, told=len(alerts), budget=budget)


def _say_over(committer: Committer, policy: str, now: datetime) -> None:
    with committer.database.writing() as session:
        alert = stored.of_budget(session, policy)
        if alert is not None:
            alert.status, alert.ended_at = "resolved", now
            session.flush()
            enqueue(session, alert.id, "resolved", wall_now())
    log.info("budget_kept_again", policy=policy)


def _alerts_per_week(partitions: Sequence[Partition], policy: str) -> float:
    """What the policy says of one series."""
    found = (r for p in partitions for r in p.regimes.resolved if r.origin["alerts_per_week"] == policy)
    return next(found).settings.alerts_per_week


def _told(session: Session, alerts: Sequence[Alert], alerts_per_week: float) -> list[Told]:
    """What each was, at its rarest, by the bar of the budget alone."""
    base = -np.log10(alerts_per_week)
    anomalies = stored.anomalies_of(session, [alert.id for alert in alerts])
    series = stored_series.get_many(session, {alert.lead_series_id for alert in alerts if alert.lead_series_id})
    found = []
    for alert in alerts:
        lead = series.get(alert.lead_series_id or 0)
        rarity = max((each.rarity - (each.threshold - base) for each in anomalies.get(alert.id, [])), default=base)
        found.append(Told(alert.id, float(rarity), name_in_words(lead.metric, lead.dimensions) if lead else "others"))
    return found
