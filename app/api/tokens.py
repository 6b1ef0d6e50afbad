"""Bearer tokens: issue, list, revoke."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.access import AdminBearer, Bearers
from app.api.parts import Id, Input, Text
from app.api.service import Heed
from app.clock import wall_now
from app.errors import NotFound
from app.security import Scope
from app.store import tokens
from app.store.tables import Token

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])


class NewToken(Input):
    name: Annotated[Text, Field(min_length=1, max_length=100, description="Whose it is.", examples=["shop backend"])]
    scope: Annotated[Scope, Field(strict=False, description="What it allows; each includes those before it.")]
    new_series_limit: Annotated[int, Field(ge=0, le=2**62)] | None = Field(
        None, description="New series it may bring in, in all. Default: HEED_NEW_SERIES_PER_TOKEN."
    )


class TokenAnswer(BaseModel):
    id: int
    name: str
    scope: Scope
    new_series_limit: int
    new_series_count: int = Field(description="New series it has brought in so far.")
    created_at: datetime
    revoked_at: datetime | None


class IssuedToken(TokenAnswer):
    token: str = Field(description="The token itself. It is shown only now.")


class TokenList(BaseModel):
    tokens: list[TokenAnswer]


@router.post("", status_code=201)
def issue_token(new: NewToken, heed: Heed, _bearer: AdminBearer) -> IssuedToken:
    """Issue a token. It is shown only in this answer; Heed keeps its hash."""
    limit = heed.settings.new_series_per_token if new.new_series_limit is None else new.new_series_limit
    with heed.database.writing() as session:
        token, plain = tokens.issue(session, name=new.name, scope=new.scope, new_series_limit=limit, now=wall_now())
        return IssuedToken(token=plain, **_answer(token).model_dump())


@router.get("")
def list_tokens(heed: Heed, _bearer: AdminBearer) -> TokenList:
    """All tokens ever issued, the newest first, without the tokens themselves."""
    with heed.database.reading() as session:
        return TokenList(tokens=[_answer(token) for token in tokens.list_all(session)])


@router.delete("/{token_id}")
def revoke_token(token_id: Id, request: Request, heed: Heed, _bearer: AdminBearer) -> TokenAnswer:
    """Revoke a token, at once and for ever."""
    with heed.database.writing() as session:
        token = tokens.revoke(session, token_id, wall_now())
        if token is None:
            raise NotFound("There is no token with this id. GET /v1/tokens lists them.")
        answer = _answer(token)
    bearers: Bearers = request.app.state.bearers
    bearers.forget()
    return answer


def _answer(token: Token) -> TokenAnswer:
    return TokenAnswer(
        id=token.id,
        name=token.name,
        scope=Scope(token.scope),
        new_series_limit=token.new_series_limit,
        new_series_count=token.new_series_count,
        created_at=token.created_at,
        revoked_at=token.revoked_at,
    )
