"""Links by which whoever holds a message looks after its alert, or reports a miss. A GET shows and never acts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Response
from sqlalchemy.orm import Session

from app.alerts.message import ACTION_NAMES, Action, SeriesFacts
from app.api.access import OPEN
from app.api.parts import LARGEST_ID, Text
from app.api.service import Heed, Service
from app.clock import wall_now
from app.errors import HeedError, NotFound, Unprocessable
from app.pipeline import look_after
from app.pipeline.facts import facts_of
from app.pipeline.learn import LONGEST_SPAN, label_span
from app.security import MissedLink
from app.store import alerts as stored_alerts
from app.web.links import ROOT, SOURCE, Comment, alert_context, author_of, receipt_page
from app.web.pages import PageRoute, render
from app.web.words import DEEDS, DONE

router = APIRouter(tags=["links"], dependencies=OPEN, route_class=PageRoute, default_response_class=Response)

FORMAT = "%Y-%m-%dT%H:%M"
"""In which a browser sends a local time."""

Local = Annotated[Text, Form(max_length=40)]
SeriesId = Annotated[int, Form(ge=1, le=LARGEST_ID)]


@router.head("/k/{token}", include_in_schema=False)
@router.get("/k/{token}")
def show_action(token: str, heed: Heed) -> Response:
    """The alert and one big button that takes it on, or snoozes it. Changes nothing."""
    link = heed.links.read_action(token, wall_now())
    with heed.database.reading() as session:
        context = alert_context(session, link.alert_id, link.origin, heed)
    is_possible = link.action in context["actions"] and not look_after.is_spent(context["alert"], link)
    return render(
        "action.html",
        root=ROOT,
        **context,
        token=token,
        is_possible=is_possible,
        name=ACTION_NAMES[Action(link.action)],
        deed=DEEDS[link.action],
    )


@router.post("/k/{token}")
def act(token: str, heed: Heed) -> Response:
    """Take the alert on, or snooze it until it gets worse. Pressed twice it is done once, however much later."""
    link = heed.links.read_action(token, wall_now())
    with heed.database.writing() as session:
        look_after.act(session, link, author_of(link.origin), heed.clock.now())
    with heed.database.reading() as session:
        context = alert_context(session, link.alert_id, link.origin, heed)
    return render("action_done.html", root=ROOT, **context, done=DONE[link.action])


@router.head("/m/{token}", include_in_schema=False)
@router.get("/m/{token}")
def show_missed(token: str, heed: Heed) -> Response:
    """A form that takes what was missed of the series of an alert: from when, until when. Changes nothing."""
    return _form(heed, heed.links.read_missed(token, wall_now()), token)


@router.post("/m/{token}")
def report_missed(
    token: str, heed: Heed, series_id: SeriesId, start: Local, end: Local, comment: Comment = None
) -> Response:
    """Report a span in which nothing was told, and show the receipt with an undo button. Twice it is one label."""
    link = heed.links.read_missed(token, wall_now())
    with heed.database.reading() as session:
        zone = _named(_series_of(session, heed, link), series_id).timezone
    try:
        first, last = _moment(start, zone), _moment(end, zone)
        if first.timestamp() < 0 or last > heed.clock.now():
            raise Unprocessable("Give times that have passed, and the year in which it was.")
        if last - first > LONGEST_SPAN:
            raise Unprocessable("That is more than a month. Say when it was to a few hours, or days at most.")
        answer = label_span(
            heed,
            series_id,
            "missed",
            start=first,
            end=last,
            author=author_of(link.origin),
            source=SOURCE,
            comment=(comment or "").strip() or None,
            once_key=f"link:missed:{series_id}:{int(first.timestamp())}:{int(last.timestamp())}:{link.origin}",
            now=heed.clock.now(),
        )
    except HeedError as refused:
        return _form(heed, link, token, start=start, end=end, refused=refused)
    return receipt_page(heed, answer.receipt, answer.label_id, link.origin)


def _form(
    heed: Service, link: MissedLink, token: str, *, start: str = "", end: str = "", refused: HeedError | None = None
) -> Response:
    """The form, with what was filled in before and why that is not possible."""
    with heed.database.reading() as session:
        series = _series_of(session, heed, link)
        context = alert_context(session, link.alert_id, link.origin, heed)
    return render(
        "missed.html",
        status=refused.status if refused else 200,
        root=ROOT,
        **context,
        token=token,
        series=series,
        start=start,
        end=end,
        refused=refused.detail if refused else None,
    )


def _series_of(session: Session, heed: Service, link: MissedLink) -> list[SeriesFacts]:
    """The series of the alert, the rarest first."""
    alert = stored_alerts.get(session, link.alert_id)
    if alert is None:
        raise NotFound("This alert does not exist any more.")
    facts = facts_of(session, [alert], heed.links, origin=link.origin, now=wall_now())[alert.id]
    if not facts.anomalies:
        raise NotFound("This alert is about no series, so nothing was missed of it.")
    return list({each.series.id: each.series for each in facts.anomalies}.values())


def _named(series: list[SeriesFacts], series_id: int) -> SeriesFacts:
    found = next((each for each in series if each.id == series_id), None)
    if found is None:
        raise NotFound("This link is about other series. Open the alert from its message again.")
    return found


def _moment(local: str, zone: str) -> datetime:
    """A time as a browser sends it, in the series' own zone."""
    try:
        return datetime.strptime(local[:16], FORMAT).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unprocessable("Give both times as a date with hours and minutes, such as 2026-01-31T14:00.") from None
