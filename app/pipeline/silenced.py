"""Silences kept to: what they cover is kept in the inbox and not sent; what outlasts them is told then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery, Silencing, silence_of
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.pipeline.notify import WAITING, enqueue_all, held_until, put_off
from app.store import notifications as outbox
from app.store import silences as stored
from app.store.series import Matcher
from app.store.tables import Alert, Series, Silence

log = structlog.get_logger()


def make(session: Session, silence: Silence, now: datetime) -> None:
    """Keep to a new silence from now on. Raises Unprocessable where it is over before it begins, or already."""
    _check(silence, now)
    session.add(silence)
    session.flush()
    log.info("silence_made", silence=silence.id, metric=silence.metric)
    follow(session, now)


def change(session: Session, silence_id: int, *, end: datetime | None, comment: str | None, now: datetime) -> Silence:
    """Let it last until another time, or say something else of it."""
    silence = existing(session, silence_id)
    if silence.ended_at <= now:
        raise Unprocessable("This silence is over. Make a new one with POST /v1/silences.")
    silence.ended_at = end or silence.ended_at
    silence.comment = comment or silence.comment
    _check(silence, now)
    session.flush()
    follow(session, now)
    return silence


def end(session: Session, silence_id: int, *, by: str, now: datetime) -> Silence:
    """What it covered is told from now on. One that is over stays as it is."""
    silence = existing(session, silence_id)
    if silence.ended_at > now:
        silence.ended_at, silence.ended_by = now, by
        session.flush()
        follow(session, now)
    return silence


def existing(session: Session, silence_id: int) -> Silence:
    silence = stored.get(session, silence_id)
    if silence is None:
        raise NotFound("There is no silence with this id. GET /v1/silences lists them.")
    return silence


def check_order(silence: Silence) -> None:
    """Raises Unprocessable where it ends before it starts."""
    if silence.ended_at <= silence.started_at:
        raise Unprocessable("The silence ends before it starts. Send `start` before `end`.")


def _check(silence: Silence, now: datetime) -> None:
    check_order(silence)
    if silence.ended_at <= now:
        raise Unprocessable("`end` lies in the past. Send when the silence is to end, or end it with DELETE.")


def silencings(session: Session, now: datetime) -> list[Silencing]:
    """The silences in force, as far as deciding needs them."""
    return [Silencing(each.id, Matcher(each.metric, each.dimensions)) for each in stored.in_force(session, now)]


def follow(session: Session, now: datetime) -> int:
    """Bring alerts that go on in line with the silences in force; returns how many messages are due because of it.

    One whose series are all covered is sent no more. One that is not covered any more is told if nobody was, and what
    was held back of one that was told goes out.
    """
    standing = silencings(session, now)
    alerts = stored.concerned(session, all_firing=bool(standing))
    series = stored.series_of_alerts(session, [each.id for each in alerts])
    to_tell: list[Alert] = []
    released: list[Alert] = []
    for alert in alerts:
        covering = _covering(series[alert.id], standing)
        if covering is None and alert.silence_id is not None:
            (to_tell if alert.delivery == Delivery.SILENCED else released).append(alert)
        alert.silence_id = covering
    for alert in to_tell:
        alert.delivery = Delivery.LIVE
        log.info("alert_told_after_silence", alert=alert.id)
        if held_until(alert, now) is not None:
            put_off(alert, now)
    session.flush()
    at_once = [each.id for each in to_tell if each.daily_digest != WAITING]
    due = enqueue_all(session, at_once, "firing", wall_now())
    return due + outbox.are_no_longer_silenced(session, [each.id for each in released], wall_now())


def _covering(series: Sequence[Series], standing: Sequence[Silencing]) -> int | None:
    """The silence of the first series, where each has one."""
    found = [silence_of(each.metric, each.dimensions, standing) for each in series]
    return found[0] if found and all(each is not None for each in found) else None
