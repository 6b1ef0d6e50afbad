"""Whether the process lives, whether it can take work, and its metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.access import OPEN
from app.api.metrics import answer_metrics
from app.api.problems import Problem
from app.api.service import Heed
from app.errors import Unavailable
from app.store import flags

router = APIRouter(tags=["operation"], dependencies=OPEN)


class Health(BaseModel):
    status: str = "ok"


class Readiness(Health):
    flags: dict[str, str] = Field({}, description="The state of every flag that is not as usual.")


@router.get("/healthz")
def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get("/readyz", responses={503: {"model": Problem}})
def readyz(heed: Heed) -> Readiness:
    """The process can take points: the database answers and the committer runs. Says which flags are set."""
    with heed.database.reading() as session:
        states = flags.states(session)
    if not heed.committer.is_running:
        raise Unavailable("The committer has not started, or is stopping.", headers={"Retry-After": "1"})
    return Readiness(flags={name.value: state for name, state in states.items()})


PROMETHEUS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format."}
}


@router.get("/metrics", response_class=Response, responses=PROMETHEUS)
def metrics(request: Request) -> Response:
    """Counts for Prometheus. No names of series, no secrets."""
    return answer_metrics(request)
