"""Pages for people who hold a link. No scripts; every page works on a phone."""

from __future__ import annotations

from fastapi import FastAPI

from app.web import links, pages


def include_pages(app: FastAPI) -> None:
    """Add the pages to the application."""
    app.include_router(links.router)
    app.include_router(pages.router)
