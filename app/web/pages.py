"""Templates and the style sheet, and errors as pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool

from app.api.access import OPEN
from app.errors import HeedError
from app.store import flags
from app.store.database import Database
from app.store.flags import FLAGS

router = APIRouter(dependencies=OPEN, include_in_schema=False)

STYLE = (Path(__file__).parent / "static" / "heed.css").read_bytes()
STYLE_VERSION = hashlib.sha256(STYLE).hexdigest()[:12]

_templates = Environment(
    loader=PackageLoader("app.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["style_version"] = STYLE_VERSION


_banners: ContextVar[Sequence[tuple[str, datetime, str]]] = ContextVar("banners", default=())
"""For the pages of one request."""


def _with_code(text: str) -> Markup:
    """Plain text in which what stands between backticks is code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


_templates.filters["with_code"] = _with_code


def render(template: str, *, status: int = 200, root: str = "./", **context: Any) -> HTMLResponse:
    """A page. `root` leads from its address to where Heed lives, which may be below a path of a proxy."""
    return HTMLResponse(rendered(template, root=root, **context), status)


def rendered(template: str, *, root: str = "./", **context: Any) -> str:
    """The text of a page."""
    return _templates.get_template(template).render(root=root, banners=_banners.get(), **context)


@router.get("/static/heed.css")
def style() -> Response:
    """The style of all pages."""
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"})


def _banners_of(database: Database) -> list[tuple[str, datetime, str]]:
    """What flags do that are not as usual, since when, and why."""
    with database.reading() as session:
        return [(FLAGS[name].banner, flag.started_at, flag.reason) for name, flag in flags.standing(session).items()]


class PageRoute(APIRoute):
    """A route whose errors are pages that a person can read. All its pages say which flags are set."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_with_pages(request: Request) -> Response:
            _banners.set(await run_in_threadpool(_banners_of, request.app.state.heed.database))
            try:
                return await answer(request)
            except HeedError as error:
                return render("refusal.html", status=error.status, root="../", error=error)
            except RequestValidationError:
                return render("refusal.html", status=422, root="../", error=NOT_VALID)

        return answer_with_pages


class _NotValid(HeedError):
    status, title = 422, "Not valid"


NOT_VALID = _NotValid("What was sent with the button is too long, or holds characters that can't be stored.")
