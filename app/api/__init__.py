"""The HTTP API. One module per noun; every route declares who may call it."""

from __future__ import annotations

import threading

from fastapi import FastAPI

from app import web
from app.api import alerts, docs, health, labels, points, retrains, series, tokens
from app.api.access import Bearers
from app.api.edge import AnswerHeaders, BodyLimit
from app.api.metrics import Metrics, Timed
from app.api.problems import Problem, answer_errors_with_problems
from app.api.service import Service

DESCRIPTION = """Send `Authorization: Bearer <token>`. Scopes: `ingest` (write points only), `analyst` (read, label),
`ops` (retrain), `admin`; each includes those before it. Times are RFC 3339 or unix seconds in, RFC 3339 UTC out.
Errors are `application/problem+json` (RFC 9457) with a message that says the cure."""


def create_app(heed: Service) -> FastAPI:
    """The web application of a running Heed."""
    app = FastAPI(
        title="Heed",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses={"default": {"model": Problem, "description": "Any error."}},
    )
    app.state.heed = heed
    app.state.bearers = Bearers(heed.database)
    app.state.metrics = Metrics(heed.database)
    app.state.retraining = threading.Lock()
    for noun in (points, series, alerts, labels, retrains, tokens, health, docs):
        app.include_router(noun.router)
    web.include_pages(app)
    answer_errors_with_problems(app)
    app.add_middleware(BodyLimit, points_bytes=int(heed.settings.max_body_mb * 1_000_000))
    app.add_middleware(AnswerHeaders)
    app.add_middleware(Timed, metrics=app.state.metrics)
    return app
