"""The generic webhook is signed so that any Standard Webhooks library can check it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.channels.webhook import Webhook
from app.outbound import Outbound
from tests.channels.anomalies import CASES
from tests.receiver import receiving

OUTBOUND = Outbound.allowing(["127.0.0.0/8"])


def test_the_signature_is_accepted_by_the_standard_library_and_by_no_other_secret() -> None:
    notice = replace(CASES[1].notice, now=datetime.now(UTC))
    with receiving() as receiver:
        channel = Webhook.example(receiver.url)
        channel.send(notice, OUTBOUND)
        request = receiver.requests[0]

    verified = Verifier(channel.secret).verify(request.body, dict(request.headers))
    assert verified["status"] == "firing"
    assert request.headers["webhook-id"] == notice.id
    with pytest.raises(WebhookVerificationError):
        Verifier(Webhook.example("https://other.example").secret).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Verifier(channel.secret).verify(request.body + b" ", dict(request.headers))


def test_the_id_stays_when_a_notice_is_sent_again_and_the_timestamp_moves() -> None:
    with receiving() as receiver:
        channel = Webhook.example(receiver.url)
        channel.send(replace(CASES[0].notice, now=datetime(2026, 1, 1, tzinfo=UTC)), OUTBOUND)
        channel.send(replace(CASES[0].notice, now=datetime(2026, 1, 2, tzinfo=UTC)), OUTBOUND)
        first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 86400


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "plain"])
def test_a_secret_that_no_library_would_take_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        Webhook(url="https://receiver.example", secret=secret)
