"""Events: known happenings, once or recurring, declared one by one or imported from a calendar."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Body, Query
from pydantic import AfterValidator, BaseModel, Field

from app.api.access import AnalystBearer
from app.api.parts import (
    LARGEST_ID,
    BodyId,
    Cursor,
    Id,
    Input,
    Limit,
    Text,
    Time,
    read_cursor,
    read_dimensions,
    write_cursor,
)
from app.api.retrains import MatcherInput
from app.api.service import Heed, Service
from app.errors import NotFound, Unprocessable
from app.formats.ical import CalendarEvent, read_calendar
from app.pipeline import events
from app.pipeline.happenings import unpacked
from app.store import happenings as stored
from app.store import series as stored_series
from app.store.tables import Event
from detectors.calendar import zone_names
from feedback.recurrence import Recurring, occurrences

router = APIRouter(prefix="/v1/events", tags=["events"])

COMING = 5


def _known_zone(name: str) -> str:
    if name not in zone_names():
        raise ValueError("it must be an IANA time zone, such as Europe/Berlin")
    return name


Zone = Annotated[Text, Field(max_length=60), AfterValidator(_known_zone)]
Name = Annotated[Text, Field(min_length=1, max_length=200, examples=["spring campaign"])]
Rule = Annotated[
    Text,
    Field(max_length=500, examples=["FREQ=MONTHLY;BYDAY=1MO"], description="RFC 5545; daily, weekly, monthly, yearly."),
]
Dates = Annotated[list[Time], Field(max_length=500)]


class NewEvent(Input):
    """What happens to which series, and when. Times recur by the clock of `timezone`."""

    name: Name
    matcher: MatcherInput | None = None
    series_id: BodyId | None = Field(None, description="Instead of a matcher: this series alone.")
    start: Time = Field(description="Of the first occurrence.")
    end: Time
    rrule: Rule | None = None
    timezone: Zone | None = Field(None, description="HEED_TIMEZONE if left out.")
    also_on: Dates = Field(default_factory=list, description="Further starts.")
    not_on: Dates = Field(default_factory=list, description="Starts of the rule that are left out.")


class ChangedEvent(Input):
    """What is left out stays as it is."""

    name: Name | None = None
    matcher: MatcherInput | None = Field(None, description="Of an event of one series, too: it is of these then.")
    start: Time | None = None
    end: Time | None = None
    rrule: Rule | None = Field(None, description="Null: it recurs no longer.")
    timezone: Zone | None = None
    also_on: Dates | None = None
    not_on: Dates | None = None


class Span(BaseModel):
    start: datetime
    end: datetime


class LearnedEffect(BaseModel):
    """What the event does to a series, learned from the times that it came before."""

    series: int = Field(description="Series whose own effect is known; others get that of their siblings.")
    factor: list[float] = Field(description="Of those that it never met: what the expected is multiplied by, by part.")


class EventAnswer(BaseModel):
    id: int
    name: str
    matcher: dict[str, Any] | None
    series_id: int | None
    start: datetime
    end: datetime
    rrule: str | None
    timezone: str
    also_on: list[str] = Field(description="Local times.")
    not_on: list[str]
    calendar: str | None
    author: str
    created_at: datetime
    label_id: int | None = Field(description="The label that made it.")
    stands: bool
    revoked_by: str | None
    coming: list[Span] = Field(description="The next occurrences, the one that takes place included.")
    learned: LearnedEffect | None = Field(description="Null until it came once; until then the band is wide.")


class EventList(BaseModel):
    events: list[EventAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class Refused(BaseModel):
    """An event of a calendar that can't be."""

    index: int = Field(description="Its place among the events of the file, from 0.")
    name: str
    reason: str = Field(description="Why, and the cure.")


class ImportAnswer(BaseModel):
    """What became of a calendar."""

    calendar: str
    events: int = Field(description="Events that are new or have changed.")
    unchanged: int
    taken_back: int = Field(description="Events that the calendar no longer has, or has otherwise.")
    stay_deleted: int = Field(description="Events that somebody deleted here, and that are still as they were then.")
    rejected: list[Refused]


@router.post("", status_code=201)
def declare_event(new: NewEvent, heed: Heed, bearer: AnalystBearer) -> EventAnswer:
    """Say what happens, or happened. Its past is left out of training, and alerts that it explains are closed.

    While it takes place its series are judged by what it did to them before; the first time, within a wide band.
    """
    if (new.matcher is None) == (new.series_id is None):
        raise Unprocessable("Send either a matcher or a series_id: which series does it happen to?")
    zone = new.timezone or heed.committer.rules.timezone
    when = Recurring(new.start, new.end, zone, new.rrule, *(in_zone(each, zone) for each in (new.also_on, new.not_on)))
    _check_series(heed, new.series_id)
    event = event_row(when, new.name, new.matcher, bearer.name, heed.clock.now(), series_id=new.series_id)
    events.check_start(event)
    declared = events.declare(heed.committer, [event], heed.clock.now())
    return _answer(declared[0], heed.clock.now())


