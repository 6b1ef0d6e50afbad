"""What Slack would have shown: a local receiver of its messages, and their look in a terminal."""

from __future__ import annotations

import html
import json
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

LINK = re.compile(r"<(https?://[^|>]+)\|([^>]+)>")
BOLD = re.compile(r"(?<!\w)\*([^*\n]+)\*(?!\w)")

EMOJI = {":red_circle:": "🔴", ":large_green_circle:": "🟢", ":white_circle:": "⚪"}


@dataclass(frozen=True)
class Message:
    """One Slack message: its text, and its buttons with the address that each opens."""

    paragraphs: tuple[str, ...]
    asides: tuple[str, ...]
    buttons: dict[str, str]

    @property
    def text(self) -> str:
        return " ".join(self.paragraphs)


class Inbox:
    """Listens on a free port of this machine, as Slack's incoming webhook does, and keeps what it is sent."""

    def __init__(self) -> None:
        arrived = self._arrived = queue.SimpleQueue[Message]()

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                arrived.put(read_message(json.loads(body)))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_port}/slack"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def messages(self, *, wait_seconds: float = 0.0) -> Iterator[Message]:
        """What has arrived; the first may be waited for."""
        try:
            yield self._arrived.get(timeout=wait_seconds) if wait_seconds else self._arrived.get_nowait()
            while True:
                yield self._arrived.get_nowait()
        except queue.Empty:
            return


def read_message(payload: dict[str, Any]) -> Message:
    """A message from the Block Kit that was posted."""
    blocks = payload.get("blocks") or [{"type": "section", "text": {"text": payload.get("text", "")}}]
    paragraphs: list[str] = []
    asides: list[str] = []
    buttons: dict[str, str] = {}
    for block in blocks:
        match block.get("type"):
            case "header" | "section":
                paragraphs += [part["text"] for part in (block.get("text"), *block.get("fields", ())) if part]
            case "context":
                asides += [element["text"] for element in block["elements"] if "text" in element]
            case "actions":
                buttons |= {e["text"]["text"]: e["url"] for e in block["elements"] if e.get("url")}
    return Message(tuple(paragraphs), tuple(asides), buttons)


def draw(message: Message) -> RenderableType:
    """The message as a panel; its buttons are links where the terminal knows links."""
    parts: list[RenderableType] = [Text.from_markup(_markup(text)) for text in message.paragraphs]
    parts += [Text.from_markup(f"[dim]{_markup(text)}[/dim]") for text in message.asides]
    if message.buttons:
        parts.append(Text.assemble("\n", *_button_row(message.buttons)))
    return Panel(Group(*parts), title="[bold]#heed[/bold] in Slack", title_align="left", border_style="magenta")


def _button_row(buttons: dict[str, str]) -> list[tuple[str, str] | str]:
    row: list[tuple[str, str] | str] = []
    for label, url in buttons.items():
        row += [(f" {label} ", f"reverse link {url}"), "  "]
    return row


def _markup(text: str) -> str:
    """Slack's mrkdwn in the markup of rich."""
    for code, emoji in EMOJI.items():
        text = text.replace(code, emoji)
    linked = LINK.sub(r"[link=\1]\2[/link]", escape(text))
    return html.unescape(BOLD.sub(r"[bold]\1[/bold]", linked))
