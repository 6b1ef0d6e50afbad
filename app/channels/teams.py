"""Microsoft Teams, by the webhook of a workflow: one adaptive card whose buttons are links."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from app.alerts.message import AlertFacts, Button, Reason, buttons, further_lines, sentence
from app.channels.contract import Notice, check_web_address, post_json
from app.outbound import Outbound

CARD = "application/vnd.microsoft.card.adaptive"
COLOURS = dict.fromkeys((Reason.FIRING, Reason.GROWN, Reason.UPDATED, Reason.DIGEST), "attention") | {
    Reason.RESOLVED: "good"
}
BUTTONS_SHOWN = 6  # Teams drops what is more, unless it is in the menu
Element = dict[str, Any]


@dataclass(frozen=True)
class Teams:
    """Posts to the channel or chat that the workflow "when a webhook request is received" posts to."""

    kind: ClassVar[str] = "teams"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = True
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = False
    url: str = field(repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)

    @classmethod
    def example(cls, receiver: str) -> Teams:
        return cls(url=f"{receiver}/workflows/0123456789abcdef/triggers/manual/paths/invoke?sig=XXXX")

    def send(self, notice: Notice, outbound: Outbound) -> None:
        post_json(self.url, payload(notice), outbound=outbound, now=notice.now)


def payload(notice: Notice) -> dict[str, Any]:
    """The card, in the order: sentence, chart, what explains it, what it resembles, buttons."""
    facts, reason = notice.facts, notice.reason
    said = sentence(facts, reason)
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.5",
        "fallbackText": said,
        "msteams": {"width": "Full"},
        "body": [
            _plain(said, color=COLOURS.get(reason, "default"), weight="bolder"),
            *_chart(facts),
            *(_plain(line, size="small") for line in further_lines(facts)),
        ],
        "actions": _actions(buttons(facts, reason)),
    }
    return {"type": "message", "attachments": [{"contentType": CARD, "contentUrl": None, "content": card}]}


def _actions(offered: list[Button]) -> list[Element]:
    """The first of them and the last, which is the alert's page, are shown; the others are in the card's menu."""
    in_menu = offered[BUTTONS_SHOWN - 1 : -1]
    return [
        {"type": "Action.OpenUrl", "title": button.text, "url": button.url}
        | ({"mode": "secondary"} if button in in_menu else {})
        for button in offered
    ]


def _plain(text: str, **style: str) -> Element:
    # A TextBlock reads Markdown, and so would make a link of a name; the run of a RichTextBlock does not.
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _chart(facts: AlertFacts) -> list[Element]:
    if not facts.chart_url:
        return []
    return [{"type": "Image", "url": facts.chart_url, "altText": facts.title, "size": "stretch"}]
