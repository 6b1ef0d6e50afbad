"""Bring the installation in line with what a file says of it: all of it or nothing, in one commit.

A file speaks of its own: what it made, or took over by naming it, is changed with it and goes with it. What was made by
hand stays, unless the caller has it pruned. A section that the file does not have is not spoken of at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import structlog
from sqlalchemy.orm import Session

from app.channels.setup import (
    Pace,
    changed_settings,
    completed,
    difference,
    is_of_environment,
    make_channel,
    pace_of,
    possible_pace,
    set_pace,
)
from app.clock import wall_now
from app.errors import Conflict, Unprocessable
from app.pipeline import events, flags, policies, silenced
from app.pipeline.events import Exchange
from app.pipeline.flags import Setting, change_settings
from app.pipeline.happenings import Changed
from app.pipeline.ingest import Committer
from app.pipeline.notify import hours_changed
from app.pipeline.policies import Draft
from app.pipeline.rescore import score_again
from app.security import Vault
from app.store import audit, managed
from app.store import channels as stored_channels
from app.store import flags as stored_flags
from app.store import policies as stored_policies
from app.store import silences as stored_silences
from app.store.database import Database
from app.store.flags import FLAGS, FlagName
from app.store.tables import Channel, Event, Silence, StoredPolicy

log = structlog.get_logger()

FILE = "heed.yaml"
"""The calendar of events that stand in the file itself."""
NOT_IN_FILE = "it is no longer in heed.yaml"
Act = Callable[[Session], object]


class Action(StrEnum):
    """What becomes of one thing. KEEP: it was made by hand, and the file does not speak of it."""

    CREATE = "create"
    CHANGE = "change"
    LEAVE = "leave"
    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True)
class Change:
    """What becomes of one thing, and in words what is different. secret: what a receiver verifies signatures with."""

    kind: str
    name: str
    action: Action
    details: tuple[str, ...] = ()
    signing_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class WantedChannel:
    name: str
    kind: str
    settings: Mapping[str, str] = field(repr=False)
    pace: Pace


@dataclass(frozen=True)
class WantedCalendar:
    """left_out: which of its events can't be, in words, and why."""

    events: Sequence[Event] = ()
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class Wanted:
    """What a file says. None: of this it says nothing. calendars: by name."""

    policies: Sequence[Draft] | None = None
    channels: Sequence[WantedChannel] | None = None
    events: Sequence[Event] | None = None
    calendars: Mapping[str, WantedCalendar] | None = None
    flags: Mapping[FlagName, Setting] | None = None
    silences: Sequence[Silence] | None = None


@dataclass(frozen=True)
class Fault:
    """What can't be: where it stands in the file, and the cure."""

    path: tuple[str | int, ...]
    message: str


class Heed(Protocol):
    """What applying needs of the running service."""

    @property
    def database(self) -> Database: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def committer(self) -> Committer: ...


@dataclass(frozen=True)
class How:
    """by: who applies it. prune: what was made by hand goes, too. now: by the clock of the points."""

    by: str
    prune: bool
    now: datetime


@dataclass
class Plan:
    """What is to be done, and how. managed: afterwards, the names that the file speaks of, by kind."""

    changes: list[Change] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    channel_acts: list[Act] = field(default_factory=list)
    managed: dict[str, set[str]] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    touches_policies: bool = False

    def add(self, kind: str, name: str, action: Action, details: Iterable[str] = (), act: Act | None = None) -> None:
        self.changes.append(Change(kind, name, action, tuple(details)))
        if act is not None:
            self.acts.append(act)

    def count(self, *actions: Action) -> int:
        return sum(change.action in actions for change in self.changes)


def refuse(faults: Sequence[Fault]) -> None:
    """Raises Unprocessable with the place of each fault."""
    if faults:
        said = "; ".join(f"{'.'.join(map(str, each.path))}: {each.message}" for each in faults)
        places = [{"path": list(each.path), "message": each.message} for each in faults]
        raise Unprocessable(f"Nothing was applied. {said}", extra={"errors": places})


