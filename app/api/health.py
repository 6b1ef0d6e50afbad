"""Whether the process lives, whether it can take work, and its metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from app.api.access import OPEN
from app.api.metrics import answer_metrics
from app.api.problems import Problem
from app.api.service import Heed
from app.errors import Unavailable
from app.store import figures

router = APIRouter(tags=["operation"], dependencies=OPEN)


class Health(BaseModel):
    status: str = "ok"


@router.get("/healthz")
def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get("/readyz", responses={503: {"model": Problem}})
def readyz(heed: Heed) -> Health:
    """The process can take points: the database answers and the committer runs."""
    with heed.database.reading() as session:
        figures.is_answering(session)
    if not heed.committer.is_running:
        raise Unavailable("The committer has not started, or is stopping.", headers={"Retry-After": "1"})
    return Health()


PROMETHEUS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format."}
}


@router.get("/metrics", response_class=Response, responses=PROMETHEUS)
def metrics(request: Request) -> Response:
    """Counts for Prometheus. No names of series, no secrets."""
    return answer_metrics(request)
