"""PagerDuty, by its Events API v2: an alert triggers an incident, and its end resolves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from app.alerts.message import AlertFacts, buttons, further_lines, sentence
from app.channels.contract import Notice, check_web_address, post_json
from app.outbound import Outbound

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_LIMIT = 1024
ROUTING_KEY_LENGTH = 32
SEVERITIES = {"critical": "critical", "warning": "warning"}


@dataclass(frozen=True)
class PagerDuty:
    """Sends to the service whose integration has this routing key. EU accounts have a URL of their own."""

    kind: ClassVar[str] = "pagerduty"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = False
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = True
    updates_in_place: ClassVar[bool] = True
    routing_key: str = field(repr=False)
    url: str = field(default=EVENTS_URL, repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)
        if len(self.routing_key) != ROUTING_KEY_LENGTH or not self.routing_key.isalnum():
            raise ValueError(f"the routing key must be the {ROUTING_KEY_LENGTH} characters of an Events API v2 key")

    @classmethod
    def example(cls, receiver: str) -> PagerDuty:
        return cls(routing_key="R0123456789ABCDEFGHIJKLMNOPQRSTU", url=f"{receiver}/v2/enqueue")

    def send(self, notice: Notice, outbound: Outbound) -> None:
        event = payload(notice) | {"routing_key": self.routing_key}
        post_json(self.url, event, outbound=outbound, now=notice.now)


def payload(notice: Notice) -> dict[str, Any]:
    """The event, without the key. One alert of one Heed is one incident, however many messages it takes.

    So is what one message tells of together. What is over by the time it is told wakes nobody.
    """
    facts, reason = notice.facts, notice.reason
    which = facts.id if facts.digest is None else f"digest/{facts.digest.id}"
    event = {"dedup_key": f"heed/{urlsplit(facts.url).hostname}/{which}"}
    if not reason.is_on or (facts.digest is not None and not facts.digest.still_on):
        return event | {"event_action": "resolve"}
    return event | {
        "event_action": "trigger",
        "client": "Heed",
        "client_url": facts.url,
        "payload": {
            "summary": sentence(facts, reason)[:SUMMARY_LIMIT],
            "source": _source(facts),
            "severity": SEVERITIES.get(facts.severity, "error"),
            "timestamp": facts.started_at.isoformat(),
            "class": facts.kind,
            "custom_details": {"more": further_lines(facts)},
        },
        "links": [{"href": button.url, "text": button.text} for button in buttons(facts, reason)],
        "images": [{"src": facts.chart_url, "href": facts.url}] if facts.chart_url else [],
    }


def _source(facts: AlertFacts) -> str:
    return facts.foremost.series.name if facts.foremost else "Heed"
