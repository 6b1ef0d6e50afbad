"""The generic webhook: the facts of an alert as JSON, signed by the Standard Webhooks scheme."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from app.alerts.message import AlertFacts, AnomalyFacts, Reason, remarks, sentence
from app.channels.contract import Notice, check_web_address, post
from app.outbound import Outbound

MOST_ANOMALIES = 100
"""Of one alert that a message lists, the rarest; the alert's page and the API know of all."""
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 24
STATUSES = {
    Reason.FIRING: "firing",
    Reason.GROWN: "updated",
    Reason.UPDATED: "updated",
    Reason.RESOLVED: "resolved",
    Reason.AGED: "resolved",
    Reason.CLOSED: "resolved",
    Reason.WITHDRAWN: "withdrawn",
    Reason.SETTLED: "resolved",
    Reason.DIGEST: "firing",
}


@dataclass(frozen=True)
class Webhook:
    """Posts to any URL. `secret` is what the receiver verifies the signature with."""

    kind: ClassVar[str] = "webhook"
    protocol: ClassVar[str] = "http"
    shows_pictures: ClassVar[bool] = False
    takes_digests: ClassVar[bool] = True
    keeps_incidents: ClassVar[bool] = False
    updates_in_place: ClassVar[bool] = False
    url: str = field(repr=False)
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        check_web_address(self.url)
        _signing_key(self.secret)

    @classmethod
    def example(cls, receiver: str) -> Webhook:
        return cls(url=f"{receiver}/heed", secret=new_signing_secret())

    def send(self, notice: Notice, outbound: Outbound) -> None:
        body = msgspec.json.encode(payload(notice))
        timestamp = str(int(notice.now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": notice.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(self.secret, notice.id, timestamp, body),
        }
        post(self.url, body, headers, outbound=outbound, now=notice.now)


def new_signing_secret() -> str:
    """A secret in the form that Standard Webhooks libraries take."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, notice_id: str, timestamp: str, body: bytes) -> str:
    """Standard Webhooks 1.0, symmetric."""
    signed = hmac.digest(_signing_key(secret), f"{notice_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def payload(notice: Notice) -> dict[str, Any]:
    """The facts under their stable names."""
    facts = notice.facts
    return {
        "id": facts.id,
        "status": STATUSES[notice.reason],
        "kind": facts.kind,
        "severity": facts.severity,
        "title": facts.title,
        "text": " ".join([sentence(facts, notice.reason), *remarks(facts)]),
        "remarks": list(remarks(facts)),
        "started_at": _time(facts.started_at),
        "ended_at": _time(facts.ended_at),
        "url": facts.url,
        "links": dict(facts.links),
        "actions": dict(facts.actions),
        "explained_by": facts.explained_by,
        "series_count": len({anomaly.series.id for anomaly in facts.anomalies}),
        "anomalies": [_anomaly(anomaly) for anomaly in _rarest_first(facts)[:MOST_ANOMALIES]],
        "chart_url": facts.chart_url,
        "offer": facts.offer,
        "alerts": _digested(facts),
    }


def _digested(facts: AlertFacts) -> list[dict[str, Any]]:
    """The alerts that a message tells of together."""
    listed = facts.digest.listed if facts.digest else ()
    return [
        {
            "id": each.id,
            "status": each.status,
            "severity": each.severity,
            "title": each.title,
            "started_at": _time(each.started_at),
            "url": each.url,
        }
        for each in listed
    ]


def _rarest_first(facts: AlertFacts) -> list[AnomalyFacts]:
    return sorted(facts.anomalies, key=lambda anomaly: -anomaly.rarity)


def _anomaly(anomaly: AnomalyFacts) -> dict[str, Any]:
    series = anomaly.series
    return {
        "series": {"id": series.id, "metric": series.metric, "dimensions": dict(series.dimensions)},
        "started_at": _time(anomaly.started_at),
        "ended_at": _time(anomaly.ended_at),
        "direction": "down" if anomaly.direction < 0 else "up",
        "actual": anomaly.actual,
        "expected": anomaly.expected,
        "lower": anomaly.lower,
        "upper": anomaly.upper,
        "rarity_weeks": float(f"{anomaly.rarity_weeks:.3g}"),
        "impact": anomaly.impact,
        "detector": anomaly.detector,
        "shape": anomaly.shape.kind.value if anomaly.shape else None,
    }


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


def _signing_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 16 <= len(key) <= 64:
        raise ValueError(f"the signing secret must be {SECRET_PREFIX} followed by 16 to 64 bytes in base64")
    return key
