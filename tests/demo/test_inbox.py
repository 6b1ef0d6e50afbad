"""The demo shows a Slack message much as Slack would."""

from __future__ import annotations

import io

import httpx
from rich.console import Console

from app.demo.inbox import Inbox, Message, draw, read_message

PAYLOAD = {
    "text": "fallback",
    "blocks": [
        {"type": "section", "text": {"type": "mrkdwn", "text": "*orders* in [FR] fell, a &lt; b"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "see <https://heed.test/a/1|the alert>"}]},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "text": {"type": "plain_text", "text": "False alarm"},
                    "url": "https://heed.test/f/1",
                }
            ],
        },
    ],
}


def drawn(message: Message) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(draw(message))
    return console.export_text()


def test_a_message_is_read_from_its_blocks() -> None:
    message = read_message(PAYLOAD)
    assert message.paragraphs == ("*orders* in [FR] fell, a &lt; b",)
    assert message.buttons == {"False alarm": "https://heed.test/f/1"}


def test_a_message_is_drawn_without_the_marks_of_its_markup() -> None:
    text = drawn(read_message(PAYLOAD))
    assert "orders in [FR] fell, a < b" in text
    assert "see the alert" in text
    assert "False alarm" in text


def test_the_inbox_keeps_what_is_posted_to_it() -> None:
    with Inbox() as inbox:
        httpx.post(inbox.url, json=PAYLOAD).raise_for_status()
        httpx.post(inbox.url, json={"text": "only text"}).raise_for_status()
        assert [message.paragraphs[0][:4] for message in inbox.messages(wait_seconds=5)] == ["*ord", "only"]
        assert list(inbox.messages()) == []
