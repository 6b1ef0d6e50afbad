"""What was done that can't be undone, and by whom."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.access import AdminBearer
from app.api.parts import LARGEST_ID, Cursor, Limit, read_cursor, write_cursor
from app.api.service import Heed
from app.store import audit

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class AuditAnswer(BaseModel):
    id: int
    at: datetime
    actor: str = Field(description="The name of the token.")
    action: str = Field(examples=["series_erased"])
    subject: dict[str, int] = Field(description="Ids and counts; names are erased with what they named.")


class AuditList(BaseModel):
    entries: list[AuditAnswer]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


@router.get("")
def list_audit(heed: Heed, _bearer: AdminBearer, limit: Limit = 100, cursor: Cursor = None) -> AuditList:
    """Erasures and changes of flags, the newest first: when, by which token, and how much."""
    with heed.database.reading() as session:
        found = audit.find(session, limit=limit, before_id=read_cursor(cursor, LARGEST_ID))
    entries = [AuditAnswer(id=e.id, at=e.at, actor=e.actor, action=e.action, subject=e.subject) for e in found]
    return AuditList(entries=entries, next=write_cursor(found[-1].id) if len(found) == limit else None)
