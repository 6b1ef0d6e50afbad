"""Signed links: whoever holds one may see the alert and press its button. A GET shows and never acts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response
from sqlalchemy.orm import Session

from app.alerts.evidence import evidence_sentence
from app.alerts.message import (
    ACTION_NAMES,
    VERDICT_NAMES,
    AlertFacts,
    AnomalyFacts,
    Digested,
    limit_in_words,
    others,
    remarks,
    resemblance,
    sentence,
)
from app.alerts.wording import moment, quantity, rarity_in_words
from app.api.access import OPEN
from app.api.alerts import ORIGIN
from app.api.parts import Text
from app.api.service import Heed, Service
from app.clock import wall_now
from app.errors import NotFound, Unconfirmed
from app.pipeline.digest import digest_of
from app.pipeline.explain import explained
from app.pipeline.facts import facts_of, reason_of
from app.pipeline.learn import label_alert, revoke_label
from app.security import VerdictLink, press_key
from app.store import alerts as stored_alerts
from app.store import digests
from app.store import labels as stored_labels
from app.store.tables import Alert, Label
from app.web.chart import Chart, draw, points_of
from app.web.pages import PageRoute, render
from app.web.words import DEEDS, NOTED, PARTS, PROMISES
from feedback.labels import EFFECTS, EffectOn, Verdict

router = APIRouter(tags=["links"], dependencies=OPEN, route_class=PageRoute, default_response_class=Response)

SOURCE = "link"
MOST_ON_PAGE = 1_000
ROOT = "../"

Comment = Annotated[Text | None, Form(max_length=2000)]
Confirm = Annotated[bool, Form()]
Only = Annotated[list[EffectOn] | None, Form()]
DryRun = Annotated[bool, Query(description="Say what it would change, and change nothing.")]


@router.head("/f/{token}", include_in_schema=False)
@router.get("/f/{token}")
def show_verdict(token: str, heed: Heed, dry_run: DryRun = False) -> Response:
    """The alert and one big button for a verdict; or the receipt, if it was pressed before. Changes nothing."""
    link = heed.links.read_verdict(token, wall_now())
    return _given(heed, link) or _verdict_page(
        heed, link, token, foretold=_foretold(heed, link, None) if dry_run else []
    )


@router.post("/f/{token}")
def give_verdict(
    token: str,
    heed: Heed,
    comment: Comment = None,
    confirm: Confirm = False,
    only: Only = None,
    dry_run: DryRun = False,
) -> Response:
    """Give the verdict, and show the receipt with an undo button. Pressed twice it is still one label.

    only: which of its effects it is to have, if not all. What would hide changes that the owner wants to hear of is
    asked about once more.
    """
    link = heed.links.read_verdict(token, wall_now())
    typed: dict[str, Any] = {"only": only or (), "comment": comment}
    if dry_run:
        return _given(heed, link) or _verdict_page(heed, link, token, foretold=_foretold(heed, link, only), **typed)
    try:
        answer = label_alert(
            heed,
            link.alert_id,
            link.verdict,
            author=author_of(link.origin),
            source=SOURCE,
            comment=(comment or "").strip() or None,
            once_key=link.once_key,
            only=only,
            confirmed=confirm,
            now=heed.clock.now(),
        )
    except Unconfirmed as question:
        return _verdict_page(heed, link, token, doubt=question.doubt, **typed)
    return receipt_page(heed, answer.receipt, answer.label_id, link.origin)


@router.head("/a/{token}", include_in_schema=False)
@router.get("/a/{token}")
def show_alert(token: str, heed: Heed) -> Response:
    """The alert with all its buttons and the verdicts that were given. Changes nothing."""
    link = heed.links.read_alert(token, wall_now())
    with heed.database.reading() as session:
        context = alert_context(session, link.alert_id, link.origin, heed)
        presses = {verdict: press_key(link.alert_id, verdict, link.origin) for verdict in context["answers"]}
        answered = [verdict for verdict, key in presses.items() if stored_labels.by_once_key(session, key)]
    return render(
        "alert.html",
        root=ROOT,
        **context,
        answered_here=answered,
        verdicts=VERDICT_NAMES,
        promises=PROMISES,
        deeds=DEEDS,
    )


@router.head("/d/{token}", include_in_schema=False)
@router.get("/d/{token}")
def show_digest(token: str, heed: Heed) -> Response:
    """The alerts that one message told of together, each with its link. Changes nothing."""
    now = wall_now()
    link = heed.links.read_digest(token, now)
    with heed.database.reading() as session:
        if not digests.exists(session, link.notification_id):
            raise NotFound("What this message told of does not exist any more.")
        facts = digest_of(session, link.notification_id, heed.links, origin=link.origin, now=now, most=MOST_ON_PAGE)
    digest = facts.digest
    assert digest is not None
    listed = [{"title": each.title, "state": _state(each), "token": _token(each.url)} for each in digest.listed]
    more = digest.count - len(listed)
    return render("digest.html", root=ROOT, title=facts.title, alerts=listed, more=f"{more:,}" if more else None)


@router.head("/c/{token}", include_in_schema=False)
@router.get("/c/{token}")
def show_picture(token: str, heed: Heed) -> Response:
    """The picture of an alert as a PNG, as it was when its message was written. Changes nothing."""
    link = heed.links.read_chart(token.removesuffix(".png"), wall_now())
    png = heed.pictures.png(link.alert_id, link.until)
    if png is None:
        raise NotFound("There is no picture of this alert: too few of its points are known, or it is gone.")
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})


@router.head("/u/{token}", include_in_schema=False)
@router.get("/u/{token}")
def show_label(token: str, heed: Heed) -> Response:
    """The receipt of a label with an undo button, as long as it stands. Changes nothing."""
    link = heed.links.read_undo(token, wall_now())
    with heed.database.reading() as session:
        label = stored_labels.get(session, link.label_id)
    if label is None:
        raise NotFound("This label does not exist any more.")
    if label.revoked_at is not None:
        return _undone_page(heed, label, [])
    return receipt_page(heed, label.receipt, label.id, SOURCE)


@router.post("/u/{token}")
def undo(token: str, heed: Heed) -> Response:
    """Take the label back, and say what that changed."""
    link = heed.links.read_undo(token, wall_now())
    answer = revoke_label(heed, link.label_id, by=SOURCE, now=heed.clock.now())
    with heed.database.reading() as session:
        label = stored_labels.get(session, link.label_id)
    if label is None:
        raise NotFound("This label does not exist any more.")
    return _undone_page(heed, label, [] if answer.repeated else answer.receipt["text"])


def _state(alert: Digested) -> str:
    going_on = "the new normal?" if alert.is_aged else {"firing": "going on"}.get(alert.status, alert.status)
    return f"critical, {going_on}" if alert.severity == "critical" else going_on


def _given(heed: Service, link: VerdictLink) -> Response | None:
    """The receipt of what was pressed before."""
    with heed.database.reading() as session:
        given = stored_labels.by_once_key(session, link.once_key)
        return None if given is None else receipt_page(heed, given.receipt, given.id, link.origin)


def _verdict_page(
    heed: Service,
    link: VerdictLink,
    token: str,
    *,
    doubt: str | None = None,
    foretold: Sequence[str] = (),
    only: Collection[EffectOn] = (),
    comment: str | None = None,
) -> Response:
    """doubt: why the answer is asked for once more. foretold: what it would change. only, comment: what was entered."""
    with heed.database.reading() as session:
        context = alert_context(session, link.alert_id, link.origin, heed)
    return render(
        "verdict.html",
        root=ROOT,
        **context,
        token=token,
        verdict=link.verdict,
        verdicts=VERDICT_NAMES,
        promises=PROMISES,
        doubt=doubt,
        foretold=foretold,
        parts=[each for each in EffectOn if each in EFFECTS[Verdict(link.verdict)].separable],
        parts_in_words=PARTS,
        only=only,
        comment=comment or "",
    )


def _foretold(heed: Service, link: VerdictLink, only: Collection[EffectOn] | None) -> list[str]:
    """The receipt that the verdict would have. Only when asked for, or robots that open every link have it drawn up."""
    author, now = author_of(link.origin), heed.clock.now()
    answer = label_alert(
        heed, link.alert_id, link.verdict, author=author, source=SOURCE, only=only, now=now, dry_run=True
    )
    sentences: list[str] = answer.receipt["text"]
    return sentences


def author_of(origin: str) -> str:
    """What somebody is called of whom only is known where their link came from."""
    return "someone with a link" if origin == ORIGIN else f"someone on {origin}"


def receipt_page(heed: Service, receipt: dict[str, Any], label_id: int | None, origin: str) -> Response:
    """What a label changed, with a way back."""
    return render(
        "receipt.html",
        root=ROOT,
        noted=NOTED[receipt["verdict"]],
        sentences=[each for each in receipt["text"] if each not in receipt["warnings"]],
        warnings=receipt["warnings"],
        undo_token=_token(heed.links.undo_url(label_id, wall_now())) if label_id else None,
        alert_token=_alert_token(heed, receipt["alert_id"], origin),
    )


def _undone_page(heed: Service, label: Label, sentences: list[str]) -> Response:
    return render(
        "undone.html",
        root=ROOT,
        verdict=VERDICT_NAMES[label.verdict],
        sentences=sentences,
        alert_token=_alert_token(heed, label.alert_id, SOURCE),
    )


def _alert_token(heed: Service, alert_id: int | None, origin: str) -> str | None:
    return _token(heed.links.alert_url(alert_id, origin, wall_now())) if alert_id else None


def _token(url: str) -> str:
    return url.rpartition("/")[2]


def alert_context(session: Session, alert_id: int, origin: str, heed: Service) -> dict[str, Any]:
    """What all pages of an alert show of it."""
    alert = stored_alerts.get(session, alert_id)
    if alert is None:
        raise NotFound("This alert does not exist any more.")
    facts = explained(session, facts_of(session, [alert], heed.links, origin=origin, now=wall_now())[alert_id])
    return {
        "alert": alert,
        "facts": facts,
        "sentence": sentence(facts, reason_of(alert, facts)),
        "others": others(facts),
        "remarks": [line for line in (facts.explained_by, resemblance(facts), *remarks(facts)) if line],
        "why": _why(facts),
        "chart": _chart(session, facts, heed),
        "answers": {verdict: _token(url) for verdict, url in facts.links.items()},
        "actions": {action: _token(url) for action, url in facts.actions.items()},
        "action_names": ACTION_NAMES,
        "alert_token": _token(facts.url),
        "labels": _labels(session, alert, facts),
    }


def _why(facts: AlertFacts) -> dict[str, str]:
    """Why the foremost anomaly was told, as lines of a table."""
    anomaly = facts.foremost
    if anomaly is None:
        return {}
    limit = limit_in_words(anomaly)
    lines = {
        "Expected": _expectation(anomaly),
        "Limit": limit and f"{limit[0].upper()}{limit[1:]}.",
        "What spoke": evidence_sentence(anomaly.evidence),
        "How rare": "" if limit else f"On normal days {rarity_in_words(anomaly.rarity_weeks)}.",
        "What people taught": " ".join(anomaly.reasons),
    }
    return {name: line for name, line in lines.items() if line}


def _expectation(anomaly: AnomalyFacts) -> str | None:
    if anomaly.expected is None:
        return None
    unit = anomaly.series.suffix
    said = f"About {quantity(anomaly.expected, unit)}"
    if anomaly.lower is None or anomaly.upper is None:
        return f"{said}."
    return f"{said}; {quantity(anomaly.lower, unit)} to {quantity(anomaly.upper, unit)} would have been normal."


def _labels(session: Session, alert: Alert, facts: AlertFacts) -> list[dict[str, str | None]]:
    foremost = facts.foremost
    zone = foremost.series.timezone if foremost else "UTC"
    return [
        {
            "verdict": VERDICT_NAMES[label.verdict],
            "author": label.author,
            "at": moment(label.created_at, zone, alert.created_at),
            "comment": label.comment,
        }
        for label in stored_labels.standing_of_alerts(session, [alert.id]).get(alert.id, [])
    ]


def _chart(session: Session, facts: AlertFacts, heed: Service) -> Chart | None:
    """The foremost series around the anomaly, in its own time zone."""
    shown = points_of(session, facts, until=int(heed.clock.now().timestamp()))
    if shown is None or facts.foremost is None:
        return None
    return draw(
        shown.batch,
        shown.marks,
        cadence_seconds=int(shown.step.total_seconds()),
        timezone=facts.foremost.series.timezone,
        events=shown.events,
    )
