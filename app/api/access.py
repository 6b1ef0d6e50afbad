"""Who may call what. Every route declares `allows(scope)` or `open_to_all`; a test refuses a route without either."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool

from app.clock import wall_now
from app.errors import Forbidden, Unauthorised
from app.security import Bearer, Scope, hash_token
from app.store import tokens
from app.store.database import Database

REMEMBERED_SECONDS = 2
MOST_REMEMBERED = 1_000
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Bearers:
    """Looks up tokens, and remembers the valid ones for two seconds: the hot path posts many times a second.

    A revocation in this process is at once; one in another process takes those two seconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, tuple[Bearer, datetime]] = {}

    async def of(self, token: str, now: datetime) -> Bearer | None:
        token_hash = hash_token(token)
        bearer, until = self._remembered.get(token_hash, (None, now))
        if bearer is not None and now < until:
            return bearer
        bearer = await run_in_threadpool(self._look_up, token_hash)
        if bearer is None:
            self._remembered.pop(token_hash, None)
            return None
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[token_hash] = bearer, now + timedelta(seconds=REMEMBERED_SECONDS)
        return bearer

    def forget(self) -> None:
        """Called when a token was revoked."""
        self._remembered.clear()

    def _look_up(self, token_hash: str) -> Bearer | None:
        with self._database.reading() as session:
            return tokens.find_bearer(session, token_hash)


class Allows(HTTPBearer):
    """Lets a request through whose token has the scope or one that includes it, and says who it is."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scheme_name="token", description="`Authorization: Bearer <token>`", auto_error=False)
        self.scope = scope

    async def __call__(self, request: Request) -> Bearer:  # type: ignore[override]
        credentials: HTTPAuthorizationCredentials | None = await super().__call__(request)
        if credentials is None:
            raise Unauthorised("Send a token in the header Authorization: Bearer <token>.", headers=CHALLENGE)
        bearers: Bearers = request.app.state.bearers
        bearer = await bearers.of(credentials.credentials, wall_now())
        if bearer is None:
            raise Unauthorised("This token is not valid, or has been revoked. Ask for a new one.", headers=CHALLENGE)
        if not bearer.scope.includes(self.scope):
            raise Forbidden(f"This needs a token of scope {self.scope.value}; yours has {bearer.scope.value}.")
        return bearer


async def open_to_all() -> None:
    """Declares that a route needs no token: it tells nothing secret, or a signed link is its key."""


def access_of(route: APIRoute) -> Scope | None:
    """The scope that a route declares, None where it is open to all. Raises where it declares nothing."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    scopes = [call.scope for call in calls if isinstance(call, Allows)]
    if len(scopes) + calls.count(open_to_all) != 1:
        raise TypeError(f"{route.path} must declare either one scope or that it is open to all")
    return scopes[0] if scopes else None


IngestBearer = Annotated[Bearer, Depends(Allows(Scope.INGEST))]
AnalystBearer = Annotated[Bearer, Depends(Allows(Scope.ANALYST))]
OpsBearer = Annotated[Bearer, Depends(Allows(Scope.OPS))]
AdminBearer = Annotated[Bearer, Depends(Allows(Scope.ADMIN))]
OPEN = [Depends(open_to_all)]
