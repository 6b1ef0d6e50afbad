"""Set flags: committed, acting from the next point on, and back again without the loss of a baseline."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from app.clock import wall_now
from app.partitions.partition import NewSeries
from app.pipeline import recover
from app.pipeline.ingest import Committer, switches_of
from app.pipeline.learn import current_tolerances
from app.pipeline.policies import current_policies, regulated
from app.pipeline.release import release
from app.pipeline.rescore import catch_up, score_again
from app.store import audit
from app.store import flags as stored
from app.store.flags import FLAGS, FlagName
from app.store.tables import Flag

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """How somebody wants a flag. until: real time at which it goes back by itself."""

    state: str
    reason: str
    author: str
    until: datetime | None = None


def set_flag(committer: Committer, name: FlagName, wanted: Setting) -> None:
    """Set a flag, or put it back where `wanted.state` is its usual one. It acts on the next point."""

    change_settings(committer, lambda session: put(session, name, wanted))


def put(session: Session, name: FlagName, wanted: Setting) -> None:
    """The same within a change of settings."""
    if wanted.state == FLAGS[name].usual:
        put_back(session, name, wanted.author)
        return
    flag = stored.put(
        session,
        name,
        state=wanted.state,
        reason=wanted.reason,
        author=wanted.author,
        until=wanted.until,
        now=wall_now(),
    )
    _record(session, flag, wanted.state, wanted.author)


def clear_flag(committer: Committer, name: FlagName, *, by: str) -> None:
    """Put a flag back into its usual state. One that is there stays there."""
    change_settings(committer, lambda session: put_back(session, name, by))


def follow(committer: Committer) -> str:
    """Put back the flags whose time is over, and heed what another process has set."""
    with committer.database.reading() as session:
        standing = stored.standing(session)
    states = {name: flag.state for name, flag in standing.items()}
    if states == committer.flags and not any(is_over(flag) for flag in standing.values()):
        return ""
    change_settings(committer, _put_back_what_is_over)
    return "flags changed"


def is_over(flag: Flag) -> bool:
    return flag.until is not None and flag.until <= wall_now()


def _put_back_what_is_over(session: Session) -> None:
    for name, flag in stored.standing(session).items():
        if is_over(flag):
            _end(session, name, flag, None)


def put_back(session: Session, name: FlagName, by: str) -> None:
    flag = stored.standing(session).get(name)
    if flag is not None:
        _end(session, name, flag, by)


def _end(session: Session, name: FlagName, flag: Flag, by: str | None) -> None:
    stored.end(flag, by=by, at=wall_now())
    session.flush()
    if name is FlagName.NOTIFICATIONS:
        release(session, flag, wall_now())
    _record(session, flag, FLAGS[name].usual, by or "its time was over")


def _record(session: Session, flag: Flag, state: str, actor: str) -> None:
    audit.record(session, f"flag_{flag.name}_{state}", actor=actor, subject={"flag": flag.id}, now=wall_now())
    log.warning("flag_set", flag=flag.name, state=state, reason=flag.reason)


def change_settings(committer: Committer, change: Callable[[Session], object], *, policies_too: bool = False) -> None:
    """Let `change` change flags, and where said policies too, and heed them from the next point on.

    One commit with a checkpoint: a replay must not judge what was before the change as what came after.
    """
    committer.call(lambda: _change_between_points(committer, change, policies_too))
    committer.told()


def _change_between_points(committer: Committer, change: Callable[[Session], object], policies_too: bool) -> None:
    score_again(committer, committer.clock.now())
    members: dict[int, list[NewSeries]] = {}
    with ExitStack() as stack:
        for partition in committer.partitions:
            stack.enter_context(committer.reloading(partition.number))
        session = stack.enter_context(committer.database.writing())
        change(session)
        states = stored.states(session)
        _turn(committer, session, states)
        policies = current_policies(session, committer.rules.policy_defaults)
        tolerances = current_tolerances(session, committer.clock.now(), policies, committer.rules.label_half_life)
        for partition in committer.partitions if policies_too else ():
            members[partition.number] = regulated(session, partition, policies, committer.rules.timezone)
        for partition in committer.partitions:
            recover.save(session, partition)
    committer.flags = states
    for partition in committer.partitions:
        recover.saved(partition)
        if policies_too:
            partition.regulate(policies, members[partition.number])
        partition.heed(tolerances)


def _turn(committer: Committer, session: Session, states: dict[FlagName, str]) -> None:
    """Let these states count. What was judged before is never judged again by what judges now."""
    before, after = committer.switches, switches_of(states)
    if before == after:
        return
    for partition in committer.partitions:
        if before.basic:
            partition.switches = replace(before, basic=False)
            catch_up(session, partition)
        partition.switches = after
        partition.anchor_all()
