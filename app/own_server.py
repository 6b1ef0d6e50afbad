"""The Heed of these settings, for commands that go through its API: the one that runs, or one started just for this."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from app.clock import wall_now
from app.local_server import LocalServer, client_of, is_ready
from app.security import Scope
from app.settings import PREFIX, Settings, own_url
from app.store.database import Database
from app.store.migrate import upgrade
from app.store.tokens import ensure_admin, issue, revoke

UNLIMITED = 2**31 - 1
"""New series that an import may bring: whoever can run it owns the database anyway."""


class ServerRefused(Exception):
    """An answer that stops the command; the text says the cure."""


@contextmanager
def own_heed(settings: Settings, console: Console, *, caller: str, scope: Scope) -> Iterator[httpx.Client]:
    """Speaks to the Heed of these settings: the one that runs, or one that is started just for this.

    caller: what the token is called that it gets for this. Only a server ever writes points, so what goes through one
    can't meet another in the database.
    """
    database = Database(settings.database_url.get_secret_value())
    try:
        upgrade(database)
        with (
            _passing_token(database, settings, console, caller, scope) as token,
            _running(settings) as url,
            client_of(url, token) as client,
        ):
            yield client
    finally:
        database.close()


@contextmanager
def _passing_token(
    database: Database, settings: Settings, console: Console, caller: str, scope: Scope
) -> Iterator[str]:
    """A token that is revoked afterwards. An installation's first admin token is made first, and shown, if need be."""
    limit = settings.new_series_per_token
    chosen = settings.admin_token.get_secret_value() if settings.admin_token else None
    with database.writing() as session:
        admin = ensure_admin(session, chosen=chosen, new_series_limit=limit, now=wall_now())
        row, token = issue(session, name=caller, scope=scope, new_series_limit=UNLIMITED, now=wall_now())
    if admin:
        console.print(f"This is a new installation. Its admin token, shown only now: {admin}", soft_wrap=True)
    try:
        yield token
    finally:
        with database.writing() as session:
            revoke(session, row.id, wall_now())


@contextmanager
def _running(settings: Settings) -> Iterator[str]:
    """The URL of the server of these settings."""
    url = own_url(settings.host, settings.port)
    if is_ready(url):
        yield url
        return
    environment = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    with (
        tempfile.TemporaryDirectory(prefix="heed-") as folder,
        LocalServer(environment, log=Path(folder) / "serve.log") as server,
    ):
        yield server.url


def checked(answer: httpx.Response) -> Any:
    """What the server answered, where it did as asked."""
    if answer.is_success:
        return answer.json()
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = "it gave no reason"
    raise ServerRefused(f"The server refused ({answer.status_code}): {detail}")
