"""Apply a file: policies, channels, silences, events, calendars and flags as it says, all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.access import AdminBearer
from app.api.channels import ChannelSettings, Pacing
from app.api.events import Dates, Rule, Zone, event_row, in_zone
from app.api.events import Name as EventName
from app.api.flags import NewState
from app.api.parts import Input, Text, Time
from app.api.policies import Continues, Settings
from app.api.policies import Name as PolicyName
from app.api.problems import Problem
from app.api.retrains import MatcherInput
from app.api.service import Heed, Service
from app.api.silences import NewSilence, silence_row
from app.clock import wall_now
from app.errors import HeedError, Unprocessable
from app.formats.ical import read_calendar
from app.pipeline.apply import (
    FILE,
    Action,
    Change,
    Fault,
    How,
    Wanted,
    WantedCalendar,
    WantedChannel,
    apply,
    refuse,
)
from app.pipeline.flags import Setting
from app.pipeline.policies import Draft
from app.store.flags import FLAGS, FlagName
from app.store.series import Matcher
from app.store.tables import Event
from feedback.recurrence import Recurring

router = APIRouter(prefix="/v1/apply", tags=["apply"])

MOST = 1_000


class FilePolicy(Input):
    """A policy; the first in the file decides first."""

    name: PolicyName
    matcher: MatcherInput = Field(default_factory=MatcherInput)
    settings: Settings = Field(default_factory=dict)
    continues: Continues = False


class FileChannel(Pacing):
    name: Annotated[Text, Field(min_length=1, max_length=100, examples=["sales team"])]
    kind: Annotated[Text, Field(max_length=50, examples=["slack"])]
    settings: ChannelSettings


class FileEvent(Input):
    """A known happening, once or recurring. Its name is its identity."""

    name: EventName
    matcher: MatcherInput = Field(default_factory=MatcherInput)
    start: Time
    end: Time
    rrule: Rule | None = None
    timezone: Zone | None = None
    also_on: Dates = Field(default_factory=list)
    not_on: Dates = Field(default_factory=list)


class FileCalendar(Input):
    """The events of an iCalendar file."""

    name: Annotated[Text, Field(min_length=1, max_length=100, examples=["campaigns"])]
    ics: Annotated[str, Field(max_length=5_000_000, description="What the .ics file holds.")]
    matcher: MatcherInput = Field(default_factory=MatcherInput)
    timezone: Zone | None = None


class Document(Input):
    """What a file says. Of a section that is left out it says nothing: all of that stays as it is."""

    policies: list[FilePolicy] | None = Field(None, max_length=MOST)
    channels: list[FileChannel] | None = Field(None, max_length=MOST)
    events: list[FileEvent] | None = Field(None, max_length=MOST)
    calendars: list[FileCalendar] | None = Field(None, max_length=100)
    flags: dict[Annotated[FlagName, Field(strict=False)], NewState] | None = None
    silences: list[NewSilence] | None = Field(None, max_length=MOST, description="Told apart by their comments.")


class ChangeAnswer(BaseModel):
    kind: str = Field(examples=["policy"])
    name: str
    action: Action
    details: list[str] = Field(description="In words, what is different. Settings of channels are named, not shown.")
    signing_secret: str | None = Field(description="What a receiver of a new webhook verifies with. Shown only now.")


class ApplyAnswer(BaseModel):
    applied: bool = Field(description="False in a dry run, and where there was nothing to do.")
    changes: list[ChangeAnswer]


@router.post("", responses={status: {"model": Problem} for status in (409, 422)})
def apply_document(
    document: Document,
    heed: Heed,
    bearer: AdminBearer,
    dry_run: Annotated[bool, Query(description="Say what would change, and change nothing.")] = False,
    prune: Annotated[bool, Query(description="Policies, channels and flags made by hand go, too.")] = False,
) -> ApplyAnswer:
    """Bring policies, channels, silences, events, calendars and flags in line with a file, in one commit.

    Again it does nothing.

    What the file made before and no longer has is removed. What was made by hand stays, unless pruned.
    """
    refuse(list(_repeated(document)))
    how = How(bearer.name, prune, heed.clock.now())
    changes = apply(heed, _wanted(document, heed, how), how, dry_run=dry_run)
    done = any(each.action in (Action.CREATE, Action.CHANGE, Action.REMOVE) for each in changes)
    return ApplyAnswer(applied=done and not dry_run, changes=[_answer(each) for each in changes])


def _repeated(document: Document) -> Iterator[Fault]:
    for section in ("policies", "channels", "events", "calendars"):
        seen: set[str] = set()
        for index, each in enumerate(getattr(document, section) or ()):
            if each.name in seen or (section == "calendars" and each.name == FILE):
                yield Fault((section, index, "name"), "this name is taken already. Give it another one")
            seen.add(each.name)
    comments = [each.comment for each in document.silences or ()]
    for index, comment in enumerate(comments):
        if comment in comments[:index]:
            yield Fault(("silences", index, "comment"), "another silence has this comment. Say what each one is for")


def _wanted(document: Document, heed: Service, how: How) -> Wanted:
    faults: list[Fault] = []
    wanted = Wanted(
        policies=_policies(document.policies, faults),
        channels=None if document.channels is None else [_channel(each, heed) for each in document.channels],
        events=None if document.events is None else [_event(each, heed, how) for each in document.events],
        calendars=_calendars(document.calendars, heed, how, faults),
        flags=_flags(document.flags, how, faults),
        silences=None if document.silences is None else [silence_row(s, how.by, how.now) for s in document.silences],
    )
    refuse(faults)
    return wanted


def _policies(policies: Sequence[FilePolicy] | None, faults: list[Fault]) -> list[Draft] | None:
    if policies is None:
        return None
    drafts = []
    for index, each in enumerate(policies):
        matcher = Matcher(each.matcher.metric, each.matcher.dimensions)
        try:
            drafts.append(Draft(each.name, matcher, each.settings, each.continues))
        except HeedError as error:
            faults.append(Fault(("policies", index, "settings"), error.detail.removeprefix("settings: ")))
    return drafts


def _channel(each: FileChannel, heed: Service) -> WantedChannel:
    return WantedChannel(each.name, each.kind, each.settings, each.pace(heed.committer.rules.timezone))


def _event(each: FileEvent, heed: Service, how: How) -> Event:
    zone = each.timezone or heed.committer.rules.timezone
    dates = (in_zone(those, zone) for those in (each.also_on, each.not_on))
    when = Recurring(each.start, each.end, zone, each.rrule, *dates)
    event = event_row(when, each.name, each.matcher, how.by, how.now)
    event.calendar, event.uid = FILE, each.name
    return event


def _calendars(
    calendars: Sequence[FileCalendar] | None, heed: Service, how: How, faults: list[Fault]
) -> dict[str, WantedCalendar] | None:
    """What an event that can't be has wrong with it is nobody's fault: a program wrote the file. It is left out."""
    if calendars is None:
        return None
    found: dict[str, WantedCalendar] = {}
    for index, each in enumerate(calendars):
        try:
            read = read_calendar(each.ics.encode(), each.timezone or heed.committer.rules.timezone, how.now)
        except Unprocessable as error:
            faults.append(Fault(("calendars", index, "ics"), error.detail))
            continue
        left_out = [f"left out “{event.name}”: {event.reason}" for event in read.rejected]
        if left_out and not read.events:
            faults.append(Fault(("calendars", index, "ics"), f"none of its events can be. {' '.join(left_out)}"))
        rows = [event_row(event.when, event.name, each.matcher, how.by, how.now) for event in read.events]
        for row, event in zip(rows, read.events, strict=True):
            row.calendar, row.uid = each.name, event.uid
        found[each.name] = WantedCalendar(rows, left_out)
    return found


def _flags(wanted: dict[FlagName, NewState] | None, how: How, faults: list[Fault]) -> dict[FlagName, Setting] | None:
    if wanted is None:
        return None
    for name, each in wanted.items():
        if each.state not in (FLAGS[name].usual, FLAGS[name].other):
            message = f"it is `{FLAGS[name].usual}` or `{FLAGS[name].other}`"
            faults.append(Fault(("flags", name.value, "state"), message))
    return {name: _setting(name, each, how) for name, each in wanted.items()}


def _setting(name: FlagName, each: NewState, how: How) -> Setting:
    """A flag whose time is over is as usual."""
    is_over = each.until is not None and each.until <= wall_now()
    return Setting(FLAGS[name].usual if is_over else each.state, each.reason, how.by, each.until)


def _answer(change: Change) -> ChangeAnswer:
    return ChangeAnswer(
        kind=change.kind,
        name=change.name,
        action=change.action,
        details=list(change.details),
        signing_secret=change.signing_secret,
    )