def apply(heed: Heed, wanted: Wanted, how: How, *, dry_run: bool) -> list[Change]:
    """What was done, or in a dry run what would be. Applied again it changes nothing. Raises Unprocessable."""
    with heed.database.reading() as session:
        plan = _plan(heed, session, wanted, how)
        refuse(plan.faults)
        is_known = all(managed.names(session, kind) == names for kind, names in plan.managed.items())
    if dry_run or (is_known and not plan.count(Action.CREATE, Action.CHANGE, Action.REMOVE)):
        return plan.changes
    for exchange in plan.exchanges:
        exchange.learn(heed.committer, how.now)
    return heed.committer.call(lambda: _carry_out(heed, wanted, how, plan))


def _carry_out(heed: Heed, wanted: Wanted, how: How, foreseen: Plan) -> list[Change]:
    """Plan once more with no change in between, and do it in one commit."""
    plan = foreseen

    def store() -> Changed:
        changed = Changed()

        def change(session: Session) -> None:
            nonlocal plan, changed
            plan = _plan(heed, session, wanted, how)
            if plan.changes != foreseen.changes:
                raise Conflict("Somebody changed something at the same moment. Nothing was applied: apply it again.")
            for act in [*plan.channel_acts, *plan.acts]:  # policies name channels
                act(session)
            changed = events.joined([each.carry_out(session, how.by, how.now) for each in foreseen.exchanges])
            for kind, names in plan.managed.items():
                managed.replace(session, kind, names, wall_now())
            done = {each.value: plan.count(each) for each in (Action.CREATE, Action.CHANGE, Action.REMOVE)}
            audit.record(session, "applied", actor=how.by, subject=done, now=wall_now())
            log.info("applied", by=how.by, **done)

        change_settings(heed.committer, change, policies_too=plan.touches_policies)
        return changed

    if foreseen.exchanges:
        heed.committer.rejudge(store)
        score_again(heed.committer, how.now)
    else:
        store()
    heed.committer.told()
    return plan.changes


def _plan(heed: Heed, session: Session, wanted: Wanted, how: How) -> Plan:
    plan = Plan()
    if wanted.policies is not None:
        _plan_policies(plan, session, wanted.policies, how)
        _refuse_unknown_channels(plan, session, wanted.policies, wanted.channels or ())
    if wanted.channels is not None:
        _plan_channels(plan, session, heed.vault, wanted.channels, how)
    if wanted.events is not None:
        _plan_events(plan, session, wanted.events, how)
    if wanted.calendars is not None:
        _plan_calendars(plan, session, wanted.calendars, how)
    if wanted.flags is not None:
        _plan_flags(plan, session, wanted.flags, how)
    if wanted.silences is not None:
        _plan_silences(plan, session, wanted.silences, how)
    return plan


def _plan_policies(plan: Plan, session: Session, drafts: Sequence[Draft], how: How) -> None:
    known = {row.name: row for row in stored_policies.in_order(session)}
    said = [draft.name for draft in drafts]
    gone, kept = _others(plan, session, "policy", known, said, how)
    for draft in drafts:
        row = known.get(draft.name)
        if row is None:
            plan.add("policy", draft.name, Action.CREATE, _of_policy(draft), _creation(draft))
        elif different := _difference(row, draft):
            plan.add("policy", draft.name, Action.CHANGE, different, _replacement(row.id, draft))
        else:
            plan.add("policy", draft.name, Action.LEAVE)
    for name in gone:
        plan.add("policy", name, Action.REMOVE, act=_deletion(known[name].id))
    _keep(plan, "policy", kept)
    names = [name for name in known if name not in gone] + [name for name in said if name not in known]
    order = in_order(names, said)
    if order != names:
        plan.add("policy", "order", Action.CHANGE, [f"they decide in the order {', '.join(order)}"])
        plan.acts.append(lambda session: _put_in_order(session, order))
    plan.touches_policies = plan.count(Action.CREATE, Action.CHANGE, Action.REMOVE) > 0


