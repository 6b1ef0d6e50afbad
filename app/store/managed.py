"""What a file made, or took over by naming it: it changes with the file, and goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.store.tables import Managed


def names(session: Session, kind: str) -> set[str]:
    return set(session.scalars(sa.select(Managed.name).where(Managed.kind == kind)))


def replace(session: Session, kind: str, wanted: Iterable[str], now: datetime) -> None:
    """From now on the file speaks of these, and of no others of this kind."""
    known, wanted = names(session, kind), set(wanted)
    gone = sa.delete(Managed).where(Managed.kind == kind, Managed.name.in_(known - wanted))
    session.execute(gone)
    session.add_all(Managed(kind=kind, name=name, since=now) for name in sorted(wanted - known))
    session.flush()
