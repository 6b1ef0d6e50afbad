"""Slack's own ways: it answers 200 to everything and says in the body what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.alerts.message import Reason
from app.channels.contract import TransportError
from app.channels.slack import SlackWebhook
from app.channels.slack_app import SlackApp
from app.outbound import Outbound
from tests.channels.anomalies import CASES
from tests.receiver import Receiver, Reply, receiving

OUTBOUND = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=1)
NOTICE = CASES[0].notice


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def answering(receiver: Receiver, **said: object) -> None:
    receiver.reply = lambda _: Reply(body=json.dumps(said).encode())


def failure(receiver: Receiver, **said: object) -> TransportError:
    answering(receiver, **said)
    with pytest.raises(TransportError) as raised:
        SlackApp.example(receiver.url).send(NOTICE, OUTBOUND)
    return raised.value


@pytest.mark.parametrize("error", ["channel_not_found", "is_archived", "token_revoked", "invalid_auth"])
def test_a_bot_that_is_shut_out_ends_the_channel_and_says_the_cure(receiver: Receiver, error: str) -> None:
    failed = failure(receiver, ok=False, error=error)
    assert failed.gone
    assert error in failed.message
    assert "invite the app" in failed.message


@pytest.mark.parametrize(("error", "permanent"), [("internal_error", False), ("invalid_blocks", True)])
def test_a_fault_of_slacks_passes_and_a_fault_of_the_message_does_not(
    receiver: Receiver, error: str, permanent: bool
) -> None:
    failed = failure(receiver, ok=False, error=error)
    assert (failed.permanent, failed.gone) == (permanent, False)


def test_an_answer_that_is_none_of_slacks_is_tried_again(receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(body=b"<html>a proxy</html>")
    with pytest.raises(TransportError) as raised:
        SlackApp.example(receiver.url).send(NOTICE, OUTBOUND)
    assert (raised.value.permanent, raised.value.gone) == (False, False)


def test_a_message_that_somebody_deleted_is_said_anew(receiver: Receiver) -> None:
    replies = iter([{"ok": False, "error": "message_not_found"}, {"ok": True, "ts": "2.0"}])
    receiver.reply = lambda _: Reply(body=json.dumps(next(replies)).encode())
    resolved = replace(NOTICE, reason=Reason.RESOLVED, earlier="1.0")
    assert SlackApp.example(receiver.url).send(resolved, OUTBOUND) == "2.0"


@pytest.mark.parametrize(
    "settings",
    [{"token": "s3cret"}, {"channel": "#sales"}, {"signing_secret": "s3cret"}, {"url": "slack.com"}],
)
def test_settings_that_cannot_work_are_refused_with_the_cure(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)) + "|address") as refused:
        SlackApp(**{"token": "xoxb-1", "channel": "C1"} | settings)
    assert "s3cret" not in str(refused.value)


def test_a_webhook_of_an_app_with_a_signing_secret_has_buttons_that_act(receiver: Receiver) -> None:
    for secret, kind in ((None, "url"), ("ab" * 16, "value")):
        SlackWebhook(url=receiver.url, signing_secret=secret).send(NOTICE, OUTBOUND)
        answer, details = (receiver.requests[-1].json["blocks"][-1]["elements"][i] for i in (0, -1))  # type: ignore[index]
        assert {"url", "value"} & set(answer) == {kind}
        assert "url" in details
