"""Slots of schedules, each taken once however many processes want it."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.tables import JobSlot


def take_slot(session: Session, schedule: str, slot: datetime, now: datetime) -> bool:
    """True for the one who gets this slot."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {"schedule": schedule, "slot": slot, "taken_at": now}
    taken = dialect.insert(JobSlot).values(row).on_conflict_do_nothing().returning(JobSlot.schedule)
    return session.execute(taken).first() is not None


def finish_slot(session: Session, schedule: str, slot: datetime, *, now: datetime, outcome: str) -> None:
    """How the job of this slot ended."""
    mine = (JobSlot.schedule == schedule) & (JobSlot.slot == slot)
    session.execute(sa.update(JobSlot).where(mine).values(finished_at=now, outcome=outcome))
