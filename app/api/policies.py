"""Policies: settings for all series that a matcher selects, in an order."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.alerts.policy import NAMES, read_settings
from app.api.access import AnalystBearer, OpsBearer
from app.api.parts import BodyId, Id, Input, Text
from app.api.retrains import MatcherInput
from app.api.service import Heed
from app.clock import wall_now
from app.pipeline import policies
from app.pipeline.policies import Draft
from app.store import policies as stored
from app.store.series import Matcher
from app.store.tables import StoredPolicy

router = APIRouter(prefix="/v1/policies", tags=["policies"])

Name = Annotated[Text, Field(min_length=1, max_length=100, examples=["shop"])]
Settings = Annotated[
    dict[str, Any],
    Field(max_length=100, description=f"Any of {', '.join(NAMES)}.", examples=[{"alerts_per_week": 0.5}]),
]
Position = Annotated[int, Field(ge=0, le=10_000, description="Place in the order; 0 decides first. Default: last.")]
Continues = Annotated[bool, Field(alias="continue", description="Policies after it may fill what it leaves out.")]


class NewPolicy(Input):
    """A policy. A series takes each setting from the first policy that selects it."""

    name: Name
    matcher: MatcherInput = Field(default_factory=MatcherInput)
    settings: Settings = Field(default_factory=dict)
    continues: Continues = False
    position: Position | None = None


class PolicyChange(Input):
    """What is absent stays. A setting that is null is no longer said by the policy."""

    name: Name | None = None
    matcher: MatcherInput | None = None
    settings: Settings = Field(default_factory=dict)
    continues: Annotated[bool | None, Field(alias="continue")] = None
    position: Position | None = None


class NewOrder(Input):
    order: list[BodyId] = Field(max_length=10_000, description="The id of every policy, the first to decide first.")


class PolicyMatcher(BaseModel):
    metric: str
    dimensions: dict[str, list[str]]


class PolicyAnswer(BaseModel):
    id: int
    name: str
    position: int
    matcher: PolicyMatcher
    settings: dict[str, Any] = Field(description="What the policy says; everything else is left to others.")
    continues: bool = Field(serialization_alias="continue")
    created_at: datetime
    changed_at: datetime


class PolicyList(BaseModel):
    policies: list[PolicyAnswer]
    defaults: dict[str, Any] = Field(description="What holds where no policy says anything.")


@router.get("")
def list_policies(heed: Heed, _bearer: AnalystBearer) -> PolicyList:
    """All policies in their order, and what holds where they say nothing."""
    with heed.database.reading() as session:
        found = [_answer(row) for row in stored.in_order(session)]
    return PolicyList(policies=found, defaults=_shown(heed.committer.rules.policy_defaults))


@router.post("", status_code=201)
def create_policy(new: NewPolicy, heed: Heed, _bearer: OpsBearer) -> PolicyAnswer:
    """Make a policy. It acts on the next point of every series that it selects."""
    draft = Draft(new.name, _matcher(new.matcher), new.settings, new.continues, new.position)

    return heed.committer.change_policies(lambda session: _answer(policies.create(session, draft, wall_now())))


@router.put("/order")
def reorder_policies(new: NewOrder, heed: Heed, _bearer: OpsBearer) -> PolicyList:
    """Put all policies into another order."""

    found = heed.committer.change_policies(
        lambda session: [_answer(row) for row in policies.reorder(session, new.order)]
    )
    return PolicyList(policies=found, defaults=_shown(heed.committer.rules.policy_defaults))


@router.get("/{policy_id}")
def get_policy(policy_id: Id, heed: Heed, _bearer: AnalystBearer) -> PolicyAnswer:
    """One policy by its id, with all that it sets."""
    with heed.database.reading() as session:
        return _answer(policies.existing(session, policy_id))


@router.put("/{policy_id}")
def replace_policy(policy_id: Id, new: NewPolicy, heed: Heed, _bearer: OpsBearer) -> PolicyAnswer:
    """Replace all that a policy says. Its place stays where none is sent."""
    draft = Draft(new.name, _matcher(new.matcher), new.settings, new.continues, new.position)

    return heed.committer.change_policies(
        lambda session: _answer(policies.replace(session, policy_id, draft, wall_now()))
    )


@router.patch("/{policy_id}")
def change_policy(policy_id: Id, change: PolicyChange, heed: Heed, _bearer: OpsBearer) -> PolicyAnswer:
    """Change some of what a policy says. A setting that is null is left to other policies and the defaults."""

    def act(session: Session) -> PolicyAnswer:
        draft = _changed(policies.existing(session, policy_id), change)
        return _answer(policies.replace(session, policy_id, draft, wall_now()))

    return heed.committer.change_policies(act)


@router.delete("/{policy_id}")
def delete_policy(policy_id: Id, heed: Heed, _bearer: OpsBearer) -> PolicyAnswer:
    """Delete a policy. Its series go back to the policies after it and the defaults; no baseline is lost."""

    return heed.committer.change_policies(lambda session: _answer(policies.delete(session, policy_id)))


def _changed(row: StoredPolicy, change: PolicyChange) -> Draft:
    settings = {name: value for name, value in {**row.settings, **change.settings}.items() if value is not None}
    return Draft(
        name=row.name if change.name is None else change.name,
        matcher=Matcher(row.metric, row.dimensions) if change.matcher is None else _matcher(change.matcher),
        settings=settings,
        continues=row.continues if change.continues is None else change.continues,
        position=change.position,
    )


def _matcher(given: MatcherInput) -> Matcher:
    return Matcher(given.metric, given.dimensions)


def _shown(defaults: Any) -> dict[str, Any]:
    settings = read_settings(defaults)
    return {name: getattr(settings, name) for name in NAMES}


def _answer(row: StoredPolicy) -> PolicyAnswer:
    return PolicyAnswer(
        id=row.id,
        name=row.name,
        position=row.position,
        matcher=PolicyMatcher(metric=row.metric, dimensions=row.dimensions),
        settings=row.settings,
        continues=row.continues,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
