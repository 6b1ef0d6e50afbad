"""What happens to notifications that were held back: what still lasts is told once, the rest is only counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.alerts.wording import lasting
from app.pipeline.notify import announce
from app.store import notifications as outbox
from app.store.notifications import Held
from app.store.tables import Flag

log = structlog.get_logger()

OVER = "it was over before notifications were sent again"
OVERTAKEN = "overtaken by a later message"
MOST_NAMED = 5
REASONS_OF_AN_ALERT = ("firing", "grown", "updated", "resolved", "closed", "withdrawn")
"""Others are news of their own, whatever has become of the alert."""


@dataclass(frozen=True)
class Sorted:
    """Held notifications by what becomes of them: ids, and the alerts that nobody will hear of one by one."""

    send: list[str]
    overtaken: list[str]
    over: list[str]
    untold: dict[int, str]


def release(session: Session, flag: Flag, now: datetime) -> None:
    """Bring the outbox up to date before it is sent again, in the caller's transaction."""
    found = sort(outbox.held(session, now))
    outbox.skip(session, found.overtaken, OVERTAKEN)
    outbox.skip(session, found.over, OVER)
    outbox.start_afresh(session, found.send, now)
    if found.untold:
        said = _digest_title(flag, list(found.untold.values()), now)
        announce(session, said, now, since=flag.started_at, over=True, due=now)
    log.info("notifications_released", sent=len(found.send), over=len(found.over), overtaken=len(found.overtaken))


def sort(held: list[Held]) -> Sorted:
    """Of one alert and channel one message goes out: the first to who heard of nothing, the last to who did.

    An alert that is over says nothing to who never heard of it. `held`: by alert, channel and step.
    """
    found = Sorted([], [], [], {})
    together: dict[tuple[int, int], list[Held]] = {}
    for each in held:
        together.setdefault((each.alert_id, each.channel_id), []).append(each)
    for messages in together.values():
        ids = [each.notification_id for each in messages]
        if messages[0].was_heard:
            found.send.append(ids.pop())
            found.overtaken.extend(ids)
        elif messages[0].is_firing or messages[0].reason not in REASONS_OF_AN_ALERT:
            found.send.append(ids.pop(0))
            found.overtaken.extend(ids)
        else:
            found.over.extend(ids)
            found.untold[messages[0].alert_id] = messages[0].title
    return found


def _digest_title(flag: Flag, titles: list[str], now: datetime) -> str:
    named = "; ".join(titles[:MOST_NAMED])
    more = f" and {len(titles) - MOST_NAMED} more" if len(titles) > MOST_NAMED else ""
    held = lasting(now - flag.started_at)
    alerts = "1 alert was" if len(titles) == 1 else f"{len(titles)} alerts were"
    return f"Notifications were held back for {held}. Meanwhile {alerts} over: {named}{more}"
