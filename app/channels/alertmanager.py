"""Prometheus Alertmanager, by its API v2: Heed's alerts are routed, grouped and silenced with all others."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from app.alerts.message import AlertFacts, Reason, buttons, further_lines, sentence
from app.channels.contract import Notice, check_web_address, post_json
from app.outbound import Outbound

LASTS = timedelta(days=30)
SEVERITIES = ("warning", "critical")
OWN_LABELS = frozenset({"alertname", "severity", "metric", "heed_alert", "heed_kind"})
LABEL_LIMIT = 500
Posted = dict[str, Any]


@dataclass(frozen=True)
class Alertmanager:
    """Posts to the Alertmanager at this address, such as `http://alertmanager:9093`."""

    kind: ClassVar[str] = "alertmanager"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = False
    takes_digests: ClassVar[bool] = False
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = True
    url: str = field(repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)

    @classmethod
    def example(cls, receiver: str) -> Alertmanager:
        return cls(url=receiver)

    def send(self, notice: Notice, outbound: Outbound) -> None:
        post_json(f"{self.url.rstrip('/')}/api/v2/alerts", payload(notice), outbound=outbound, now=notice.now)


def payload(notice: Notice) -> list[Posted]:
    """The alert as it stands; an Alertmanager knows an alert by its labels, and forgets it after `endsAt`."""
    facts, reason = notice.facts, notice.reason
    current = _alert(facts, reason, facts.severity, notice.now + LASTS if reason.is_on else notice.now)
    if reason is Reason.FIRING:
        return [current]
    # A severity that has changed makes another alert of it there: end the one that was posted before.
    return [current, *(_alert(facts, reason, other, notice.now) for other in SEVERITIES if other != facts.severity)]


def _alert(facts: AlertFacts, reason: Reason, severity: str, ends_at: datetime) -> Posted:
    return {
        "labels": _labels(facts) | {"severity": severity},
        "annotations": {
            "summary": facts.title,
            "description": "\n".join([sentence(facts, reason), *further_lines(facts)]),
            **{button.action: button.url for button in buttons(facts, reason)},
        },
        "startsAt": _time(min(facts.started_at, ends_at)),
        "endsAt": _time(ends_at),
        "generatorURL": facts.url,
    }


def _labels(facts: AlertFacts) -> dict[str, str]:
    """What the alert is known and routed by: the same from its first message to its last."""
    labels = {"alertname": "Heed", "heed_alert": str(facts.id), "heed_kind": facts.kind}
    if facts.anomalies:
        first = min(facts.anomalies, key=lambda anomaly: (anomaly.place, anomaly.started_at, anomaly.series.id)).series
        labels |= {"metric": first.metric} | {_label_name(name): value for name, value in first.dimensions.items()}
    return {name: value[:LABEL_LIMIT] for name, value in labels.items() if value}


def _label_name(dimension: str) -> str:
    """A name that every Alertmanager takes, and that is none of ours."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", dimension)
    return f"dimension_{name}" if name in OWN_LABELS or not name[:1].isalpha() else name


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
