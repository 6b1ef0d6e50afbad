"""Channels: where alerts go. Their settings are secrets: they go in and never come out."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.alerts.hours import DAYS, ActiveHours, Day, TimeOfDay, ZoneName
from app.api.access import AdminBearer, OpsBearer
from app.api.parts import LARGEST_ID, Id, Input, Limit, Text
from app.api.service import Heed
from app.channels import CHANNELS
from app.channels.setup import (
    USUAL_PACE,
    Pace,
    changed_settings,
    difference,
    is_of_environment,
    make_channel,
    pace_of,
    possible_pace,
    set_pace,
)
from app.clock import wall_now
from app.errors import Conflict, NotFound, Unprocessable
from app.pipeline.notify import hours_changed
from app.store import audit
from app.store import channels as stored
from app.store import notifications as outbox
from app.store.tables import Channel

router = APIRouter(tags=["channels"])
log = structlog.get_logger()

SWITCHED_OFF = "switched off by hand"


class Status(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    SKIPPED = "skipped"


ChannelSettings = Annotated[
    dict[Annotated[Text, Field(max_length=50)], Annotated[Text, Field(max_length=2000)]],
    Field(max_length=20, description="What this kind needs, such as its `url`. Kept encrypted, never shown again."),
]


MostMessages = Annotated[
    int | None,
    Field(
        ge=1,
        le=1_000,
        description="In ten minutes; what is beyond waits, and is told in one message. 5 unless said, none for "
        "what follows each alert by itself (`alertmanager`). Of `pagerduty` only what opens an incident counts.",
    ),
]


class HoursInput(Input):
    """From a time of day up to another one, of some days; up to one that is not later, it is of the next day."""

    start: TimeOfDay = Field(examples=["08:00"])
    end: TimeOfDay = Field(examples=["18:00"])
    days: Annotated[list[Annotated[Day, Field(strict=False)]], Field(min_length=1, max_length=7)] = Field(
        default_factory=lambda: list(DAYS)
    )

    @property
    def hours(self) -> ActiveHours:
        return ActiveHours(self.start, self.end, tuple(self.days))


Hours = Annotated[
    HoursInput | None,
    Field(description="When somebody reads its messages. What is not critical waits for them. Null: always."),
]
HoursZone = Annotated[
    ZoneName | None, Field(max_length=60, description="IANA zone of the `active_hours`. HEED_TIMEZONE unless said.")
]


class Pacing(Input):
    """How much a channel takes, and when."""

    most_messages: MostMessages = None
    active_hours: Hours = None
    timezone: HoursZone = None

    def pace(self, timezone: str, now: Pace = USUAL_PACE) -> Pace:
        """What is given of it, the rest as it is now. `timezone`: of hours that name none."""
        said = self.model_fields_set
        hours = self.active_hours.hours if self.active_hours else None
        return Pace(
            self.most_messages if "most_messages" in said else now.most_messages,
            hours if "active_hours" in said else now.active_hours,
            self.timezone or now.timezone or timezone,
        )


class NewChannel(Pacing):
    name: Annotated[Text, Field(min_length=1, max_length=100, examples=["sales team"])]
    kind: Annotated[Text, Field(max_length=50, description=f"One of {', '.join(CHANNELS)}.", examples=["slack"])]
    settings: ChannelSettings


class ChannelChange(Pacing):
    """What is absent stays. Settings are replaced as a whole; a webhook keeps its `secret` unless another is given."""

    name: Annotated[Text, Field(min_length=1, max_length=100)] | None = None
    settings: ChannelSettings | None = None


class HoursAnswer(BaseModel):
    start: str
    end: str
    days: list[str]


class ChannelAnswer(BaseModel):
    id: int
    name: str
    kind: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    not_before: datetime | None = Field(description="Nothing is sent before then, because the receiver asked for it.")
    most_messages: int | None = Field(description="That it takes in ten minutes; null for any number.")
    active_hours: HoursAnswer | None = Field(description="When somebody reads its messages; null for always.")
    timezone: str | None = Field(description="Of the active hours.")
    waiting: int = Field(description="Notifications still to be delivered.")
    dead: int = Field(description="Notifications given up; they can be replayed.")


class MadeChannel(ChannelAnswer):
    signing_secret: str | None = Field(
        description="What a receiver of a new webhook verifies signatures with. Shown only now."
    )


class ChannelList(BaseModel):
    channels: list[ChannelAnswer]


class Trial(BaseModel):
    delivered: bool
    error: str | None


class NotificationAnswer(BaseModel):
    id: str
    alert_id: int
    channel: str
    reason: str
    status: Status
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    sent_at: datetime | None
    error: str | None


class NotificationList(BaseModel):
    notifications: list[NotificationAnswer]


@router.post("/v1/channels", status_code=201)
def make(new: NewChannel, heed: Heed, _bearer: AdminBearer) -> MadeChannel:
    """Make a channel. It hears of every alert that opens from now on."""
    with heed.database.writing() as session:
        if stored.channel_named(session, new.name):
            raise Conflict("There is a channel of this name. Choose another name.")
        try:
            channel, secret = make_channel(
                session,
                heed.vault,
                name=new.name,
                kind=new.kind,
                settings=new.settings,
                now=wall_now(),
                pace=new.pace(heed.committer.rules.timezone),
            )
        except ValueError as error:
            raise _refused(error) from None
        return MadeChannel(signing_secret=secret, **_answer(channel, waiting=0, dead=0).model_dump())


@router.get("/v1/channels")
def list_channels(heed: Heed, _bearer: OpsBearer) -> ChannelList:
    """All channels, the oldest first, without their settings."""
    with heed.database.reading() as session:
        waiting, dead = outbox.count_by_channel(session, outbox.PENDING), outbox.count_by_channel(session, outbox.DEAD)
        found = stored.find_channels(session)
    answers = [_answer(each, waiting=waiting.get(each.id, 0), dead=dead.get(each.id, 0)) for each in found]
    return ChannelList(channels=answers)


@router.patch("/v1/channels/{channel_id}")
def change(channel_id: Id, wanted: ChannelChange, heed: Heed, bearer: AdminBearer) -> ChannelAnswer:
    """Change its name, its settings, or how much it takes and when. What waits for it goes by what it is now."""
    with heed.database.writing() as session:
        channel = _existing(session, channel_id)
        try:
            different = _rename(session, channel, wanted)
            if wanted.settings is not None:
                settings, others = changed_settings(heed.vault, channel, channel.kind, wanted.settings)
                channel.secrets = heed.vault.seal(settings)
                different += others
            before = pace_of(channel)
            pace = possible_pace(channel.kind, wanted.pace(heed.committer.rules.timezone, before))
        except ValueError as error:
            raise _refused(error) from None
        set_pace(channel, pace)
        session.flush()
        hours_changed(session, channel_id, wall_now())
        if different := different + difference(before, pace):
            audit.record(session, "channel_changed", actor=bearer.name, subject={"channel": channel_id}, now=wall_now())
            log.info("channel_changed", channel=channel.name, by=bearer.name, different=different)
    heed.notifier.wake()
    return _one(heed, channel_id)


@router.post("/v1/channels/{channel_id}/test")
def try_out(channel_id: Id, heed: Heed, _bearer: OpsBearer) -> Trial:
    """Send a test alert and its end at once, and say whether the receiver took them."""
    with heed.database.reading() as session:
        _existing(session, channel_id)
    error = heed.notifier.try_out(channel_id, wall_now())
    return Trial(delivered=error is None, error=error.message if error else None)


@router.post("/v1/channels/{channel_id}/enable")
def enable(channel_id: Id, heed: Heed, _bearer: OpsBearer) -> ChannelAnswer:
    """Send to it again, starting with what waited. Enabling what is enabled changes nothing."""
    with heed.database.writing() as session:
        _existing(session, channel_id)
        stored.enable_channel(session, channel_id)
    heed.notifier.wake()
    return _one(heed, channel_id)


@router.post("/v1/channels/{channel_id}/disable")
def disable(channel_id: Id, heed: Heed, _bearer: OpsBearer) -> ChannelAnswer:
    """Send nothing to it any more. What waits is kept for three days."""
    with heed.database.writing() as session:
        _existing(session, channel_id)
        stored.disable_channel(session, channel_id, SWITCHED_OFF, wall_now())
    return _one(heed, channel_id)


@router.get("/v1/notifications")
def list_notifications(
    heed: Heed,
    _bearer: OpsBearer,
    status: Status | None = None,
    channel_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    limit: Limit = 50,
) -> NotificationList:
    """Deliveries, the newest first. `status=dead` lists the letters that were given up."""
    with heed.database.reading() as session:
        found = outbox.find_notifications(session, status=status, channel_id=channel_id, limit=limit)
    answers = [
        NotificationAnswer(
            id=each.id,
            alert_id=each.alert_id,
            channel=channel,
            reason=each.reason,
            status=Status(each.status),
            attempts=each.attempts,
            created_at=each.created_at,
            next_attempt_at=each.next_attempt_at if each.status == Status.PENDING else None,
            sent_at=each.sent_at,
            error=each.error,
        )
        for each, channel in found
    ]
    return NotificationList(notifications=answers)


@router.post("/v1/notifications/{notification_id}/replay", status_code=202)
def replay(notification_id: Annotated[Text, Path(max_length=36)], heed: Heed, _bearer: OpsBearer) -> dict[str, str]:
    """Deliver a dead letter after all."""
    with heed.database.writing() as session:
        if not outbox.replay_dead(session, notification_id, wall_now()):
            raise NotFound("There is no dead letter with this id. GET /v1/notifications?status=dead lists them.")
    heed.notifier.wake()
    return {"status": "pending"}


def _refused(error: ValueError) -> Unprocessable:
    return Unprocessable(f"{str(error)[:1].upper()}{str(error)[1:]}.")


def _rename(session: Session, channel: Channel, wanted: ChannelChange) -> list[str]:
    if wanted.name is None or wanted.name == channel.name:
        return []
    if is_of_environment(channel):
        raise Conflict("This channel is made by a setting of the process and named after it. Make another one.")
    if stored.channel_named(session, wanted.name):
        raise Conflict("There is a channel of this name. Choose another name.")
    different = [f"name: {channel.name} → {wanted.name}"]
    channel.name = wanted.name
    return different


def _existing(session: Session, channel_id: int) -> Channel:
    channel = stored.get_channel(session, channel_id)
    if channel is None:
        raise NotFound("There is no channel with this id. GET /v1/channels lists them.")
    return channel


def _one(heed: Heed, channel_id: int) -> ChannelAnswer:
    with heed.database.reading() as session:
        channel = _existing(session, channel_id)
        waiting, dead = outbox.count_by_channel(session, outbox.PENDING), outbox.count_by_channel(session, outbox.DEAD)
    return _answer(channel, waiting=waiting.get(channel_id, 0), dead=dead.get(channel_id, 0))


def _answer(channel: Channel, *, waiting: int, dead: int) -> ChannelAnswer:
    return ChannelAnswer(
        id=channel.id,
        name=channel.name,
        kind=channel.kind,
        created_at=channel.created_at,
        disabled_at=channel.disabled_at,
        disabled_reason=channel.disabled_reason,
        not_before=channel.not_before,
        most_messages=channel.most_messages,
        active_hours=None if channel.active_hours is None else HoursAnswer(**channel.active_hours),
        timezone=channel.timezone,
        waiting=waiting,
        dead=dead,
    )
