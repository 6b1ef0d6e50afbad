"""The API's documentation as a page without scripts, made from what the routes declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute

from app.api.access import OPEN, access_of
from app.security import Scope
from app.web.pages import render

router = APIRouter(dependencies=OPEN, include_in_schema=False)


@dataclass(frozen=True)
class Field:
    """A parameter of a call, or a field of its body or answer."""

    name: str
    kind: str
    is_required: bool
    meaning: str


@dataclass(frozen=True)
class Call:
    """One route as its documentation shows it. `access`: the scope that a token needs, None where none is needed."""

    method: str
    path: str
    access: Scope | None
    text: str
    parameters: list[Field]
    body: list[Field]
    answer: list[Field]
    statuses: list[str]


@router.get("/docs")
def docs(request: Request) -> Response:
    """This page."""
    return render("docs.html", tags=_calls_by_tag(request.app))


@router.get("/openapi.json")
def openapi(request: Request) -> dict[str, Any]:
    """The same for programs."""
    document: dict[str, Any] = request.app.openapi()
    return document


def _calls_by_tag(app: FastAPI) -> dict[str, list[Call]]:
    document = app.openapi()
    routes: list[APIRoute] = app.state.routes
    access = {(method, route.path): access_of(route) for route in routes for method in route.methods or ()}
    tags: dict[str, list[Call]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            call = _call(document, method.upper(), path, operation, access[method.upper(), path])
            tags.setdefault(operation["tags"][0], []).append(call)
    return tags


def _call(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any], access: Scope | None
) -> Call:
    body = _content_schema(operation.get("requestBody", {}))
    statuses = operation["responses"]
    good: Mapping[str, Any] = next((answer for status, answer in statuses.items() if status.startswith("2")), {})
    return Call(
        method=method,
        path=path,
        access=access,
        text=operation.get("description", ""),
        parameters=[_parameter(document, each) for each in operation.get("parameters", [])],
        body=_fields(document, body),
        answer=_fields(document, _content_schema(good)),
        statuses=[f"{status} {HTTPStatus(int(status)).phrase}" for status in sorted(statuses) if status.isdigit()],
    )


def _content_schema(part: Mapping[str, Any]) -> Mapping[str, Any]:
    content = part.get("content", {})
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema


def _parameter(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> Field:
    schema = parameter["schema"]
    meaning = parameter.get("description") or schema.get("description", "")
    kind = _kind(document, schema).removesuffix(" or null")  # in a query nothing can be null, only left out
    return Field(parameter["name"], kind, parameter.get("required", False), meaning)


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Field]:
    """The fields of an object, those of its alternatives one after another."""
    schema = _resolved(document, schema)
    alternatives = [each for part in schema.get("anyOf", []) for each in _fields(document, part)]
    required = schema.get("required", [])
    return alternatives + [
        Field(name, _kind(document, part), name in required, part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type in a few words: `list of text`, `firing | resolved`."""
    schema = _resolved(document, schema)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(document, part) for part in schema["anyOf"]))
    kinds: str | list[str] = schema.get("type", "anything")
    if isinstance(kinds, list):
        return " or ".join(WORDS.get(kind, kind) for kind in kinds)
    if kinds == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    return FORMATS.get(str(schema.get("format")), WORDS.get(kinds, kinds))


WORDS: dict[str, str] = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "object"}
FORMATS: dict[str, str] = {"date-time": "time"}


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: Mapping[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return {**resolved, **{key: value for key, value in schema.items() if key != "$ref"}}
