"""Every error a caller can meet. The message says the cure and never echoes input.

HeedError
├── BadRequest 400
├── Unauthorised 401
├── Forbidden 403
├── NotFound 404
├── Conflict 409
│   └── Unconfirmed
├── Gone 410
├── TooLarge 413
├── UnsupportedMediaType 415
├── Unprocessable 422
├── TooManyRequests 429
├── NotBuiltYet 501
└── Unavailable 503
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HeedError(Exception):
    """An answer other than success. `extra` fields join the problem document (RFC 9457)."""

    status = 500
    title = "Internal error"

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class BadRequest(HeedError):
    status, title = 400, "Bad request"


class Unauthorised(HeedError):
    status, title = 401, "No valid token"


class Forbidden(HeedError):
    status, title = 403, "Not allowed"


class NotFound(HeedError):
    status, title = 404, "Not found"


class Conflict(HeedError):
    status, title = 409, "Conflict"


class Unconfirmed(Conflict):
    """It would be done if it were asked for once more, with `confirm`."""

    def __init__(self, doubt: str) -> None:
        super().__init__(f"{doubt} To do it all the same, confirm it: send `confirm` as true.", extra={"confirm": True})
        self.doubt = doubt


class Gone(HeedError):
    status, title = 410, "Gone"


class TooLarge(HeedError):
    status, title = 413, "Too large"


class UnsupportedMediaType(HeedError):
    status, title = 415, "Unsupported content type"


class Unprocessable(HeedError):
    status, title = 422, "Nothing acceptable"


class TooManyRequests(HeedError):
    status, title = 429, "Too many requests"


class NotBuiltYet(HeedError):
    status, title = 501, "Not built yet"


class Unavailable(HeedError):
    status, title = 503, "Try again later"
