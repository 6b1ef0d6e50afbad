"""Whoever gets the messages of a channel can ask for no more, by one click of a mail program or on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.clock import wall_now
from tests.mail_receiver import MailReceiver, receiving_mail
from tests.pipeline.outbox import add_alerts
from tests.receiver import Receiver, receiving
from tests.serving import Served, serving


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(database_url, tmp_path, allow_private_targets="127.0.0.0/8") as served:
        yield served


@pytest.fixture
def mailbox() -> Iterator[MailReceiver]:
    with receiving_mail() as mailbox:
        yield mailbox


@pytest.fixture
def ops() -> Iterator[Receiver]:
    with receiving() as ops:
        yield ops


def add_channels(served: Served, mailbox: MailReceiver, ops: Receiver) -> None:
    mail = {"host": "127.0.0.1", "port": str(mailbox.port), "security": "none"}
    mail |= {"sender": "heed@shop.example", "recipient": "anna@shop.example"}
    for new in (
        {"name": "anna", "kind": "email", "settings": mail},
        {"name": "ops", "kind": "slack", "settings": {"url": ops.url}},
    ):
        assert served.client.post("/v1/channels", json=new).status_code == 201


def leave_url_of_a_mail(served: Served, mailbox: MailReceiver) -> str:
    add_alerts(served.heed.database, 1, wall_now())
    served.heed.notifier.run_once(wall_now())
    header = str(mailbox.requests[0].message["List-Unsubscribe"]).strip("<>")
    return served.url + httpx.URL(header).path


def test_one_click_stops_the_mails_and_tells_ops(served: Served, mailbox: MailReceiver, ops: Receiver) -> None:
    add_channels(served, mailbox, ops)
    url = leave_url_of_a_mail(served, mailbox)

    clicked = httpx.post(url, data={"List-Unsubscribe": "One-Click"})
    assert clicked.status_code == 200
    assert "Nothing more is sent to anna" in clicked.text
    httpx.post(url, data={"List-Unsubscribe": "One-Click"})

    add_alerts(served.heed.database, 1, wall_now())
    served.heed.notifier.run_once(wall_now())
    assert len(mailbox.requests) == 1
    said = [str(request.json["text"]) for request in ops.wait_for(3)]
    assert len([text for text in said if "no longer reach anna" in text]) == 1


def test_scanners_that_follow_the_link_stop_nothing(served: Served, mailbox: MailReceiver, ops: Receiver) -> None:
    """Guarantee 15."""
    add_channels(served, mailbox, ops)
    url = leave_url_of_a_mail(served, mailbox)
    for _ in range(10):
        assert httpx.head(url).status_code == 200
        assert "This stops every alert that goes to anna" in httpx.get(url).text
    assert all(each["disabled_at"] is None for each in served.client.get("/v1/channels").json()["channels"])


def test_a_forged_link_stops_nothing(served: Served, mailbox: MailReceiver, ops: Receiver) -> None:
    """Guarantee 16."""
    add_channels(served, mailbox, ops)
    forged = leave_url_of_a_mail(served, mailbox)[:-8] + "AAAAAAAA"
    assert httpx.post(forged).status_code == 404
    assert all(each["disabled_at"] is None for each in served.client.get("/v1/channels").json()["channels"])
