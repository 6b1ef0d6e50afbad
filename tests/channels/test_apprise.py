"""What a server of Apprise is asked beyond what the contract asks of every channel."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from apprise import Apprise as Library

from app.alerts.message import Reason
from app.channels.apprise import Apprise, payload
from app.channels.contract import TransportError
from app.outbound import Outbound
from tests.channels.anomalies import CASES
from tests.receiver import Receiver, Reply, receiving

OUTBOUND = Outbound.allowing(["127.0.0.0/8"], timeout_seconds=1)
FIRING = CASES[0].notice


def test_what_the_server_keeps_is_told_by_key_and_tag() -> None:
    with receiving() as receiver:
        Apprise(url=f"{receiver.url}/", key="on call", tag="night").send(FIRING, OUTBOUND)
    [got] = receiver.requests
    assert (got.path, got.json["tag"]) == ("/notify/on%20call", "night")
    assert "urls" not in got.json


def test_a_server_that_keeps_nothing_is_given_the_targets() -> None:
    with receiving() as receiver:
        Apprise(url=receiver.url, targets="ntfy://shop, tgram://token/chat").send(FIRING, OUTBOUND)
    [got] = receiver.requests
    assert (got.path, got.json["urls"]) == ("/notify", "ntfy://shop, tgram://token/chat")


def test_a_server_that_keeps_nobody_to_tell_ends_the_channel() -> None:
    with receiving() as receiver:
        receiver.always(204)
        with pytest.raises(TransportError, match="nobody to tell") as raised:
            Apprise(url=receiver.url, key="heed").send(FIRING, OUTBOUND)
    assert raised.value.gone


@pytest.mark.parametrize(
    "settings", [{}, {"key": "heed", "targets": "ntfy://shop"}, {"targets": "ntfy://shop", "tag": "night"}]
)
def test_settings_that_do_not_say_whom_to_tell_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="key"):
        Apprise(url="https://apprise.example", **settings)


def test_the_type_tells_good_news_from_bad() -> None:
    reasons = (Reason.FIRING, Reason.RESOLVED, Reason.WITHDRAWN)
    assert [payload(replace(FIRING, reason=reason))["type"] for reason in reasons] == ["warning", "success", "info"]
    critical = replace(FIRING, facts=replace(FIRING.facts, severity="critical"))
    assert payload(critical)["type"] == "failure"


def as_apprise(server: Receiver) -> Reply:
    """What the library that an Apprise server is made of makes of a request: it carries the message on."""
    asked = json.loads(server.last_text)
    services = Library()
    assert services.add(asked["urls"])
    told = services.notify(asked["body"], asked["title"], asked["type"], asked["format"])
    return Reply(200 if told else 424)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # which it takes in itself
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_library_behind_the_server_takes_every_typical_message_and_carries_it_on_whole(case: Any) -> None:
    with receiving() as server, receiving() as telegram, receiving() as ntfy:
        server.reply = as_apprise
        targets = ", ".join(each.url.replace("http", "json") for each in (telegram, ntfy))
        Apprise(url=server.url, targets=targets).send(case.notice, Outbound.allowing(["127.0.0.0/8"]))
        said = payload(case.notice)
        for service in (telegram, ntfy):
            (got,) = service.requests
            assert {name: got.json[name] for name in ("title", "message", "type")} == {
                "title": said["title"],
                "message": said["body"],
                "type": said["type"],
            }
