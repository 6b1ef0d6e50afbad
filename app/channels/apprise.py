"""Everything else, through a server of Apprise: Telegram, Discord, Matrix, ntfy, Pushover, text messages and more.

Apprise carries a message on to any of its services. It runs as a server of its own, so that what leaves Heed goes to
one address that was checked, and no name that an Apprise URL holds is ever resolved here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from app.alerts.message import Reason, buttons, further_lines, sentence
from app.channels.contract import Notice, TransportError, check_web_address, post_json
from app.outbound import Outbound

NOBODY = 204
"""What the server answers where its configuration names nobody to tell."""
TYPES = {Reason.RESOLVED: "success", Reason.CLOSED: "info", Reason.WITHDRAWN: "info"}


@dataclass(frozen=True)
class Apprise:
    """Posts to the Apprise server at `url`: to what it keeps under `key`, of that only `tag`; or to `targets` alone.

    targets: Apprise URLs, separated by commas, for a server that keeps nothing.
    """

    kind: ClassVar[str] = "apprise"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = False
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = False
    url: str = field(repr=False)
    key: str | None = field(default=None, repr=False)
    tag: str | None = field(default=None, repr=False)
    targets: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)
        if (self.key is None) == (self.targets is None):
            raise ValueError("give the `key` of a configuration that the Apprise server keeps, or `targets`, not both")
        if self.tag is not None and self.key is None:
            raise ValueError("a `tag` chooses among what is kept under a `key`: give the key too")

    @classmethod
    def example(cls, receiver: str) -> Apprise:
        return cls(url=receiver, key="heed", tag="analysts")

    def send(self, notice: Notice, outbound: Outbound) -> None:
        address = f"{self.url.rstrip('/')}/notify" + (f"/{quote(self.key, safe='')}" if self.key else "")
        chosen = {"tag": self.tag, "urls": self.targets}
        asked = payload(notice) | {name: value for name, value in chosen.items() if value is not None}
        answer = post_json(address, asked, outbound=outbound, now=notice.now)
        if answer.status == NOBODY:
            raise TransportError("Apprise keeps nobody to tell under this key and tag: name a service there", gone=True)


def payload(notice: Notice) -> dict[str, Any]:
    """Plain text, which every service takes: what explains it, what it resembles, and a line for each button."""
    facts, reason = notice.facts, notice.reason
    said = sentence(facts, reason)
    links = [f"{button.text}: {button.url}" for button in buttons(facts, reason)]
    lines = [said, *further_lines(facts), "", *links]
    return {
        "title": facts.title,
        "body": "\n".join(lines),
        "type": TYPES.get(reason, "failure" if facts.severity == "critical" else "warning"),
        "format": "text",
    }
