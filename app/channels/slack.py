"""Slack, by an incoming webhook: one Block Kit message whose buttons are links."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from app.alerts.message import AlertFacts, Button, Reason, buttons, further_lines, sentence
from app.channels.contract import GONE, Notice, check_web_address, post_json
from app.outbound import Outbound

TEXT_LIMIT = 3000  # Slack's, for the text of a section and the URL of a button
BUTTON_TEXT_LIMIT = 75
REVOKED = GONE | {403}  # Slack says 403 of a webhook that was revoked or whose app was removed; neither comes back
SIGNS = {
    Reason.FIRING: ":red_circle:",
    Reason.UPDATED: ":red_circle:",
    Reason.RESOLVED: ":large_green_circle:",
    Reason.CLOSED: ":white_circle:",
    Reason.WITHDRAWN: ":white_circle:",
}
Block = dict[str, Any]


@dataclass(frozen=True)
class SlackWebhook:
    """Posts to the one Slack channel that the webhook was made for."""

    kind: ClassVar[str] = "slack"
    protocol: ClassVar[str] = "http"
    url: str = field(repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)

    @classmethod
    def example(cls, receiver: str) -> SlackWebhook:
        return cls(url=f"{receiver}/services/T000/B000/XXXX")

    def send(self, notice: Notice, outbound: Outbound) -> None:
        post_json(self.url, payload(notice), outbound=outbound, now=notice.now, gone=REVOKED)


def payload(notice: Notice) -> dict[str, Any]:
    """The message, in the order: sentence, chart, what explains it, what it resembles, buttons."""
    facts, reason = notice.facts, notice.reason
    said = sentence(facts, reason)
    blocks = [
        _section(f"{SIGNS[reason]} {_with_bold_name(facts, said)}"),
        *_chart(facts),
        *_context(further_lines(facts)),
        *_buttons(facts, reason),
    ]
    return {"text": escaped(said), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


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


def _buttons(facts: AlertFacts, reason: Reason) -> list[Block]:
    elements = [_button(button) for button in buttons(facts, reason) if len(button.url) <= TEXT_LIMIT]
    return [{"type": "actions", "elements": elements}] if elements else []


def _button(button: Button) -> Block:
    style = {"style": "danger"} if button.action == "real" else {}
    text = {"type": "plain_text", "text": _cut(button.text, BUTTON_TEXT_LIMIT)}
    return {"type": "button", "action_id": button.action, "text": text, "url": button.url, **style}


def _cut(text: str, limit: int) -> str:
    """Within Slack's limit, without leaving half of an escaped character behind."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    start = kept.rfind("&", limit - 6)
    return f"{kept[:start] if start >= 0 and ';' not in kept[start:] else kept}…"
