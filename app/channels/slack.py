"""Slack, by an incoming webhook: one Block Kit message whose buttons are links, or act in place.

Slack calls back about a pressed button only where the app's *Interactivity* is set up, and signs the call with the
app's signing secret. With that secret the buttons carry the link's token as their value; without it they are links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from app.alerts.message import OPENS_A_PAGE, AlertFacts, Button, Reason, buttons, further_lines, sentence
from app.channels.contract import GONE, Notice, TransportError, check_web_address, post_json
from app.outbound import Outbound

TEXT_LIMIT = 3000  # Slack's, for the text of a section and the URL of a button
VALUE_LIMIT = 2000  # Slack's, for what a button hands back
BUTTON_TEXT_LIMIT = 75
REVOKED = GONE | {403}  # Slack says 403 of a webhook that was revoked or whose app was removed; neither comes back
SIGNS = {
    Reason.FIRING: ":red_circle:",
    Reason.GROWN: ":red_circle:",
    Reason.UPDATED: ":red_circle:",
    Reason.RESOLVED: ":large_green_circle:",
    Reason.AGED: ":large_yellow_circle:",
    Reason.CLOSED: ":white_circle:",
    Reason.WITHDRAWN: ":white_circle:",
    Reason.SETTLED: ":large_green_circle:",
    Reason.DIGEST: ":red_circle:",
}
Block = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class SlackWebhook:
    """Posts to the one Slack channel that the webhook was made for.

    signing_secret: of the app that the webhook belongs to; given, its buttons answer in place.
    """

    kind: ClassVar[str] = "slack"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = True
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = False
    url: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)
        check_signing_secret(self.signing_secret)

    @classmethod
    def example(cls, receiver: str) -> SlackWebhook:
        return cls(url=f"{receiver}/services/T000/B000/XXXX")

    def send(self, notice: Notice, outbound: Outbound) -> None:
        def post(facts: AlertFacts) -> None:
            message = payload(facts, notice.reason, acting=self.signing_secret is not None)
            post_json(self.url, message, outbound=outbound, now=notice.now, gone=REVOKED)

        with_picture_if_possible(notice.facts, post)


def payload(facts: AlertFacts, reason: Reason, *, acting: bool = False) -> dict[str, Any]:
    """The message, in the order: sentence, chart, what explains it, what it resembles, buttons.

    acting: its buttons hand back the token of their link in place of opening it.
    """
    blocks = [*_told(facts, reason), *_actions([_button(button, acting) for button in buttons(facts, reason)])]
    return _message(facts, reason, blocks)


def with_picture_if_possible(facts: AlertFacts, post: Callable[[AlertFacts], T]) -> T:
    """Slack refuses a whole message whose picture it can't fetch, as from an address that only we can reach."""
    try:
        return post(facts)
    except TransportError as refused:
        if not refused.permanent or facts.chart_url is None:
            raise
        return post(replace(facts, chart_url=None))


def answered_payload(facts: AlertFacts, reason: Reason, note: str, undo_url: str | None) -> dict[str, Any]:
    """The message after somebody has pressed a button: who did, what that changed, and the way back."""
    ways = [Button("undo", "Undo", undo_url)] if undo_url else []
    ways.append(Button("details", "Details", facts.url))
    return _message(facts, reason, [*_told(facts, reason), *_context([note]), *_actions([_button(b) for b in ways])])


def check_signing_secret(secret: str | None) -> None:
    """Raises ValueError unless it is the hexadecimal text that Slack shows as an app's signing secret."""
    if secret is not None and (len(secret) < 16 or not set(secret) <= set("0123456789abcdef")):
        raise ValueError("signing_secret must be the Signing Secret of the Slack app, 32 hexadecimal digits")


def _message(facts: AlertFacts, reason: Reason, blocks: list[Block]) -> dict[str, Any]:
    text = escaped(sentence(facts, reason))
    return {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _told(facts: AlertFacts, reason: Reason) -> list[Block]:
    """What the message says, without what can be done about it."""
    said = _section(f"{SIGNS[reason]} {_with_bold_name(facts, sentence(facts, reason))}")
    return [said, *_chart(facts), *_context(further_lines(facts))]


def escaped(text: str) -> str:
    """Text in which nothing is a link, a mention or a command to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _with_bold_name(facts: AlertFacts, said: str) -> str:
    name = escaped(facts.foremost.series.name) if facts.foremost else ""
    marks_in_name = set(name) & set("*_~`")
    return escaped(said) if not name or marks_in_name - {"_"} else escaped(said).replace(name, f"*{name}*", 1)


def _section(text: str) -> Block:
    # verbatim: names that look like a URL or a channel stay the words that they are.
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, TEXT_LIMIT), "verbatim": True}}


def _chart(facts: AlertFacts) -> list[Block]:
    if not facts.chart_url:
        return []
    return [{"type": "image", "image_url": facts.chart_url, "alt_text": _cut(facts.title, 2000)}]


def _context(lines: list[str]) -> list[Block]:
    texts = [_cut(escaped(line), TEXT_LIMIT) for line in lines]
    return [{"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]} for text in texts]


def _actions(elements: list[Block]) -> list[Block]:
    fitting = [each for each in elements if len(each.get("url", "")) <= TEXT_LIMIT]
    return [{"type": "actions", "elements": fitting}] if fitting else []


def _button(button: Button, acting: bool = False) -> Block:
    """A button that is a link, or one that hands back the token of its link."""
    token = button.url.rpartition("/")[2]
    acts = acting and button.action not in OPENS_A_PAGE and len(token) <= VALUE_LIMIT
    style = {"style": "danger"} if button.action == "real" else {}
    text = {"type": "plain_text", "text": _cut(button.text, BUTTON_TEXT_LIMIT)}
    return {
        "type": "button",
        "action_id": button.action,
        "text": text,
        **({"value": token} if acts else {"url": button.url}),
        **style,
    }


def _cut(text: str, limit: int) -> str:
    """Within Slack's limit, without leaving half of an escaped character behind."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    start = kept.rfind("&", limit - 6)
    return f"{kept[:start] if start >= 0 and ';' not in kept[start:] else kept}…"
