"""Buttons that answer in Slack: signed by Slack, acted upon once, and shown in the message."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.channels.slack_signature import is_signed_by, sign
from app.clock import wall_now
from tests.receiver import Received, Receiver, Reply, receiving
from tests.serving import Served, serving

pytestmark = pytest.mark.any_database

SECRET = "8f742231b10e8888abcd99yyyzzz85a5".translate(str.maketrans("yz", "ef"))


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiving() as receiver:
        receiver.reply = lambda _: Reply(body=b'{"ok": true, "channel": "C012AB3CD", "ts": "1503435956.000247"}')
        yield receiver


@pytest.fixture
def told(database_url: str, tmp_path: Path, slack: Receiver) -> Iterator[Served]:
    """A Heed that has told an alert to a Slack app."""
    with serving(database_url, tmp_path, allow_private_targets=["127.0.0.0/8"]) as served:
        settings = {"token": "xoxb-1", "channel": "C012AB3CD", "signing_secret": SECRET, "url": f"{slack.url}/api"}
        made = served.client.post("/v1/channels", json={"name": "sales", "kind": "slack_app", "settings": settings})
        assert made.status_code == 201, made.text
        served.has_an_alert()
        slack.wait_for(1)
        yield served


def button(slack: Receiver, verdict: str) -> dict[str, Any]:
    blocks: Any = slack.requests[0].json["blocks"]
    return next(each for each in blocks[-1]["elements"] if each["action_id"] == verdict)


def press(
    served: Served,
    slack: Receiver,
    *,
    value: str | None,
    who: str = "anna",
    secret: str = SECRET,
    age: timedelta = timedelta(),
) -> httpx.Response:
    """What Slack sends when somebody presses a button, on its way to the request URL of the app."""
    payload = {
        "type": "block_actions",
        "user": {"id": f"U-{who}", "username": who, "team_id": "T1"},
        "container": {"type": "message", "message_ts": "1503435956.000247"},
        "actions": [{"action_id": "x", "block_id": "b", "type": "button", "value": value}],
        "response_url": f"{slack.url}/actions/T1/2/3",
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    at = str(int((wall_now() - age).timestamp()))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": sign(secret, timestamp=at, body=body),
    }
    return httpx.post(f"{served.url}/slack/interactions", content=body, headers=headers)


def labels(served: Served) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = served.client.get("/v1/labels").json()["labels"]
    return listed


def updates(slack: Receiver, count: int) -> list[Any]:
    """What came to the address that Slack gave for answers, once there is so much of it."""
    return [each.json for each in arrived(slack, lambda each: each.path.startswith("/actions"), count)]


def arrived(slack: Receiver, wanted: Callable[[Received], bool], count: int) -> list[Received]:
    deadline = time.monotonic() + 10
    while len(found := [each for each in slack.requests if wanted(each)]) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_the_signature_of_slacks_own_example_is_verified() -> None:
    """The worked example of Slack's documentation, "Verifying requests from Slack"."""
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015"
        b".47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert sign(secret, timestamp="1531420618", body=body) == expected


@pytest.mark.parametrize("timestamp", ["", "-1", "1e9", "٣", "9" * 40, "0"])
def test_a_signature_without_a_recent_time_is_worth_nothing(timestamp: str) -> None:
    signature = sign(SECRET, timestamp=timestamp, body=b"x")
    assert not is_signed_by(SECRET, timestamp=timestamp, body=b"x", signature=signature, now=wall_now())


def test_a_press_is_a_label_and_the_message_says_who_pressed_what(told: Served, slack: Receiver) -> None:
    pressed = button(slack, "false_alarm")
    assert "url" not in pressed
    assert press(told, slack, value=pressed["value"]).status_code == 200
    given = labels(told)
    assert [(each["verdict"], each["source"], each["author"], each["weight"]) for each in given] == [
        ("false_alarm", "slack", "anna", 1.0)
    ]
    (update,) = updates(slack, 1)
    assert update["replace_original"] is True
    shown = json.dumps(update, ensure_ascii=False)
    assert "False alarm, said anna. The alert is closed" in shown
    assert [each["action_id"] for each in update["blocks"][-1]["elements"]] == ["undo", "details"]
    undo = update["blocks"][-1]["elements"][0]["url"]
    assert httpx.post(undo).status_code == 200
    assert labels(told)[0]["revoked_at"] is not None


