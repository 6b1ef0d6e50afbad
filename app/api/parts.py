"""Types that requests and answers share: times, ids, text, pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.errors import BadRequest
from app.formats.contract import read_timestamp

LARGEST_ID = 2**63 - 1
LATEST_SECOND = 253_402_300_799  # the last of the year 9999
MOST_PER_PAGE = 500


class Input(BaseModel):
    """A request's body: unknown fields are refused, and nothing is turned from one type into another."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _read_time(value: Any) -> datetime:
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        value = int(value[:25])  # in a query a number comes as text
    seconds = read_timestamp(value)
    if not 0 <= seconds <= LATEST_SECOND:
        raise ValueError("a time must lie between 1970 and 9999")
    return datetime.fromtimestamp(seconds, UTC)


_unstorable = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]")


def _refuse_unstorable(text: str) -> str:
    if _unstorable.search(text):
        raise ValueError("it must hold no control characters and no lone surrogates")
    return text


Time = Annotated[
    datetime,
    BeforeValidator(_read_time),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}],
            "examples": ["2026-01-31T12:00:00Z", 1769860800],
            "description": "RFC 3339 with a zone, or unix seconds.",
        }
    ),
]
Text = Annotated[str, AfterValidator(_refuse_unstorable)]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
BodyId = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Limit = Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="At most so many on this page.")]
Cursor = Annotated[Text | None, Query(max_length=100, description="`next` of the page before.")]


def write_cursor(last_id: int) -> str:
    return base64.urlsafe_b64encode(b"%d" % last_id).decode().rstrip("=")


def read_cursor(cursor: str | None, default: int) -> int:
    """The id after which a page starts. Raises BadRequest where `cursor` is not one that we gave out."""
    if cursor is None:
        return default
    try:
        last_id = int(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, UnicodeError):
        last_id = -1
    if not 0 <= last_id <= LARGEST_ID:
        raise BadRequest("cursor must be the `next` of the page before.")
    return last_id


def read_dimensions(pairs: list[str]) -> Mapping[str, list[str]]:
    """`country:DE` several times over as a matcher's dimensions."""
    allowed: dict[str, list[str]] = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name:
            raise BadRequest("dimension must be name:value, such as dimension=country:DE.")
        allowed.setdefault(name, []).append(value)
    return allowed