def _refuse_unknown_channels(
    plan: Plan, session: Session, drafts: Sequence[Draft], coming: Sequence[WantedChannel]
) -> None:
    known = stored_channels.names(session) | {each.name for each in coming}
    for index, draft in enumerate(drafts):
        if fault := policies.unknown_channels(draft, known):
            plan.faults.append(Fault(("policies", index, "settings"), fault))


def in_order(names: Sequence[str], said: Sequence[str]) -> list[str]:
    """All policies, those of the file in its order, in the places that they have; the others where they are."""
    following = iter(said)
    ours = set(said)
    return [next(following) if name in ours else name for name in names]


def _creation(draft: Draft) -> Act:
    return lambda session: policies.create(session, draft, wall_now())


def _replacement(policy_id: int, draft: Draft) -> Act:
    return lambda session: policies.replace(session, policy_id, draft, wall_now())


def _deletion(policy_id: int) -> Act:
    return lambda session: policies.delete(session, policy_id)


def _put_in_order(session: Session, names: Sequence[str]) -> None:
    rows = {row.name: row for row in stored_policies.in_order(session)}
    stored_policies.put_in_order([rows[name] for name in names])
    session.flush()


def _of_policy(draft: Draft) -> list[str]:
    return [f"{name}: {value}" for name, value in _parts_of_draft(draft).items() if value is not None]


