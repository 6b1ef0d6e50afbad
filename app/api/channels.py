"""Channels: where alerts go. Their settings are secrets: they go in and never come out."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.api.access import AdminBearer, OpsBearer
from app.api.parts import LARGEST_ID, Id, Input, Limit, Text
from app.api.service import Heed
from app.channels import CHANNELS
from app.channels.setup import make_channel
from app.clock import wall_now
from app.errors import Conflict, NotFound, Unprocessable
from app.store import channels as stored
from app.store import notifications as outbox
from app.store.tables import Channel

router = APIRouter(tags=["channels"])

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


class NewChannel(Input):
    name: Annotated[Text, Field(min_length=1, max_length=100, examples=["sales team"])]
    kind: Annotated[Text, Field(max_length=50, description=f"One of {', '.join(CHANNELS)}.", examples=["slack"])]
    settings: ChannelSettings

    most_messages: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000,
            description="In ten minutes; what is beyond waits, and is told in one message. 5 unless said, none for "
            "kinds that follow each alert by itself (`pagerduty`, `alertmanager`).",
        ),
    ] = None


class ChannelAnswer(BaseModel):
    id: int
    name: str
    kind: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    not_before: datetime | None = Field(description="Nothing is sent before then, because the receiver asked for it.")
    most_messages: int | None = Field(description="That it takes in ten minutes; null for any number.")
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
                most_messages=new.most_messages,
            )
        except ValueError as error:
            raise Unprocessable(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        return MadeChannel(signing_secret=secret, **_answer(channel, waiting=0, dead=0).model_dump())


@router.get("/v1/channels")
def list_channels(heed: Heed, _bearer: OpsBearer) -> ChannelList:
    """All channels, the oldest first, without their settings."""
    with heed.database.reading() as session:
        waiting, dead = outbox.count_by_channel(session, outbox.PENDING), outbox.count_by_channel(session, outbox.DEAD)
        found = stored.find_channels(session)
    answers = [_answer(each, waiting=waiting.get(each.id, 0), dead=dead.get(each.id, 0)) for each in found]
    return ChannelList(channels=answers)


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
        waiting=waiting,
        dead=dead,
    )
