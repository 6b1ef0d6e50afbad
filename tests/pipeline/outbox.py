"""What the tests of deliveries set up: an alert in the database, channels to real receivers, a notifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.outbound import Outbound
from app.pipeline.notify import Notifier, Pictures, enqueue, enqueue_all
from app.security import Links, Vault
from app.store.database import Database
from app.store.tables import Alert, Anomaly, Channel, Notification, Series

SECRET_KEY = b"0123456789abcdef0123456789abcdef"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VAULT = Vault(SECRET_KEY)
LINKS = Links(SECRET_KEY, "https://heed.example")
NOW = datetime(2026, 11, 3, 13, 0, tzinfo=UTC)


def notifier(database: Database, pictures: Pictures | None = None) -> Notifier:
    """One that looks only when it is called, so that a message that waits for the next look never leaves."""
    outbound = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=5)
    return Notifier(
        database, VAULT, LINKS, outbound, pictures or NoPictures(), np.random.default_rng(1), look_every_seconds=3600
    )


class NoPictures:
    """For alerts whose series has no points to draw."""

    def url(self, alert_id: int) -> str:
        return f"https://heed.example/c/{alert_id}.png"

    def url_once_drawn(self, alert_id: int) -> str | None:
        return None


def add_channel(database: Database, name: str, url: str, kind: str = "webhook") -> int:
    settings = {"url": url} | ({"secret": SIGNING_SECRET} if kind == "webhook" else {})
    with database.writing() as session:
        channel = Channel(name=name, kind=kind, secrets=VAULT.seal(settings), created_at=NOW)
        session.add(channel)
        session.flush()
        return channel.id


def add_alerts(database: Database, count: int = 1, now: datetime = NOW) -> list[int]:
    """Alerts of as many series, each told of to every enabled channel."""
    with database.writing() as session:
        ids = [_alert(session, now) for _ in range(count)]
        enqueue_all(session, ids, "firing", now)
        return ids


def tell(database: Database, alert_id: int, reason: str, now: datetime = NOW) -> int:
    with database.writing() as session:
        return enqueue(session, alert_id, reason, now)


def outbox(database: Database) -> list[Notification]:
    """Every notification, by alert, channel and step."""
    order = (Notification.alert_id, Notification.channel_id, Notification.step)
    with database.reading() as session:
        return list(session.scalars(sa.select(Notification).order_by(*order)))


def statuses(database: Database) -> list[str]:
    return [notification.status for notification in outbox(database)]


def channel_of(database: Database, channel_id: int) -> Channel:
    with database.reading() as session:
        return session.get_one(Channel, channel_id)


def sqlite_copy(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def _alert(session: Session, now: datetime) -> int:
    number = session.scalar(sa.select(sa.func.count()).select_from(Series)) or 0
    series = Series(
        key=number.to_bytes(16, "big"),
        metric="orders",
        dimensions={"country": f"C{number}"},
        partition=0,
        slot=number,
        timezone="Europe/Berlin",
        created_at=now,
    )
    alert = Alert(
        kind="anomaly",
        status="firing",
        severity="warning",
        title="orders is unusually low",
        started_at=now - timedelta(hours=1),
        created_at=now,
        delivery="live",
    )
    session.add_all([series, alert])
    session.flush()
    session.add(
        Anomaly(
            series_id=series.id,
            alert_id=alert.id,
            started_at=alert.started_at,
            last_abnormal_at=now,
            direction=-1,
            rarity=1.6,
            peak_at=now,
            actual=387.0,
            expected=1003.2,
            lower=861.9,
            upper=1144.6,
            impact=616.0,
            point_count=1,
            threshold=0.6,
            detector="seasonal",
            evidence={},
            outcome="told",
        )
    )
    session.flush()
    return alert.id