def test_an_alert_is_taken_on_and_snoozed_in_slack_and_can_still_be_answered(told: Served, slack: Receiver) -> None:
    assert "url" in button(slack, "missed")
    assert press(told, slack, value=button(slack, "acknowledge")["value"]).status_code == 200
    (taken_on,) = updates(slack, 1)
    assert taken_on["replace_original"] is True
    assert "Anna looks after it." in json.dumps(taken_on)
    left = {each["action_id"] for each in taken_on["blocks"][-1]["elements"]}
    assert {"false_alarm", "snooze"} < left
    assert "acknowledge" not in left
    press(told, slack, value=button(slack, "snooze")["value"], who="ben")
    assert "Snoozed until it gets worse or is over." in json.dumps(updates(slack, 2)[1])
    alert = told.alert()
    assert (alert["acknowledged_by"], alert["snoozed_for"]) == ("anna", "change")
    press(told, slack, value=button(slack, "acknowledge")["value"], who="ben")
    assert told.alert()["acknowledged_by"] == "anna"
    assert labels(told) == []


def test_the_same_person_pressing_twice_gives_one_label_and_two_people_are_both_shown(
    told: Served, slack: Receiver
) -> None:
    for who, verdict in (("anna", "real"), ("anna", "real"), ("ben", "false_alarm")):
        assert press(told, slack, value=button(slack, verdict)["value"], who=who).status_code == 200
    assert sorted((each["author"], each["verdict"]) for each in labels(told)) == [
        ("anna", "real"),
        ("ben", "false_alarm"),
    ]


def test_a_link_button_is_acknowledged_and_changes_nothing(told: Served, slack: Receiver) -> None:
    assert press(told, slack, value=None).status_code == 200
    assert labels(told) == []


@pytest.mark.parametrize(
    ("secret", "age"), [("0" * 32, timedelta()), (SECRET, timedelta(minutes=6)), (SECRET, timedelta(minutes=-6))]
)
def test_a_forged_or_old_press_is_refused(told: Served, slack: Receiver, secret: str, age: timedelta) -> None:
    """Guarantee 16."""
    answer = press(told, slack, value=button(slack, "false_alarm")["value"], secret=secret, age=age)
    assert answer.status_code == 401
    assert "signing_secret" in answer.json()["detail"]
    assert labels(told) == []


def test_a_button_of_another_channel_or_made_up_is_told_to_whoever_pressed(told: Served, slack: Receiver) -> None:
    """Guarantee 16: a foreign button."""
    foreign = told.heed.links.verdict_url(1, "real", "webhook", wall_now()).rpartition("/")[2]
    for value in (foreign, "made-up"):
        assert press(told, slack, value=value).status_code == 200
    assert [each["response_type"] for each in updates(slack, 2)] == ["ephemeral"] * 2
    assert labels(told) == []


def test_what_is_no_interaction_is_refused_with_the_cure(told: Served) -> None:
    assert httpx.post(f"{told.url}/slack/interactions").status_code == 400
    for body in (b"", b"\xff", b"payload=x", b"payload={}", b"payload=[]"):
        at = str(int(wall_now().timestamp()))
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": sign(SECRET, timestamp=at, body=body)}
        answer = httpx.post(f"{told.url}/slack/interactions", content=body, headers=headers)
        assert answer.status_code == 400, body
        assert "payload" in answer.json()["detail"]


def test_a_slack_that_takes_no_update_does_not_take_the_label_back(told: Served, slack: Receiver) -> None:
    slack.always(500)
    assert press(told, slack, value=button(slack, "real")["value"]).status_code == 200
    assert len(labels(told)) == 1


def test_what_happens_next_is_said_in_the_thread_of_the_message(told: Served, slack: Receiver) -> None:
    """The first message is brought up to date, and what happened is a reply below it."""
    told.client.post("/v1/alerts/1/labels", json={"verdict": "false_alarm"})
    (reply,) = arrived(slack, lambda each: "thread_ts" in each.json and "Closed as a false alarm" in each.text, 1)
    update = slack.requests[slack.requests.index(reply) - 1]
    assert (slack.requests[0].path, update.path, reply.path) == (
        "/api/chat.postMessage", "/api/chat.update", "/api/chat.postMessage",
    )  # fmt: skip
    assert slack.requests[0].headers["authorization"] == "Bearer xoxb-1"
    assert update.json["ts"] == reply.json["thread_ts"] == "1503435956.000247"
