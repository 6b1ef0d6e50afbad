"""Change policies: committed, and acting from the next point on with no point in between."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.alerts.policy import MOST_POLICIES, Policies, Policy, Resolved, read_settings
from app.errors import Conflict, NotFound, Unprocessable
from app.partitions.partition import NewSeries, Partition
from app.partitions.regime import bar_of
from app.store import channels as stored_channels
from app.store import policies as stored
from app.store import series as stored_series
from app.store.series import Matcher
from app.store.tables import Series, StoredPolicy

log = structlog.get_logger()


@dataclass(frozen=True)
class Draft:
    """A policy as somebody wants it. position: 0 decides first; None: where it is, or last."""

    name: str
    matcher: Matcher
    settings: Mapping[str, Any]
    continues: bool = False
    position: int | None = None

    def __post_init__(self) -> None:
        """Raises Unprocessable where the settings are none."""
        try:
            read_settings(self.settings)
        except ValueError as error:
            raise Unprocessable(f"settings: {error}. /docs shows what they should be.") from None


def current_policies(session: Session, defaults: Mapping[str, Any]) -> Policies:
    """All policies as they stand. `defaults`: what the installation says where they say nothing."""
    return Policies(tuple(as_policy(row) for row in stored.in_order(session)), defaults)


def as_policy(row: StoredPolicy) -> Policy:
    return Policy(row.id, row.name, Matcher(row.metric, row.dimensions), row.settings, row.continues)


def members(session: Session, partition: int) -> list[NewSeries]:
    """All series of a partition, with what matchers select them by."""
    return _members(stored_series.of_partition(session, partition))


def _members(rows: Iterable[Series]) -> list[NewSeries]:
    return [NewSeries(row.id, row.slot, row.metric, row.timezone, row.dimensions, row.token_id) for row in rows]


class Budgets:
    """The rarity that the alert budget of each series alone asks for, log10 weeks.

    Series are looked up when they are asked for, `expected` ones together, and none where no policy says anything.
    """

    def __init__(self, session: Session, policies: Policies, expected: Iterable[int] = ()) -> None:
        self._session = session
        self._policies = policies
        self._default = threshold_of(policies.resolve_chain(()))
        self._known: dict[int, float] = {}
        if policies.ordered:
            found = stored_series.get_many(session, set(expected))
            self._known = {series_id: self._of(series) for series_id, series in found.items()}

    def __call__(self, series_id: int) -> float:
        if not self._policies.ordered:
            return self._default
        if series_id not in self._known:
            series = stored_series.get(self._session, series_id)
            self._known[series_id] = self._default if series is None else self._of(series)
        return self._known[series_id]

    def _of(self, series: Series) -> float:
        return threshold_of(self._policies.resolve(series.metric, series.dimensions))

    @property
    def lowest(self) -> float:
        """No series is told of what is less rare than this."""
        return min(self._all())

    @property
    def highest(self) -> float:
        return max(self._all())

    def _all(self) -> list[float]:
        given = [policy.given.get("alerts_per_week") for policy in self._policies.ordered]
        return [self._default, *(-math.log10(budget) for budget in given if budget is not None)]


def threshold_of(outcome: Resolved) -> float:
    return bar_of(outcome.settings).threshold


def regulated(session: Session, partition: Partition, policies: Policies, timezone: str) -> list[NewSeries]:
    """All series of a partition with their zones as these policies have them; where one let go, `timezone` is back."""
    rows = stored_series.of_partition(session, partition.number)
    for row in rows:
        zone = zone_of(policies, row)
        if zone is None and partition.settings(row.slot).timezone is not None:
            zone = timezone
        if zone is not None and zone != row.timezone:
            row.timezone = zone
    return _members(rows)


def zone_of(policies: Policies, series: Series) -> str | None:
    """The time zone that a policy says for a series."""
    return policies.resolve(series.metric, series.dimensions).settings.timezone


def create(session: Session, draft: Draft, now: datetime) -> StoredPolicy:
    """Raises Conflict where the name is taken, or there are too many."""
    _refuse_taken(session, draft.name, None)
    _refuse_unknown_channels(session, draft)
    if len(stored.in_order(session)) >= MOST_POLICIES:
        raise Conflict(f"There are {MOST_POLICIES} policies, the most there may be. Delete some, or widen matchers.")
    return stored.add(
        session,
        name=draft.name,
        matcher=draft.matcher,
        settings=draft.settings,
        continues=draft.continues,
        position=draft.position,
        now=now,
    )


def replace(session: Session, policy_id: int, draft: Draft, now: datetime) -> StoredPolicy:
    """The policy says what the draft says. Raises NotFound, Conflict."""
    policy = existing(session, policy_id)
    _refuse_taken(session, draft.name, policy_id)
    _refuse_unknown_channels(session, draft)
    policy.name = draft.name
    stored.write(policy, matcher=draft.matcher, settings=draft.settings, continues=draft.continues, now=now)
    if draft.position is not None:
        others = [each for each in stored.in_order(session) if each.id != policy_id]
        stored.put_in_order([*others[: draft.position], policy, *others[draft.position :]])
    session.flush()
    return policy


def delete(session: Session, policy_id: int) -> StoredPolicy:
    """Raises NotFound."""
    policy = existing(session, policy_id)
    stored.remove(session, policy)
    return policy


def reorder(session: Session, policy_ids: Sequence[int]) -> list[StoredPolicy]:
    """Raises Unprocessable unless each policy is named once."""
    rows = {row.id: row for row in stored.in_order(session)}
    if sorted(policy_ids) != sorted(rows):
        raise Unprocessable("`order` must name the id of every policy once. GET /v1/policies lists them.")
    ordered = [rows[policy_id] for policy_id in policy_ids]
    stored.put_in_order(ordered)
    session.flush()
    return ordered


def existing(session: Session, policy_id: int) -> StoredPolicy:
    policy = stored.get(session, policy_id)
    if policy is None:
        raise NotFound("There is no policy with this id. GET /v1/policies lists them.")
    return policy


def unknown_channels(draft: Draft, known: Collection[str]) -> str | None:
    """What is wrong where a policy names a channel that there is not."""
    for name in ("channels", "escalate_to"):
        if not set(draft.settings.get(name) or ()) <= set(known):
            return f"{name}: there is no channel of one of these names; there are {', '.join(sorted(known)) or 'none'}"
    return None


def _refuse_unknown_channels(session: Session, draft: Draft) -> None:
    if fault := unknown_channels(draft, stored_channels.names(session)):
        raise Unprocessable(f"settings.{fault}.")


def _refuse_taken(session: Session, name: str, policy_id: int | None) -> None:
    same = stored.named(session, name)
    if same is not None and same.id != policy_id:
        raise Conflict("There is a policy of this name. Choose another name, or change that one.")