@router.post("/import", status_code=201)
def import_calendar(
    heed: Heed,
    bearer: AnalystBearer,
    body: Annotated[bytes, Body(media_type="text/calendar", description="The .ics file.")],
    calendar: Annotated[Text, Query(min_length=1, max_length=100, description="Its name here.")] = "calendar",
    metric: Annotated[Text, Query(max_length=200, description="Series it is about; `*` stands for anything.")] = "*",
    dimension: Annotated[list[Text] | None, Query(max_length=20, description="name:value. Repeat for more.")] = None,
    timezone: Annotated[Zone | None, Query(description="Of times that name none.")] = None,
) -> ImportAnswer:
    """Take in all events of an iCalendar file, with every recurrence. Sent again it is brought up to date.

    What can't be is refused by name, and the rest taken in.
    """
    now = heed.clock.now()
    read = read_calendar(body, timezone or heed.committer.rules.timezone, now)
    matcher = MatcherInput(metric=metric, dimensions=dict(read_dimensions(dimension or [])))
    rows = [_imported(each, matcher, bearer.name, calendar, now) for each in read.events]
    done = events.import_calendar(heed.committer, rows, calendar, by=bearer.name, now=now)
    return ImportAnswer(
        calendar=calendar,
        events=len(done.new),
        unchanged=len(rows) - len(done.new) - done.stay_deleted,
        taken_back=len(done.gone),
        stay_deleted=done.stay_deleted,
        rejected=[Refused(index=each.index, name=each.name, reason=each.reason) for each in read.rejected],
    )


@router.get("")
def list_events(
    heed: Heed,
    _bearer: AnalystBearer,
    calendar: Annotated[Text | None, Query(max_length=100)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> EventList:
    """Events, the newest first, those that were taken back included."""
    now = heed.clock.now()
    with heed.database.reading() as session:
        found = stored.page(session, Event, limit=limit, before_id=read_cursor(cursor, LARGEST_ID), calendar=calendar)
    following = write_cursor(found[-1].id) if len(found) == limit else None
    return EventList(events=[_answer(each, now) for each in found], next=following)


@router.get("/{event_id}")
def get_event(event_id: Id, heed: Heed, _bearer: AnalystBearer) -> EventAnswer:
    """One event with its next occurrences and what was learned of it."""
    with heed.database.reading() as session:
        event = stored.get(session, Event, event_id)
    if event is None:
        raise NotFound("There is no such event. List them with GET /v1/events.")
    return _answer(event, heed.clock.now())


@router.patch("/{event_id}")
def change_event(event_id: Id, changed: ChangedEvent, heed: Heed, _bearer: AnalystBearer) -> EventAnswer:
    """Change what it is called, what it is about, or when it is. The past follows."""
    now = heed.clock.now()
    with heed.database.reading() as session:
        zone = changed.timezone or events.existing(session, event_id).timezone
    fields: dict[str, Any] = {"name": changed.name, "started_at": changed.start, "ended_at": changed.end}
    fields |= {"timezone": changed.timezone}
    for name, dates in (("also_on", changed.also_on), ("not_on", changed.not_on)):
        fields[name] = None if dates is None else [each.isoformat() for each in in_zone(dates, zone)]
    wanted = {name: value for name, value in fields.items() if value is not None}
    if "rrule" in changed.model_fields_set:
        wanted["rrule"] = changed.rrule
    if changed.matcher is not None:
        wanted |= {"metric": changed.matcher.metric, "dimensions": changed.matcher.dimensions, "series_id": None}
    return _answer(events.change(heed.committer, event_id, wanted, now), now)


@router.delete("/{event_id}")
def take_event_back(event_id: Id, heed: Heed, bearer: AnalystBearer) -> EventAnswer:
    """Take an event back as if it had never been: its spans are learned again, its alerts are what they were."""
    now = heed.clock.now()
    return _answer(events.take_back(heed.committer, event_id, by=bearer.name, now=now), now)


def _check_series(heed: Service, series_id: int | None) -> None:
    with heed.database.reading() as session:
        if series_id is not None and stored_series.get(session, series_id) is None:
            raise NotFound("There is no such series. List them with GET /v1/series.")


def in_zone(dates: list[datetime], zone: str) -> list[datetime]:
    """The wall-clock times of these there."""
    return [each.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for each in dates]


def event_row(
    when: Recurring,
    name: str,
    matcher: MatcherInput | None,
    author: str,
    now: datetime,
    *,
    series_id: int | None = None,
) -> Event:
    """An event that is not stored yet."""
    about = matcher or MatcherInput()
    return Event(
        name=name,
        metric=about.metric,
        dimensions=about.dimensions,
        series_id=series_id,
        started_at=when.start,
        ended_at=when.end,
        timezone=when.timezone,
        rrule=when.rrule,
        also_on=[each.isoformat() for each in when.also_on],
        not_on=[each.isoformat() for each in when.not_on],
        author=author,
        created_at=now,
    )


def _imported(each: CalendarEvent, matcher: MatcherInput, author: str, calendar: str, now: datetime) -> Event:
    event = event_row(each.when, each.name, matcher, author, now)
    event.calendar, event.uid = calendar, each.uid
    return event


def _answer(event: Event, now: datetime) -> EventAnswer:
    stands = event.revoked_at is None
    spans = occurrences(stored.recurring(event), now + events.HORIZON) if stands else []
    effect = unpacked(event.learned)
    learned = None
    if effect is not None:
        own = int((effect.series_id > 0).sum())
        learned = LearnedEffect(series=own, factor=[round(float(each), 3) for each in effect.factor[0]])
    return EventAnswer(
        id=event.id,
        name=event.name,
        matcher={"metric": event.metric, "dimensions": event.dimensions} if event.series_id is None else None,
        series_id=event.series_id,
        start=event.started_at,
        end=event.ended_at,
        rrule=event.rrule,
        timezone=event.timezone,
        also_on=event.also_on,
        not_on=event.not_on,
        calendar=event.calendar,
        author=event.author,
        created_at=event.created_at,
        label_id=event.label_id,
        stands=stands,
        revoked_by=event.revoked_by,
        coming=[Span(start=each.start, end=each.end) for each in spans if each.end > now][:COMING],
        learned=learned,
    )
