"""The link by which whoever gets a channel's messages asks for no more: one click, as mail programs do (RFC 8058)."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from app.api.access import OPEN
from app.api.service import Heed
from app.clock import wall_now
from app.errors import NotFound
from app.pipeline.notify import stop_channel
from app.store.channels import get_channel
from app.store.tables import Channel
from app.web.links import ROOT
from app.web.pages import PageRoute, render

router = APIRouter(tags=["links"], dependencies=OPEN, route_class=PageRoute, default_response_class=Response)

WHY = "who gets its messages asked for no more"


@router.head("/x/{token}", include_in_schema=False)
@router.get("/x/{token}")
def show_leave(token: str, heed: Heed) -> Response:
    """One button that stops a channel. Changes nothing."""
    link = heed.links.read_leave(token, wall_now())
    with heed.database.reading() as session:
        channel = _existing(session, link.channel_id)
    return _page(token, channel)


@router.post("/x/{token}")
def leave(token: str, heed: Heed) -> Response:
    """Stop the channel, and tell ops through the others. Mail programs post here too, by one click (RFC 8058)."""
    now = wall_now()
    link = heed.links.read_leave(token, now)
    with heed.database.writing() as session:
        channel = _existing(session, link.channel_id)
        stop_channel(session, channel.id, channel.name, WHY, now)
        session.refresh(channel)
    heed.notifier.wake()
    return _page(token, channel)


def _existing(session: Session, channel_id: int) -> Channel:
    channel = get_channel(session, channel_id)
    if channel is None:
        raise NotFound("This channel does not exist any more.")
    return channel


def _page(token: str, channel: Channel) -> Response:
    return render("leave.html", root=ROOT, token=token, name=channel.name, is_stopped=channel.disabled_at is not None)
