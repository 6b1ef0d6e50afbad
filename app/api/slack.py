"""Buttons that answer in Slack itself. Slack signs each press; who pressed what is then shown in the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
import structlog
from fastapi import APIRouter, BackgroundTasks, Depends, Header, Request, Response

from app.alerts.message import VERDICT_NAMES
from app.api.access import OPEN
from app.api.problems import Problem
from app.api.service import Heed, Service
from app.channels.contract import TransportError, post_json
from app.channels.slack import answered_payload, escaped, payload
from app.channels.slack_signature import is_signed_by
from app.clock import wall_now
from app.errors import BadRequest, HeedError, Unauthorised, Unconfirmed
from app.pipeline import look_after
from app.pipeline.explain import explained
from app.pipeline.facts import facts_of, reason_of
from app.pipeline.learn import Answer, label_alert
from app.security import ActionLink, VerdictLink
from app.store import alerts as stored_alerts
from app.store import channels as stored_channels

router = APIRouter(tags=["links"], dependencies=OPEN)
log = structlog.get_logger()

SOURCE = "slack"
UNSIGNED = (
    "No Slack channel of this Heed knows the secret that this was signed with, or it is older than five minutes. "
    "Give the channel the Signing Secret of its Slack app as `signing_secret`."
)


class Person(msgspec.Struct):
    id: str
    username: str | None = None
    name: str | None = None


class Action(msgspec.Struct):
    action_id: str
    value: str | None = None


class Interaction(msgspec.Struct):
    """What is needed of Slack's `block_actions` payload."""

    user: Person
    actions: list[Action] = []
    response_url: str | None = None


@dataclass(frozen=True)
class _Press:
    """One press of a button. `token`: that of the link that the button would have been."""

    token: str
    author: str
    person: str
    response_url: str | None


async def raw_body(request: Request) -> bytes:
    """The body as it was signed. Asynchronous because only that reads it."""
    return await request.body()


@router.post("/slack/interactions", responses={401: {"model": Problem, "description": UNSIGNED}})
def answer_in_slack(
    body: Annotated[bytes, Depends(raw_body)],
    heed: Heed,
    later: BackgroundTasks,
    timestamp: Annotated[str, Header(alias="X-Slack-Request-Timestamp")] = "",
    signature: Annotated[str, Header(alias="X-Slack-Signature")] = "",
) -> Response:
    """The request URL of a Slack app's *Interactivity*: a press is a label, and the message then says so.

    The signature and its age are checked. An answer that is not possible is told only to whoever pressed.
    """
    if not timestamp or not signature:
        raise BadRequest("This address is for Slack, which signs its requests. Answer an alert by its link instead.")
    origins = _signers(heed, timestamp, body, signature)
    if not origins:
        raise Unauthorised(UNSIGNED)
    press = _read(body)
    if press is not None:
        later.add_task(_tell, heed, press.response_url, _answered(heed, press, origins))
    return Response()


def _signers(heed: Service, timestamp: str, body: bytes, signature: str) -> set[str]:
    """Names of the channels whose Slack app made this signature."""
    with heed.database.reading() as session:
        sealed = {each.name: each.secrets for each in stored_channels.find_channels(session) if "slack" in each.kind}
    secrets = {name: heed.vault.unseal(fields).get("signing_secret") for name, fields in sealed.items()}
    now = wall_now()
    return {
        name
        for name, secret in secrets.items()
        if secret and is_signed_by(secret, timestamp=timestamp, body=body, signature=signature, now=now)
    }


def _read(body: bytes) -> _Press | None:
    """The press, or none if what was pressed is only a link (*Details*), of which Slack tells too."""
    try:
        payload = parse_qs(body.decode(), max_num_fields=10)["payload"][0]
        pressed = msgspec.json.decode(payload, type=Interaction)
    except (UnicodeDecodeError, ValueError, KeyError):
        raise BadRequest("This is not an interaction as Slack sends them: a form whose `payload` is JSON.") from None
    action = next((each for each in pressed.actions if each.value), None)
    if action is None or not action.value:
        return None
    user = pressed.user
    return _Press(action.value, (user.username or user.name or user.id)[:100], user.id, pressed.response_url)


def _answered(heed: Service, press: _Press, origins: set[str]) -> dict[str, Any]:
    """Do what was pressed; returns what takes the place of the message, or what only whoever pressed is to see."""
    try:
        link = heed.links.read_press(press.token, wall_now())
        if link.origin not in origins:
            raise BadRequest("This button belongs to a message of another channel.")
        if isinstance(link, ActionLink):
            return {"replace_original": True} | _looked_after(heed, link, press.author)
        return _labelled(heed, link, press)
    except HeedError as refused:
        log.info("slack_press_refused", reason=type(refused).__name__)
        return _only_for_whoever_pressed(escaped(refused.detail))


def _labelled(heed: Service, link: VerdictLink, press: _Press) -> dict[str, Any]:
    """Give the verdict; what would make Heed deaf is asked about once more, on a page."""
    try:
        answer = label_alert(
            heed,
            link.alert_id,
            link.verdict,
            author=press.author,
            source=SOURCE,
            once_key=f"{link.once_key}:{press.person}",
            now=heed.clock.now(),
        )
    except Unconfirmed as question:
        page = heed.links.verdict_url(link.alert_id, link.verdict, link.origin, wall_now())
        return _only_for_whoever_pressed(f"{escaped(question.doubt)} To do it all the same, <{page}|confirm it>.")
    return {"replace_original": True} | _message(heed, link.alert_id, link.origin, press.author, answer)


def _looked_after(heed: Service, link: ActionLink, author: str) -> dict[str, Any]:
    """Look after the alert; returns its message, which says so and can still be answered."""
    with heed.database.writing() as session:
        alert = look_after.act(session, link, author, heed.clock.now())
        facts = facts_of(session, [alert], heed.links, origin=link.origin, now=wall_now())[alert.id]
        return payload(explained(session, facts), reason_of(alert, facts), acting=True)


def _only_for_whoever_pressed(text: str) -> dict[str, Any]:
    return {"response_type": "ephemeral", "replace_original": False, "text": text}


def _message(heed: Service, alert_id: int, origin: str, author: str, answer: Answer) -> dict[str, Any]:
    with heed.database.reading() as session:
        alert = stored_alerts.get(session, alert_id)
        assert alert is not None  # it was labelled a moment ago
        facts = explained(session, facts_of(session, [alert], heed.links, origin=origin, now=wall_now())[alert_id])
    note = f"{VERDICT_NAMES[answer.receipt['verdict']]}, said {author}. {answer.receipt['text'][0]}"
    return answered_payload(facts, reason_of(alert, facts), note, answer.receipt.get("undo_url"))


def _tell(heed: Service, response_url: str | None, message: dict[str, Any]) -> None:
    """Bring the message in Slack up to date. The label stands whether that works or not."""
    if response_url is None:
        return
    try:
        post_json(response_url, message, outbound=heed.outbound, now=wall_now())
    except TransportError as error:
        log.warning("slack_message_not_updated", error=error.message)
