"""Once a day: the alerts that nobody was told of at once, in one message for each set of channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.pipeline.ingest import Committer
from app.pipeline.notify import announce
from app.store import alerts as stored
from app.store.tables import Alert

log = structlog.get_logger()

MOST_NAMED = 4
WITHOUT_NEWS = ("closed", "withdrawn")


def send_digests(committer: Committer, now: datetime) -> int:
    """Tell of what waits, less what has been answered or taken back; returns how many alerts."""
    with committer.database.reading() as session:
        if not stored.waiting_for_daily_digest(session):
            return 0
    with committer.database.writing() as session:
        waiting = stored.waiting_for_daily_digest(session)
        for alert in waiting:
            alert.daily_digest = "sent"
        news = [alert for alert in waiting if alert.status not in WITHOUT_NEWS]
        for route, alerts in _by_route(news).items():
            _send(session, route, alerts, now)
    committer.told()
    return len(waiting)


def _by_route(alerts: Sequence[Alert]) -> dict[tuple[str, ...] | None, list[Alert]]:
    routes: defaultdict[tuple[str, ...] | None, list[Alert]] = defaultdict(list)
    for alert in alerts:
        routes[None if alert.channels is None else tuple(alert.channels)].append(alert)
    return dict(routes)


def _send(session: Session, route: tuple[str, ...] | None, alerts: Sequence[Alert], now: datetime) -> None:
    since = min(alert.started_at for alert in alerts)
    channels = None if route is None else list(route)
    announce(session, digest_title(alerts), now, since=since, over=True, channels=channels)
    log.info("digest_sent", alerts=len(alerts))


def digest_title(alerts: Sequence[Alert]) -> str:
    """`Digest: 6 alerts, 2 of them last: …`, those that last first."""
    lasting = [alert for alert in alerts if alert.status == "firing"]
    ordered = [*lasting, *(alert for alert in alerts if alert.status != "firing")]
    named = "; ".join(alert.title for alert in ordered[:MOST_NAMED])
    more = f"; and {len(alerts) - MOST_NAMED} more" if len(alerts) > MOST_NAMED else ""
    count = "1 alert" if len(alerts) == 1 else f"{len(alerts)} alerts"
    state = f", {len(lasting)} of them last" if lasting else ", all over"
    return f"Digest: {count}{state}: {named}{more}"
