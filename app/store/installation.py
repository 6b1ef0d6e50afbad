"""Facts fixed when the database was made."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.errors import Conflict
from app.store.tables import Installation


def remember(session: Session, name: str, value: str) -> None:
    """Keep a fact for ever. Raises Conflict if the database was made with another."""
    known = session.get(Installation, name)
    if known is None:
        session.add(Installation(name=name, value=value))
    elif known.value != value:
        raise Conflict(f"This database was made with {known.value} {name}, which can't be changed to {value}.")