def _difference(row: StoredPolicy, draft: Draft) -> list[str]:
    """`alerts_per_week: 0.5 → 0.25`, a line for each part that is to be another."""
    matcher = {"metric": row.metric} | {f"dimension {name}": value for name, value in row.dimensions.items()}
    before = matcher | dict(row.settings) | {"continue": row.continues}
    after = _parts_of_draft(draft)
    return _moved(before, after)


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    pairs = [(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]
    return [f"{name}: {_shown(old)} → {_shown(new)}" for name, old, new in pairs if old != new]


def _parts_of_draft(draft: Draft) -> dict[str, Any]:
    dimensions = {f"dimension {name}": list(allowed) for name, allowed in draft.matcher.dimensions.items()}
    return {"metric": draft.matcher.metric} | dimensions | dict(draft.settings) | {"continue": draft.continues}


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _plan_channels(plan: Plan, session: Session, vault: Vault, wanted: Sequence[WantedChannel], how: How) -> None:
    known = {row.name: row for row in stored_channels.find_channels(session)}
    enabled = {name: row for name, row in known.items() if row.disabled_at is None and not is_of_environment(row)}
    for index, channel in enumerate(wanted):
        try:
            _plan_channel(plan, vault, channel, known.get(channel.name))
        except ValueError as error:
            plan.faults.append(Fault(("channels", index, "settings"), str(error)))
    gone, kept = _others(plan, session, "channel", enabled, [each.name for each in wanted], how)
    for name in gone:
        plan.add("channel", name, Action.REMOVE, ["nothing is sent to it any more"], _switching_off(known[name].id))
    _keep(plan, "channel", kept)


def _plan_channel(plan: Plan, vault: Vault, wanted: WantedChannel, row: Channel | None) -> None:
    """Says which settings differ, never what they are. Raises ValueError on wrong settings."""
    if row is None:
        completed(wanted.kind, wanted.settings)
        possible_pace(wanted.kind, wanted.pace)
        plan.add("channel", wanted.name, Action.CREATE, [f"kind: {wanted.kind}"])
        plan.channel_acts.append(lambda session: _make(plan, session, vault, wanted))
        return
    settings, different = changed_settings(vault, row, wanted.kind, wanted.settings)
    pace = possible_pace(wanted.kind, wanted.pace)
    different += difference(pace_of(row), pace)
    if row.disabled_reason == NOT_IN_FILE:
        different.append("it is sent to again")
    if not different:
        plan.add("channel", wanted.name, Action.LEAVE)
        return
    channel_id = row.id

    def write(session: Session) -> None:
        channel = session.get_one(Channel, channel_id)
        channel.kind, channel.secrets = wanted.kind, vault.seal(settings)
        set_pace(channel, pace)
        session.flush()
        hours_changed(session, channel_id, wall_now())
        stored_channels.enable_channel(session, channel_id)

    plan.add("channel", wanted.name, Action.CHANGE, different, write)


def _make(plan: Plan, session: Session, vault: Vault, wanted: WantedChannel) -> None:
    """A secret that is made for a receiver is told once, with the change."""
    name, kind = wanted.name, wanted.kind
    _, secret = make_channel(
        session, vault, name=name, kind=kind, settings=wanted.settings, now=wall_now(), pace=wanted.pace
    )
    place = next(i for i, each in enumerate(plan.changes) if (each.kind, each.name) == ("channel", name))
    plan.changes[place] = replace(plan.changes[place], signing_secret=secret)


def _switching_off(channel_id: int) -> Act:
    return lambda session: stored_channels.disable_channel(session, channel_id, NOT_IN_FILE, wall_now())


def _plan_events(plan: Plan, session: Session, wanted: Sequence[Event], how: How) -> None:
    for index, event in enumerate(wanted):
        try:
            events.check(event)
            events.check_start(event)
        except Unprocessable as error:
            plan.faults.append(Fault(("events", index), error.detail))
    if plan.faults:
        return
    exchange = events.exchange_of(session, wanted, FILE, how.now)
    old, new = ({each.uid for each in part} for part in (exchange.gone, exchange.new))
    for event in wanted:
        action = Action.LEAVE if event.uid not in new else Action.CHANGE if event.uid in old else Action.CREATE
        plan.add("event", event.name, action)
    said = {each.uid for each in wanted}
    for event in exchange.gone:
        if event.uid not in said:
            plan.add("event", event.name, Action.REMOVE, ["its spans are learned again"])
    if exchange.new or exchange.gone:
        plan.exchanges.append(exchange)


def _plan_calendars(plan: Plan, session: Session, wanted: Mapping[str, WantedCalendar], how: How) -> None:
    known = managed.names(session, "calendar")
    for name in known - wanted.keys():
        wanted = {**wanted, name: WantedCalendar()}
    for name, calendar in wanted.items():
        exchange = events.exchange_of(session, calendar.events, name, how.now)
        counts = {"new": len(exchange.new), "taken back": len(exchange.gone)}
        details = [f"{count} events {what}" for what, count in counts.items() if count]
        if not calendar.events:
            action = Action.REMOVE
        elif details:
            action = Action.CHANGE if name in known else Action.CREATE
        else:
            action = Action.LEAVE
        plan.add("calendar", name, action, [*details, *calendar.left_out])
        if exchange.new or exchange.gone:
            plan.exchanges.append(exchange)
    plan.managed["calendar"] = {name for name, calendar in wanted.items() if calendar.events}


def _plan_flags(plan: Plan, session: Session, wanted: Mapping[FlagName, Setting], how: How) -> None:
    standing = stored_flags.standing(session)
    for name, setting in wanted.items():
        flag = standing.get(name)
        before = (FLAGS[name].usual, None, None) if flag is None else (flag.state, flag.reason, flag.until)
        is_usual = setting.state == FLAGS[name].usual
        after = (setting.state, None, None) if is_usual else (setting.state, setting.reason, setting.until)
        if before == after:
            plan.add("flag", name, Action.LEAVE)
            continue
        pairs = zip(("state", "reason", "until"), before, after, strict=True)
        details = [f"{part}: {_shown(old)} → {_shown(new)}" for part, old, new in pairs if old != new]
        plan.add("flag", name, Action.CHANGE, details, _switch(name, setting))
    set_ones = {name.value: flag for name, flag in standing.items()}
    gone, kept = _others(plan, session, "flag", set_ones, [each.value for each in wanted], how)
    for each in gone:
        details = [f"state: {set_ones[each].state} → {FLAGS[FlagName(each)].usual}"]
        plan.add("flag", each, Action.REMOVE, details, _back(FlagName(each), how))
    _keep(plan, "flag", kept)


def _switch(name: FlagName, setting: Setting) -> Act:
    return lambda session: flags.put(session, name, setting)


def _back(name: FlagName, how: How) -> Act:
    return lambda session: flags.put_back(session, name, how.by)


def _plan_silences(plan: Plan, session: Session, wanted: Sequence[Silence], how: How) -> None:
    """Of silences nothing is put back or taken away that is over. What says why one is there is its name."""
    standing = {each.comment: each for each in stored_silences.not_over(session, how.now)}
    for index, silence in enumerate(wanted):
        row = standing.get(silence.comment)
        try:
            silenced.check_order(silence)
        except Unprocessable as error:
            plan.faults.append(Fault(("silences", index), error.detail))
        different = [] if row is None else _moved(_parts_of_silence(row), _parts_of_silence(silence))
        if row is None and silence.ended_at <= how.now:
            plan.add("silence", silence.comment, Action.LEAVE, ["it is over"])
        elif row is None:
            plan.add("silence", silence.comment, Action.CREATE, _of_silence(silence), _silencing(silence, how))
        elif silence.ended_at <= how.now:
            plan.add("silence", silence.comment, Action.REMOVE, ["it is over"], _ending(row.id, how))
        elif different:
            plan.add("silence", silence.comment, Action.CHANGE, different, _silencing(silence, how, instead_of=row))
        else:
            plan.add("silence", silence.comment, Action.LEAVE)
    said = {each.comment for each in wanted}
    for name in sorted(managed.names(session, "silence") & standing.keys() - said):
        plan.add("silence", name, Action.REMOVE, ["what still goes on is told"], _ending(standing[name].id, how))
    plan.managed["silence"] = said


def _silencing(silence: Silence, how: How, *, instead_of: Silence | None = None) -> Act:
    """A new one, before the one that it takes the place of ends: what both cover is told of in neither's name."""
    replaced = None if instead_of is None else instead_of.id

    def act(session: Session) -> None:
        silenced.make(session, silence, how.now)
        if replaced is not None:
            silenced.end(session, replaced, by=how.by, now=how.now)

    return act


def _ending(silence_id: int, how: How) -> Act:
    return lambda session: silenced.end(session, silence_id, by=how.by, now=how.now)


def _of_silence(silence: Silence) -> list[str]:
    return [f"{name}: {value}" for name, value in _parts_of_silence(silence).items()]


def _parts_of_silence(silence: Silence) -> dict[str, Any]:
    dimensions = {f"dimension {name}": list(allowed) for name, allowed in silence.dimensions.items()}
    times = {"start": silence.started_at.isoformat(), "end": silence.ended_at.isoformat()}
    return {"metric": silence.metric} | dimensions | times


def _others(
    plan: Plan, session: Session, kind: str, there: Iterable[str], said: Sequence[str], how: How
) -> tuple[list[str], list[str]]:
    """What is there although the file does not speak of it: what goes, and what was made by hand and stays."""
    ours = managed.names(session, kind)
    plan.managed[kind] = set(said)
    others = [name for name in there if name not in said]
    return [name for name in others if name in ours or how.prune], [
        name for name in others if name not in ours and not how.prune
    ]


def _keep(plan: Plan, kind: str, names: Iterable[str]) -> None:
    for name in names:
        plan.add(kind, name, Action.KEEP, ["made by hand"])
