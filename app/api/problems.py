"""Every error as `application/problem+json` (RFC 9457), with the cure and never a part of the input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.errors import HeedError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

CURES = {
    404: "There is nothing at this address. /docs lists all that there is.",
    405: "This address does not take this method. /docs lists what it takes.",
    400: "The request could not be read. Check that its body is valid JSON.",
}


class PlacedFault(BaseModel):
    path: list[str | int] = Field(examples=[["policies", 0, "settings"]])
    message: str


class Problem(BaseModel):
    """What went wrong and what to do about it (RFC 9457)."""

    type: str = Field("about:blank", description="Always `about:blank`: the status says the kind.")
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What is wrong and the cure. Never echoes input.")
    errors: list[PlacedFault] = Field(
        [], description="Of a document that was applied: each fault with its place. Left out otherwise."
    )


def problem(
    status: int,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **(extra or {})}
    return Response(msgspec.json.encode(document), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document of an app, its errors described as problem documents, in place."""
    for operation in (each for path in document["paths"].values() for each in path.values()):
        for status, answer in operation["responses"].items():
            if not status.startswith("2") and "application/json" in answer.get("content", {}):
                answer["content"][MEDIA_TYPE] = answer["content"].pop("application/json")
    return document


def answer_errors_with_problems(app: FastAPI) -> None:
    """Make every error of the app a problem document, those of the framework too."""

    @app.exception_handler(HeedError)
    async def _(_request: Request, error: HeedError) -> Response:
        return problem(error.status, error.title, error.detail, error.headers, error.extra)

    @app.exception_handler(HTTPException)
    async def _(_request: Request, error: HTTPException) -> Response:
        title = HTTPStatus(error.status_code).phrase
        return problem(error.status_code, title, CURES.get(error.status_code, title), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        faults = [_fault(each, _declared_names(request.app)) for each in error.errors()]
        return problem(422, "Not valid", "; ".join(dict.fromkeys(faults)) + ". /docs shows what it should be.")

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        route = request.scope.get("route")
        log.error("request_failed", route=getattr(route, "path", None), error=type(error).__name__)
        return problem(500, "Internal error", "This is a fault of Heed, not of your request. Its log says more.")


def _fault(error: Mapping[str, Any], declared: frozenset[str]) -> str:
    """Where and what, without input: names that the sender made up are left out."""
    place = [str(part) for part in _declared_part(error["loc"], declared)]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        message = "not valid JSON"
    return f"{'.'.join(place)}: {message[:1].lower()}{message[1:]}"


def _declared_part(location: Sequence[Any], declared: frozenset[str]) -> Iterator[Any]:
    for part in location:
        if not isinstance(part, int) and part not in declared:
            return
        yield part


def _declared_names(app: FastAPI) -> frozenset[str]:
    names: frozenset[str] | None = getattr(app.state, "declared_names", None)
    if names is None:
        names = app.state.declared_names = frozenset({"body", "query", "path", *_names(app.openapi())})
    return names


def _names(part: Any) -> Iterable[str]:
    """The names of all parameters and properties in an OpenAPI document."""
    if isinstance(part, dict):
        if isinstance(part.get("in"), str) and isinstance(part.get("name"), str):
            yield part["name"]
        properties = part.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _names(each)
