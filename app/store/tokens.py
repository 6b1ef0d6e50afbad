"""Bearer tokens. Only hashes are stored, so a token can be shown only when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.security import Bearer, Scope, hash_token, new_token
from app.store.database import is_among
from app.store.tables import Token

CHOSEN_ADMIN = "HEED_ADMIN_TOKEN"
FIRST_ADMIN = "first start"


def find_bearer(session: Session, token_hash: str) -> Bearer | None:
    """Who a token speaks for, or None where it was never issued or has been revoked."""
    query = sa.select(Token).where(Token.hash == token_hash, Token.revoked_at.is_(None))
    token = session.scalar(query)
    if token is None:
        return None
    return Bearer(token.id, token.name, Scope(token.scope), token.new_series_limit)


def issue(
    session: Session, *, name: str, scope: Scope, new_series_limit: int, now: datetime, chosen: str | None = None
) -> tuple[Token, str]:
    """A new token's row and the token itself, which nobody can show again."""
    plain = chosen or new_token()
    token = Token(
        name=name,
        scope=scope.value,
        hash=hash_token(plain),
        new_series_limit=new_series_limit,
        new_series_count=0,
        created_at=now,
    )
    session.add(token)
    session.flush()
    return token, plain


def list_all(session: Session) -> Sequence[Token]:
    """Every token ever issued, the revoked too, newest first."""
    return session.scalars(sa.select(Token).order_by(Token.id.desc())).all()


def revoke(session: Session, token_id: int, now: datetime) -> Token | None:
    """Make a token invalid from now on; one that is already keeps its time. None where there is no such token."""
    token = session.get(Token, token_id)
    if token is not None and token.revoked_at is None:
        token.revoked_at = now
    return token


def ensure_admin(session: Session, *, chosen: str | None, new_series_limit: int, now: datetime) -> str | None:
    """Called at start: make the admin token that the operator chose the valid one, or make a first one.

    Returns a token only where one was made up, so that it can be shown once.
    """
    if chosen is not None:
        _adopt(session, chosen, new_series_limit, now)
        return None
    standing = sa.select(Token.id).where(Token.scope == Scope.ADMIN.value, Token.revoked_at.is_(None)).limit(1)
    if session.scalar(standing) is not None:
        return None
    return issue(session, name=FIRST_ADMIN, scope=Scope.ADMIN, new_series_limit=new_series_limit, now=now)[1]


def _adopt(session: Session, chosen: str, new_series_limit: int, now: datetime) -> None:
    """The chosen token is valid and those chosen before it are not."""
    earlier = sa.select(Token).where(Token.name == CHOSEN_ADMIN, Token.hash != hash_token(chosen))
    for token in session.scalars(earlier.where(Token.revoked_at.is_(None))):
        token.revoked_at = now
    same = session.scalar(sa.select(Token).where(Token.hash == hash_token(chosen)))
    if same is None:
        issue(session, name=CHOSEN_ADMIN, scope=Scope.ADMIN, new_series_limit=new_series_limit, now=now, chosen=chosen)
        return
    same.revoked_at = None
    same.scope = Scope.ADMIN.value


def names_of(session: Session, token_ids: Iterable[int]) -> dict[int, str]:
    """What these tokens are called, by id."""
    rows = session.execute(sa.select(Token.id, Token.name).where(is_among(session, Token.id, token_ids)))
    return {row.id: row.name for row in rows}


def claim_new_series(session: Session, token_id: int, wanted: int) -> int:
    """How many of so many new series the token may still bring in; they are counted as brought."""
    token = session.get(Token, token_id, with_for_update=True)
    if token is None:
        return 0
    allowed = max(0, min(wanted, token.new_series_limit - token.new_series_count))
    token.new_series_count += allowed
    return allowed
