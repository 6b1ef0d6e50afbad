"""The HTTP API. One module per noun; every route declares who may call it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app.api import (
    alerts,
    apply,
    assessments,
    audit,
    baselines,
    channels,
    data_health,
    desensitisations,
    docs,
    events,
    flags,
    gaps,
    health,
    labels,
    points,
    policies,
    retrains,
    scorecard,
    series,
    shadows,
    silences,
    slack,
    tokens,
)
from app.api.access import Bearers, access_of
from app.api.edge import AnswerHeaders, BodyLimit
from app.api.metrics import Metrics, Timed
from app.api.problems import Problem, answer_errors_with_problems, with_problems
from app.api.service import Service
from app.web import leave, links, looking_after, offers, pages

DESCRIPTION = """Send `Authorization: Bearer <token>`. Scopes: `ingest` (write points only), `analyst` (read, label),
`ops` (retrain, flags), `admin`; each includes those before it. Times are RFC 3339 or unix seconds in, RFC 3339 UTC out.
Errors are `application/problem+json` (RFC 9457) with a message that says the cure."""

ROUTERS = (
    points.router,
    series.router,
    baselines.router,
    alerts.router,
    labels.router,
    policies.router,
    flags.router,
    apply.router,
    events.router,
    gaps.router,
    silences.router,
    retrains.router,
    desensitisations.router,
    shadows.router,
    scorecard.router,
    data_health.router,
    assessments.router,
    channels.router,
    tokens.router,
    audit.router,
    links.router,
    looking_after.router,
    offers.router,
    leave.router,
    slack.router,
    health.router,
    docs.router,
    pages.router,
)


def _together(routers: Iterable[APIRouter]) -> list[BaseRoute]:
    every = APIRouter(responses={"default": {"model": Problem, "description": "Any error."}})
    for router in routers:
        every.include_router(router)
    return every.routes


ROUTES = _together(ROUTERS)
"""Of every application alike, so that what they declare is worked out once."""


def create_app(heed: Service) -> FastAPI:
    """The web application of a running Heed."""
    app = _application()
    app.openapi = _openapi  # type: ignore[method-assign]
    app.state.heed = heed
    app.state.bearers = Bearers(heed.database)
    app.state.metrics = Metrics(heed.database)
    app.state.assessing = threading.Lock()
    app.state.routes = [route for router in ROUTERS for route in _declared(router)]
    answer_errors_with_problems(app)
    app.add_middleware(BodyLimit, points_bytes=int(heed.settings.max_body_mb * 1_000_000))
    app.add_middleware(AnswerHeaders)
    app.add_middleware(Timed, metrics=app.state.metrics)
    return app


def _application() -> FastAPI:
    return FastAPI(
        routes=ROUTES,
        title="Heed",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )


@cache
def _openapi() -> dict[str, Any]:
    return with_problems(_application().openapi())


def _declared(router: APIRouter) -> list[APIRoute]:
    """The routes of a router; refused where one does not say who may call it."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    for route in routes:
        access_of(route)
    return routes
