"""Which alert an anomaly that is told now goes into: that of its group, or that of its total or of one of its parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice, product

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.alerts.grouping import (
    JOINS_AFTER_ITS_END,
    Member,
    are_apart,
    goes_with,
    group_key,
    groups_of_totals,
    is_part_of,
    split_by,
)
from app.alerts.message import title_of
from app.alerts.policy import Resolved
from app.alerts.rules import Delivery, Severity, freshness
from app.store import alerts as stored
from app.store.tables import Alert, Series

MOST_LOOKED_THROUGH = 200
"""Alerts of a metric among which a total looks for one of its parts."""
HEARD = (Delivery.LIVE, Delivery.DIGEST)


@dataclass(frozen=True)
class Newcomer:
    """An anomaly that is told now, as far as it decides which alert tells of it.

    told_at: event time. timezone: of those who read of it. may_be_heard: nobody wanted quiet about it, though it may
    have to wait for them.
    """

    member: Member
    policy: Resolved
    group_key: str
    delivery: Delivery
    started_at: datetime
    told_at: datetime
    direction: int
    severity: Severity
    cadence_seconds: int
    timezone: str
    silence_id: int | None = None
    may_be_heard: bool = False

    @cached_property
    def groups_of_totals(self) -> list[str]:
        """The groups that totals of it are in where the policy keeps these apart from it, the nearest first."""
        return groups_of_totals(self.policy, self.member, self.direction)

    @property
    def may_be_total(self) -> bool:
        """Whether the policy groups by a dimension that it lacks, so that its parts are of other groups."""
        return any(name not in self.member.dimensions for name in split_by(self.policy))

    def goes_into(self, alert: Alert) -> bool:
        """Whether an alert of its group, still open or hardly over, is about the same."""
        newest = alert.newest_start or alert.started_at
        over_for = self.told_at - alert.ended_at if alert.ended_at is not None else timedelta()
        return (
            (alert.delivery == self.delivery or (self.may_be_heard and alert.delivery in HEARD))
            and over_for < JOINS_AFTER_ITS_END
            and goes_with(alert.started_at, newest, self.started_at, self.cadence_seconds)
        )

    def says_one_thing_with(self, members: Sequence[Member], key: str | None) -> bool:
        """Whether one of an alert's series is its total or its part, and none is of another value that splits them.

        key: of the alert's group, which must be one of the same policies.
        """
        return (
            any(is_part_of(self.member, each) or is_part_of(each, self.member) for each in members)
            and not any(are_apart(self.policy, self.member, each) for each in members)
            and any(group_key(self.policy, each, self.direction) == key for each in members)
        )

    def alert(self, now: datetime) -> Alert:
        """A new one about it."""
        settings = self.policy.settings
        waits = settings.escalate_after_minutes if settings.escalate_to else None
        return Alert(
            kind="anomaly",
            status="firing",
            severity=self.severity,
            title=title_of(self.member.metric, self.member.dimensions, self.direction),
            started_at=self.started_at,
            created_at=self.told_at,
            delivery=self.delivery,
            group_key=self.group_key,
            newest_start=self.started_at,
            lead_series_id=self.member.series_id,
            series_count=1,
            growth_to_repeat=settings.growth_to_repeat,
            policy=self.policy.origin["alerts_per_week"],
            critical_change=settings.critical_change,
            critical_impact=settings.critical_impact,
            channels=None if settings.channels is None else list(settings.channels),
            active_hours=settings.active_hours.json() if settings.active_hours else None,
            timezone=self.timezone,
            escalate_to=list(settings.escalate_to) or None,
            escalate_after_seconds=None if waits is None else round(60 * waits),
            escalate_at=None if waits is None else now + timedelta(minutes=waits),
            silence_id=self.silence_id,
        )


def member_of(series: Series) -> Member:
    return Member(series.id, series.metric, series.dimensions)


class Groups:
    """The alerts that the newcomers of one commit may go into, the oldest first."""

    def __init__(self, session: Session, newcomers: Sequence[Newcomer]) -> None:
        stored.lock_groups(session)
        self._session = session
        self._of_group: defaultdict[str, list[Alert]] = defaultdict(list)
        self._of_parts: defaultdict[str, dict[Alert, None]] = defaultdict(dict)  # by the group of a total of theirs
        self._joined: defaultdict[Alert, list[Member]] = defaultdict(list)
        self._stored_members: dict[int, list[Member]] = {}
        recent = _recent(newcomers)
        keys = {key for each in newcomers for key in (each.group_key, *each.groups_of_totals)}
        for alert in stored.of_groups(session, keys, recent):
            self._of_group[alert.group_key or ""].append(alert)
        totals = {(each.policy.policies, each.direction): each for each in newcomers if each.may_be_total}
        if totals:
            metrics = {each.member.metric for each in newcomers if each.may_be_total}
            parts = stored.of_metrics(session, metrics, recent, limit=MOST_LOOKED_THROUGH)
            self._meet_parts(parts, list(totals.values()))

    def alert_of(self, newcomer: Newcomer) -> Alert | None:
        """The newest alert of its group, else the one that tells of its total, or of the first of its parts."""
        of_its_group = [each for each in self._of_group[newcomer.group_key] if newcomer.goes_into(each)]
        return of_its_group[-1] if of_its_group else self._of_its_total(newcomer) or self._of_its_part(newcomer)

    def take_in(self, newcomer: Newcomer, alert: Alert, *, is_new: bool) -> None:
        """The newcomer is in that alert from now on."""
        self._joined[alert].append(newcomer.member)
        for key in newcomer.groups_of_totals:
            self._of_parts[key][alert] = None
        if is_new:
            self._of_group[newcomer.group_key].append(alert)

    def _of_its_total(self, newcomer: Newcomer) -> Alert | None:
        """From now on it is of the newcomer's group: a total goes with the first of its parts alone."""
        for key in newcomer.groups_of_totals:
            alert = self._first_that_says_it(newcomer, self._of_group[key])
            if alert is not None:
                self._of_group[key].remove(alert)
                self._of_group[newcomer.group_key].append(alert)
                alert.group_key = newcomer.group_key
                return alert
        return None

    def _of_its_part(self, newcomer: Newcomer) -> Alert | None:
        return self._first_that_says_it(newcomer, islice(self._of_parts[newcomer.group_key], MOST_LOOKED_THROUGH))

    def _first_that_says_it(self, newcomer: Newcomer, alerts: Iterable[Alert]) -> Alert | None:
        fitting = [each for each in alerts if newcomer.goes_into(each)]
        members = self._members(fitting)
        says_it = (each for each in fitting if newcomer.says_one_thing_with(members[each], each.group_key))
        return next(says_it, None)

    def _meet_parts(self, alerts: Sequence[Alert], totals: Sequence[Newcomer]) -> None:
        members = self._members(alerts)
        for alert, total in product(alerts, totals):
            for member in members[alert]:
                for key in groups_of_totals(total.policy, member, total.direction):
                    self._of_parts[key][alert] = None

    def _members(self, alerts: Sequence[Alert]) -> dict[Alert, list[Member]]:
        """The series of each, those included that were stored before."""
        unknown = {each.id for each in alerts if sa.inspect(each).persistent} - self._stored_members.keys()
        if unknown:
            series = stored.series_of(self._session, unknown)
            self._stored_members |= {each: [member_of(one) for one in series.get(each, [])] for each in unknown}
        return {each: [*self._stored_members.get(each.id, []), *self._joined[each]] for each in alerts}


def _recent(newcomers: Sequence[Newcomer]) -> stored.Recent:
    longest = freshness(max(each.cadence_seconds for each in newcomers))
    return stored.Recent(
        newest_since=min(each.started_at for each in newcomers) - longest,
        ended_since=min(each.told_at for each in newcomers) - JOINS_AFTER_ITS_END,
    )
