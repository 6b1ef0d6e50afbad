"""The link by which a policy is given the budget that its alert offers. A GET shows and never acts."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.access import OPEN
from app.api.service import Heed, Service
from app.clock import wall_now
from app.pipeline import budget
from app.security import BudgetLink
from app.web.links import ROOT, alert_context, author_of
from app.web.pages import PageRoute, render

router = APIRouter(tags=["links"], dependencies=OPEN, route_class=PageRoute, default_response_class=Response)


@router.head("/b/{token}", include_in_schema=False)
@router.get("/b/{token}")
def show_budget(token: str, heed: Heed) -> Response:
    """What a policy would be given, and one big button that does it. Changes nothing."""
    return _page(heed, heed.links.read_budget(token, wall_now()), token, done=False)


@router.post("/b/{token}")
def set_budget(token: str, heed: Heed) -> Response:
    """Give the policy that budget, and show a button that takes it back. Pressed twice it is done once."""
    link = heed.links.read_budget(token, wall_now())
    budget.take_offer(heed.committer, link, author_of(link.origin))
    back = heed.links.budget_url(
        link.alert_id, link.policy, link.wanted, link.before, origin=link.origin, now=wall_now()
    )
    return _page(heed, link, back.rpartition("/")[2], done=True)


def _page(heed: Service, link: BudgetLink, token: str, *, done: bool) -> Response:
    with heed.database.reading() as session:
        context = alert_context(session, link.alert_id, link.origin, heed)
        stands = budget.stands(session, link)
    is_possible = stands in ((link.before, link.wanted) if done else (link.before,))
    return render(
        "budget.html", root=ROOT, **context, link=link, token=token, done=done, stands=stands, is_possible=is_possible
    )
