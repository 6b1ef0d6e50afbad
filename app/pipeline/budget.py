"""A policy that tells of more than its owner puts up with turns to a digest, says so once, and how to mend it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.budget import SETTING, Told, in_words, is_broken, offer
from app.alerts.policy import DEFAULT
from app.alerts.wording import name_in_words
from app.clock import wall_now
from app.errors import Conflict, NotFound
from app.partitions.partition import Partition
from app.pipeline import policies
from app.pipeline.ingest import Committer
from app.pipeline.notify import announce, enqueue
from app.pipeline.policies import Draft
from app.security import BudgetLink
from app.store import alerts as stored
from app.store import audit
from app.store import labels as stored_labels
from app.store import policies as stored_policies
from app.store import series as stored_series
from app.store.series import Matcher
from app.store.tables import Alert
from feedback.labels import Verdict, said_of_alerts

log = structlog.get_logger()

WEEK = timedelta(days=7)


def watch_budgets(committer: Committer, now: datetime) -> int:
    """Look at the last week of every policy; returns how many have broken their budget, or keep it again."""
    with committer.database.reading() as session:
        told, over = _told_and_not_real(session, now - WEEK), stored.over_budget(session)
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


def take_offer(committer: Committer, link: BudgetLink, by: str) -> None:
    """Let the policy say what was offered, from the next point on. Twice it is done once.

    Raises NotFound where the policy is gone, Conflict where somebody has given it another budget meanwhile.
    """

    def change(session: Session) -> None:
        row = stored_policies.named(session, link.policy)
        if row is None:
            raise NotFound("There is no policy of this name any more.")
        now = row.settings.get(SETTING)
        if now == link.wanted:
            return
        if now != link.before:
            raise Conflict(f"Somebody has set another budget meanwhile, {now}. Nothing was changed.")
        settings = {**row.settings, SETTING: link.wanted}
        draft = Draft(row.name, Matcher(row.metric, row.dimensions), settings, row.continues)
        policies.replace(session, row.id, draft, wall_now())
        audit.record(session, "budget_set", actor=by, subject={"policy": row.id}, now=wall_now())
        log.info("budget_set", policy=row.name, by=by, before=link.before, after=link.wanted)

    committer.change_policies(change)


def stands(session: Session, link: BudgetLink) -> float | None:
    """The budget that the policy of a link gives a series now; None where it is gone."""
    row = stored_policies.named(session, link.policy)
    return row.settings.get(SETTING) if row else None


def _told_and_not_real(session: Session, since: datetime) -> dict[str, list[Alert]]:
    """Alerts since then that people were told of and did not call real, by their policy."""
    told = stored.told_by_policy(session, since)
    ids = [alert.id for alerts in told.values() for alert in alerts]
    said = said_of_alerts(stored_labels.standing_evidence(session, alert_ids=ids)) if ids else {}
    real = {alert_id for alert_id, label in said.items() if label.verdict is Verdict.REAL}
    left = {policy: [alert for alert in alerts if alert.id not in real] for policy, alerts in told.items()}
    return {policy: alerts for policy, alerts in left.items() if alerts}


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
        told = _told(session, alerts, per_series)
        said = in_words(title, told, budget, alerts_per_week=per_series)
        offered = None if policy == DEFAULT else offer(told, budget, alerts_per_week=per_series)
        stored_offer = offered.stored if offered else None
        announce(session, said, now, policy=policy, channels=alerts[-1].channels, offer=stored_offer)
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
