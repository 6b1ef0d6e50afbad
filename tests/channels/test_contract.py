"""What every registered channel keeps to, tried against a real receiver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from email.utils import format_datetime

import pytest

from app.alerts.message import Reason
from app.channels import CHANNELS, open_channel
from app.channels.contract import Channel, Notice, TransportError, retry_after
from app.outbound import Outbound
from tests.channels.anomalies import CASES, NOW, alert, anomaly
from tests.channels.golden import as_json, golden
from tests.mail_receiver import MailReceiver, receiving_mail
from tests.receiver import Received, Receiver, Reply, receiving

OUTBOUND = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=1)
NOTICE = CASES[0].notice
ACCEPTANCES = {"slack_app": b'{"ok": true, "ts": "1503435956.000247"}'}
"""What a receiver answers that says in the body whether it took the message."""


HTTP = [kind for kind in sorted(CHANNELS) if CHANNELS[kind].protocol == "http"]
over_http = pytest.mark.parametrize("kind", HTTP)


@pytest.fixture(params=sorted(CHANNELS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver(kind: str) -> Iterator[Receiver | MailReceiver]:
    with receiving() if CHANNELS[kind].protocol == "http" else receiving_mail() as receiver:
        if isinstance(receiver, Receiver) and kind in ACCEPTANCES:
            receiver.reply = lambda _: Reply(body=ACCEPTANCES[kind])
        yield receiver


@pytest.fixture
def channel(kind: str, receiver: Receiver | MailReceiver) -> Channel:
    return CHANNELS[kind].example(receiver.url)


def failure(channel: Channel, notice: Notice = NOTICE, outbound: Outbound = OUTBOUND) -> TransportError:
    with pytest.raises(TransportError) as raised:
        channel.send(notice, outbound)
    return raised.value


def test_a_channel_is_registered_under_its_kind_and_opens_from_its_settings(kind: str) -> None:
    example = CHANNELS[kind].example("https://receiver.example")
    settings = {each.name: getattr(example, each.name) for each in fields(example)}  # type: ignore[arg-type]
    settings = {name: str(setting) for name, setting in settings.items() if setting is not None}
    assert open_channel(kind, settings) == example


def test_wrong_settings_are_refused_with_the_cure_and_without_echo(kind: str) -> None:
    for wrong in ({}, {"url": "s3cret"}, {"url": "ftp://s3cret"}, {"url": "https://", "secret": "s3cret"}):
        with pytest.raises(ValueError) as refused:
            open_channel(kind, wrong)
        assert "s3cret" not in str(refused.value)


def test_an_unknown_kind_is_refused_by_naming_the_known_ones() -> None:
    with pytest.raises(ValueError, match="slack"):
        open_channel("pigeon", {})


@pytest.mark.parametrize("reason", list(Reason))
def test_every_typical_alert_arrives_once_for_every_reason(
    channel: Channel, receiver: Receiver | MailReceiver, reason: Reason
) -> None:
    for count, case in enumerate(CASES, start=1):
        channel.send(replace(case.notice, reason=reason), OUTBOUND)
        assert len(receiver.requests) == count
        assert receiver.requests[-1].text


def test_a_message_names_what_happened(channel: Channel, receiver: Receiver | MailReceiver) -> None:
    channel.send(NOTICE, OUTBOUND)
    body = receiver.requests[0].text
    for fact in ("orders", "DE", "387", "61 %", "once in 40 weeks", "Berlin", *NOTICE.facts.links.values()):
        assert fact in body


def test_what_a_receiver_gets_is_what_was_approved(
    kind: str, channel: Channel, receiver: Receiver | MailReceiver
) -> None:
    channel.send(NOTICE, OUTBOUND)
    got = receiver.requests[0]
    made = as_json(got.json) if isinstance(got, Received) else got.text.replace("\r\n", "\n")
    assert made == golden(f"channel-{kind}.txt", made)


@over_http
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 401, 407])
def test_faults_that_pass_are_worth_another_try(channel: Channel, receiver: Receiver, status: int) -> None:
    receiver.always(status)
    error = failure(channel)
    assert (error.permanent, error.gone) == (False, False)


@over_http
@pytest.mark.parametrize("status", [404, 410, 301, 308])
def test_a_receiver_that_is_gone_ends_the_channel(channel: Channel, receiver: Receiver, status: int) -> None:
    """Guarantee 13."""
    receiver.always(status, {"Location": receiver.url})
    assert failure(channel).gone
    assert len(receiver.requests) == 1


@over_http
@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_message_that_is_refused_for_good_is_not_worth_another_try(
    channel: Channel, receiver: Receiver, status: int
) -> None:
    receiver.always(status)
    error = failure(channel)
    assert (error.permanent, error.gone) == (True, False)


@over_http
def test_a_receiver_may_ask_for_patience(channel: Channel, receiver: Receiver) -> None:
    """Guarantee 13."""
    receiver.always(429, {"Retry-After": "30"})
    assert failure(channel).retry_after == timedelta(seconds=30)
    receiver.always(503, {"Retry-After": format_datetime(NOTICE.now + timedelta(minutes=2), usegmt=True)})
    assert failure(channel).retry_after == timedelta(minutes=2)


def test_a_receiver_that_stalls_or_is_away_is_tried_again(channel: Channel, receiver: Receiver | MailReceiver) -> None:
    receiver.always(200, stall_seconds=0.6)
    error = failure(channel, outbound=replace(OUTBOUND, timeout_seconds=0.2))
    assert (error.permanent, error.gone) == (False, False)
    receiver.close()
    error = failure(channel)
    assert (error.permanent, error.gone) == (False, False)


def test_a_private_address_is_refused_unless_allowed(channel: Channel, receiver: Receiver | MailReceiver) -> None:
    """Guarantee 26."""
    error = failure(channel, outbound=Outbound())
    assert error.gone
    assert "HEED_ALLOW_PRIVATE_TARGETS" in error.message
    assert receiver.requests == []


def test_neither_a_channel_nor_its_errors_show_a_secret(channel: Channel, receiver: Receiver | MailReceiver) -> None:
    """Guarantee 28."""
    settings = [getattr(channel, each.name) for each in fields(channel)]  # type: ignore[arg-type]
    secrets = [setting for setting in settings if isinstance(setting, str) and len(setting) > 10]
    receiver.always(400 if isinstance(receiver, Receiver) else 554)
    for shown in (repr(channel), str(channel), str(failure(channel))):
        assert not any(secret in shown for secret in secrets)


def test_hostile_names_arrive_as_a_message_of_bounded_size(channel: Channel, receiver: Receiver | MailReceiver) -> None:
    hostile = anomaly("\x00\n<script>" * 1000, **{'"' * 100: "\u202e💥" * 10000})
    channel.send(replace(NOTICE, facts=alert(hostile)), OUTBOUND)
    assert len(receiver.requests[0].text) < 100_000


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Tue, 03 Nov 2026 13:06:00 GMT", 60),  # NOW is 13:05
        ("Tue, 03 Nov 2026 13:06:00 -0000", 60),
        ("Tue, 03 Nov 2020 13:06:00 GMT", 0),
        ("99999999999999999999", 86400),
        ("Tue, 03 Nov 9999 13:06:00 GMT", 86400),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms_and_bounded(header: str, seconds: int | None) -> None:
    """Guarantee 13: seconds and HTTP date; a receiver can't silence a channel for more than a day at a time."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after({"retry-after": header}, NOW) == expected
