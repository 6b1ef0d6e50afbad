"""Flags: a few switches of the whole installation, each with its usual state and one other that somebody may set.

A row is one time that a flag was away from its usual state. It stands until it is ended, by hand or because its time
is over; rows that ended are the flag's history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.tables import Flag


class FlagName(StrEnum):
    DETECTOR = "detector"
    NOTIFICATIONS = "notifications"
    LEARNING = "learning"
    FEEDBACK = "feedback"


@dataclass(frozen=True)
class FlagKind:
    """usual, other: the two states. meaning: what the other one does. banner: the same for whoever reads a page."""

    usual: str
    other: str
    meaning: str
    banner: str


FLAGS = {
    FlagName.DETECTOR: FlagKind(
        "chosen",
        "basic",
        "`basic`: every series is judged by the basic detector, but for those with fixed limits. Baselines are kept, "
        "and trained on; back at `chosen`, each detector first takes up the points that it did not see.",
        "Every series is judged by the basic detector",
    ),
    FlagName.NOTIFICATIONS: FlagKind(
        "on",
        "held",
        "`held`: nothing is sent; alerts are kept and can be read. Back at `on`, what still lasts is told once, and "
        "one message counts what is over.",
        "Notifications are held back",
    ),
    FlagName.LEARNING: FlagKind(
        "on",
        "frozen",
        "`frozen`: no point and no training changes what is expected. What people answer still acts. Back at `on`, "
        "trainings learn from all points again, unless a gap or an event leaves some out.",
        "Nothing is learned from new points",
    ),
    FlagName.FEEDBACK: FlagKind(
        "on",
        "ignored",
        "`ignored`: series are judged as if nobody had answered. Labels are kept and taken; they act again at `on`. "
        "Events, gaps and new normals count as ever.",
        "What people have answered does not count",
    ),
}


def standing(session: Session) -> dict[FlagName, Flag]:
    """The flags that are away from their usual state, those whose time is just over included."""
    rows = session.scalars(sa.select(Flag).where(Flag.ended_at.is_(None)).order_by(Flag.id))
    return {FlagName(row.name): row for row in rows}


def states(session: Session) -> dict[FlagName, str]:
    """The state of each of them."""
    return {name: row.state for name, row in standing(session).items()}


def history(session: Session, name: FlagName, limit: int) -> list[Flag]:
    """The times that a flag was set, the newest first."""
    query = sa.select(Flag).where(Flag.name == name).order_by(Flag.id.desc())
    return list(session.scalars(query.limit(limit)))


def put(
    session: Session, name: FlagName, *, state: str, reason: str, author: str, until: datetime | None, now: datetime
) -> Flag:
    """Set a flag; one that is set already gets the new reason, author and end."""
    flag = standing(session).get(name)
    if flag is None:
        flag = Flag(name=name, state=state, started_at=now)
        session.add(flag)
    flag.reason, flag.author, flag.until = reason, author, until
    session.flush()
    return flag


def end(flag: Flag, *, by: str | None, at: datetime) -> None:
    """The flag is in its usual state again. `by`: who did it; nobody where its time was over."""
    flag.ended_at, flag.ended_by = at, by


def are_held() -> sa.Exists:
    """Whether notifications are held back, as a condition of a query."""
    held = Flag.name == FlagName.NOTIFICATIONS, Flag.ended_at.is_(None)
    return sa.exists().where(*held)
