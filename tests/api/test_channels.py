"""Channels are made, tried, switched off and on, and their dead letters replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from app.clock import wall_now
from tests.pipeline.outbox import add_alerts
from tests.receiver import Receiver, receiving
from tests.serving import Served, serving


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(database_url, tmp_path, allow_private_targets="127.0.0.0/8") as served:
        yield served


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def make(served: Served, receiver: Receiver, **changes: Any) -> dict[str, Any]:
    new = {"name": "sales", "kind": "webhook", "settings": {"url": f"{receiver.url}/s3cret"}} | changes
    answer = served.client.post("/v1/channels", json=new)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def listed(served: Served) -> dict[str, Any]:
    (channel,) = served.client.get("/v1/channels").json()["channels"]
    assert isinstance(channel, dict)
    return channel


def alerted(served: Served, count: int = 1) -> None:
    add_alerts(served.heed.database, count, wall_now())
    served.heed.notifier.wake()


def test_a_channel_is_made_and_hears_of_the_next_alert(served: Served, receiver: Receiver) -> None:
    made = make(served, receiver)
    assert made["signing_secret"].startswith("whsec_")
    alerted(served)
    assert receiver.wait_for(1)[0].path == "/s3cret"


def test_settings_go_in_and_never_come_out(served: Served, receiver: Receiver) -> None:
    """Guarantee 28."""
    made = make(served, receiver)
    shown = served.client.get("/v1/channels").text
    assert "s3cret" not in shown
    assert made["signing_secret"] not in shown


def test_a_channel_can_be_tried_out(served: Served, receiver: Receiver) -> None:
    made = make(served, receiver, kind="slack")
    tried = served.client.post(f"/v1/channels/{made['id']}/test").json()
    assert tried == {"delivered": True, "error": None}
    assert [request.json["text"] for request in receiver.requests] == [
        "This is a test: alerts reach sales.",
        "Over: This is a test: alerts reach sales.",
    ]
    receiver.always(503)
    tried = served.client.post(f"/v1/channels/{made['id']}/test").json()
    assert tried == {"delivered": False, "error": "the receiver answered 503"}


def test_a_channel_that_was_switched_off_keeps_what_waits_until_it_is_on_again(
    served: Served, receiver: Receiver
) -> None:
    made = make(served, receiver)
    receiver.always(503)
    alerted(served)
    receiver.wait_for(1)
    switched_off = served.client.post(f"/v1/channels/{made['id']}/disable").json()
    assert switched_off["disabled_reason"] == "switched off by hand"
    assert switched_off["waiting"] == 1

    receiver.always(200)
    switched_on = served.client.post(f"/v1/channels/{made['id']}/enable").json()
    assert switched_on["disabled_at"] is None
    receiver.wait_for(2)


def test_a_dead_letter_is_listed_and_can_be_replayed(served: Served, receiver: Receiver) -> None:
    make(served, receiver)
    receiver.always(422)
    alerted(served)
    receiver.wait_for(1)
    dead = wait_for_dead_letter(served)
    assert dead["error"] == "the receiver answered 422"
    assert listed(served)["dead"] == 1

    receiver.always(200)
    assert served.client.post(f"/v1/notifications/{dead['id']}/replay").status_code == 202
    assert receiver.wait_for(2)[1].headers["webhook-id"] == dead["id"]
    assert served.client.post(f"/v1/notifications/{dead['id']}/replay").status_code == 404


def wait_for_dead_letter(served: Served) -> dict[str, Any]:
    for _ in range(200):
        found = served.client.get("/v1/notifications", params={"status": "dead"}).json()["notifications"]
        if found:
            assert isinstance(found[0], dict)
            return found[0]
    raise AssertionError("no letter died")


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"kind": "pigeon"}, "one of slack"),
        ({"settings": {}}, "url"),
        ({"settings": {"url": "nonsense"}}, "whole URL"),
        ({"settings": {"url": "https://a.example", "colour": "red"}}, "has the settings"),
        ({"settings": {"url": "https://a.example", "secret": "short"}}, "whsec_"),
    ],
)
def test_a_wrong_channel_is_refused_with_the_cure(
    served: Served, receiver: Receiver, changes: dict[str, Any], cure: str
) -> None:
    new = {"name": "sales", "kind": "webhook", "settings": {"url": receiver.url}} | changes
    answer = served.client.post("/v1/channels", json=new)
    assert answer.status_code == 422
    assert cure in answer.json()["detail"]
    assert served.client.get("/v1/channels").json() == {"channels": []}


def test_two_channels_never_share_a_name(served: Served, receiver: Receiver) -> None:
    make(served, receiver)
    answer = served.client.post(
        "/v1/channels", json={"name": "sales", "kind": "slack", "settings": {"url": receiver.url}}
    )
    assert answer.status_code == 409


@pytest.mark.parametrize("action", ["test", "enable", "disable"])
def test_a_channel_that_does_not_exist_is_not_found(served: Served, action: str) -> None:
    assert served.client.post(f"/v1/channels/77/{action}").status_code == 404


def test_a_channel_can_be_changed_without_losing_what_is_not_spoken_of(served: Served, receiver: Receiver) -> None:
    made = make(served, receiver)
    path = f"/v1/channels/{made['id']}"
    hours = {"start": "08:00", "end": "18:00", "days": ["mon"]}
    changes: dict[str, Any] = {"name": "shop", "settings": {"url": f"{receiver.url}/moved"}, "most_messages": 20}
    changed = served.client.patch(path, json=changes | {"active_hours": hours}).json()
    assert [changed[name] for name in ("name", "most_messages", "active_hours")] == ["shop", 20, hours]
    assert changed["timezone"] == "UTC"
    assert served.client.patch(path, json={"active_hours": None}).json()["most_messages"] == 20
    alerted(served)
    [message] = receiver.wait_for(1)
    assert message.path == "/moved"
    Webhook(made["signing_secret"]).verify(message.body, dict(message.headers))  # the secret that it had
    assert served.client.get("/v1/audit").json()["entries"][0]["action"] == "channel_changed"


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"settings": {"address": "x"}}, "has the settings"),
        ({"active_hours": {"start": "8", "end": "18:00"}}, "give a time of day such as 08:00"),
        ({"timezone": "Mars/Olympus"}, "name an IANA time zone"),
        ({"kind": "slack"}, "kind"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_the_cure(
    served: Served, receiver: Receiver, changes: dict[str, Any], cure: str
) -> None:
    made = make(served, receiver)
    refused = served.client.patch(f"/v1/channels/{made['id']}", json=changes)
    assert refused.status_code == 422
    assert cure in refused.json()["detail"]
    assert served.client.patch("/v1/channels/99", json={}).status_code == 404


def test_a_name_that_is_taken_or_given_by_a_setting_is_refused(served: Served, receiver: Receiver) -> None:
    make(served, receiver, name="other")
    made = make(served, receiver)
    path = f"/v1/channels/{made['id']}"
    assert served.client.patch(path, json={"name": "other"}).status_code == 409
