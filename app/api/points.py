"""`POST /v1/points`: the hot path, and the only asynchronous route."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from app.alerts.rules import Delivery
from app.api.access import IngestBearer
from app.api.metrics import Metrics
from app.api.problems import Problem
from app.api.service import Heed, Service
from app.clock import EventClock, wall_now
from app.errors import Unprocessable
from app.formats import FORMATS, Limits, PostedPoints, Rejection, decode

router = APIRouter(tags=["points"])

AHEAD_OF_CLOCK = timedelta(minutes=10)
AHEAD_IN_A_REPLAY = timedelta(days=400)
DECODED_AT_ONCE_BYTES = 512 * 1024  # a few milliseconds; a larger body would keep other requests waiting


class Asked(StrEnum):
    """What posted points may send."""

    LIVE = "live"
    DIGEST = "digest"
    SILENT = "silent"


class RejectedPoint(BaseModel):
    index: int = Field(description="Place of the point in the request, counted from 0 through all its series.")
    reason: str = Field(examples=["value must be a number or null"])


class PostAnswer(BaseModel):
    """What became of the points, all of it on disk by now."""

    accepted: int = Field(description="New points and corrections.")
    duplicates: int = Field(description="Points that were there already with the same value.")
    rejected: list[RejectedPoint]


POINT = {
    "type": "object",
    "required": ["metric", "timestamp", "value"],
    "properties": {
        "metric": {"type": "string", "maxLength": 200},
        "dimensions": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 20},
        "timestamp": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]},
        "value": {"type": ["number", "null"]},
    },
}
COLUMNS = {
    "type": "object",
    "required": ["metric", "timestamps", "values"],
    "properties": {
        "metric": {"type": "string", "maxLength": 200},
        "dimensions": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 20},
        "timestamps": {"type": "array", "items": POINT["properties"]["timestamp"]},  # type: ignore[index]
        "values": {"type": "array", "items": {"type": ["number", "null"]}},
    },
}
EXAMPLE = {"points": [{"metric": "orders", "dimensions": {"country": "DE"}, "timestamp": 1767225600, "value": 412}]}
JSON_BODY = {
    "schema": {
        "anyOf": [
            {"type": "object", "required": ["points"], "properties": {"points": {"type": "array", "items": POINT}}},
            {"type": "object", "required": ["series"], "properties": {"series": {"type": "array", "items": COLUMNS}}},
        ]
    },
    "example": EXAMPLE,
}
TEXT_BODY = {"schema": {"type": "string"}}
BODY = {name: JSON_BODY if name == "application/json" else TEXT_BODY for name in FORMATS}


@router.post(
    "/v1/points",
    status_code=202,
    response_model=PostAnswer,
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
    responses={status: {"model": Problem} for status in (400, 413, 415, 422, 429, 501, 503)},
)
async def post_points(
    request: Request,
    heed: Heed,
    bearer: IngestBearer,
    alert: Annotated[Asked | None, Query(description="Default: live for recent points, silent for old ones.")] = None,
) -> Response:
    """Take in points. The answer comes once they are committed and synced to disk.

    The body is JSON rows `{"points": [{"metric", "dimensions", "timestamp", "value"}]}`, JSON columns
    `{"series": [{"metric", "dimensions", "timestamps": [], "values": []}]}`, NDJSON (one point a line) or CSV (with a
    header; columns other than metric, timestamp and value are dimensions), by `Content-Type`; plain, gzip or zstd, by
    `Content-Encoding`. Series need not be registered. A `null` value is a point known to be missing. The same series
    and time again with the same value is a duplicate, with another value a correction.

    Good points are kept where others in the same request are bad; those are listed with their index and reason.
    Nothing acceptable at all is a 422. `alert` says what may be sent: `live`, once a day in a `digest`, or `silent`.
    """
    metrics: Metrics = request.app.state.metrics
    posted = await _decode(request, heed)
    delivery = Delivery(alert.value) if alert else None
    outcome = await asyncio.wrap_future(heed.committer.submit(posted, bearer, delivery))
    metrics.count_points(outcome.accepted, outcome.duplicates, len(outcome.rejected))
    answer = {"accepted": outcome.accepted, "duplicates": outcome.duplicates, "rejected": _listed(outcome.rejected)}
    if not outcome.accepted and not outcome.duplicates:
        raise Unprocessable("No point was acceptable. `rejected` says what is wrong with each.", extra=answer)
    return Response(msgspec.json.encode(answer), 202, media_type="application/json")


async def _decode(request: Request, heed: Service) -> PostedPoints:
    body = await request.body()
    arguments = (
        body,
        request.headers.get("content-type", ""),
        request.headers.get("content-encoding", ""),
        limits_of(heed),
    )
    if len(body) <= DECODED_AT_ONCE_BYTES and not arguments[2]:
        return decode(*arguments)
    return await run_in_threadpool(decode, *arguments)


def limits_of(heed: Service) -> Limits:
    """A replay may run ahead of the wall clock; otherwise the future is a mistake that would stop the clock."""
    ahead = AHEAD_IN_A_REPLAY if isinstance(heed.clock, EventClock) else AHEAD_OF_CLOCK
    return Limits(
        latest=int((wall_now() + ahead).timestamp()),
        decoded_bytes=int(heed.settings.max_body_mb * 1_000_000),
        points=heed.settings.max_points,
    )


def _listed(rejected: list[Rejection]) -> list[dict[str, Any]]:
    return [{"index": rejection.index, "reason": rejection.reason} for rejection in rejected]
