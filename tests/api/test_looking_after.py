"""What people do with an alert besides answering it, through the whole pipeline and real receivers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.clock import wall_now
from app.store.notifications import COLLECTING, QUIET
from tests.api.test_routing import has_fallen, has_history, routed, statuses
from tests.receiver import Receiver, Reply, receiving
from tests.running import Shop
from tests.serving import Served

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Told:
    """A channel that was told of orders that have fallen to 30 %."""

    served: Served
    receiver: Receiver
    orders: Shop

    def do(self, what: str, method: str = "POST", **body: Any) -> httpx.Response:
        path = f"/v1/alerts/{self.served.alert()['id']}/{what}"
        return self.served.client.request(method, path, json=body or None)

    def heard(self) -> list[str]:
        """What was told by the time that growth, too, is spoken of."""
        self.served.heed.notifier.run_once(wall_now() + QUIET + timedelta(minutes=1))
        self.served.settle()  # the service sends by itself, too
        return statuses(self.receiver)


@pytest.fixture
def told(database_url: str, tmp_path: Path) -> Iterator[Told]:
    with routed(database_url, tmp_path, channels=["shop"], growth_to_repeat=0.3) as (served, shop, _oncall):
        orders = has_fallen(served)
        shop.wait_for(1)
        yield Told(served, shop, orders)


def test_what_is_snoozed_until_it_changes_is_told_when_it_gets_worse_and_when_it_is_over(told: Told) -> None:
    alert = told.do("snooze", until="change").json()
    assert alert["snoozed_for"] == "change"
    assert "Snoozed until it gets worse or is over." in alert["remarks"]
    told.orders.send(2, factor=0.3)
    assert told.heard() == ["firing"]
    told.orders.send(1, factor=0.01)
    assert told.heard() == ["firing", "updated"]
    told.orders.send(1, factor=0.01)
    assert told.heard() == ["firing", "updated"]
    assert not any("Snoozed" in line for line in told.served.alert()["remarks"])
    told.orders.send(10)
    assert told.heard() == ["firing", "updated", "resolved"]
    assert told.served.alert()["snoozed_for"] is None


def test_what_has_changed_since_it_was_snoozed_is_escalated_and_can_be_snoozed_again(
    database_url: str, tmp_path: Path
) -> None:
    escalation = {"escalate_after_minutes": 200, "escalate_to": ["oncall"], "growth_to_repeat": 0.3}
    with routed(database_url, tmp_path, channels=["shop"], **escalation) as (served, shop, oncall):
        told = Told(served, shop, has_fallen(served))
        assert "snooze" not in told.do("snooze", until="change").json()["actions"]
        told.orders.send(1, factor=0.01)
        again = served.alert()["actions"]["snooze"]
        told.orders.send(3, factor=0.01)
        assert [each.json["status"] for each in oncall.wait_for(1)] == ["firing"]
        assert httpx.post(again).status_code == 200
        assert "Snoozed until it gets worse or is over." in served.alert()["remarks"]


@pytest.mark.parametrize(
    ("settings", "severity"),
    [({"critical_change": 0.6, "growth_to_repeat": 100.0}, "critical"), ({"critical_change": 5.0}, "warning")],
)
def test_an_outage_that_gets_worse_is_told_again(
    settings: dict[str, float], severity: str, database_url: str, tmp_path: Path
) -> None:
    with routed(database_url, tmp_path, channels=["shop"], **settings) as (served, shop, _oncall):
        told = Told(served, shop, has_history(served))
        told.orders.send(3, factor=0.45)
        assert told.heard() == ["firing"]
        told.orders.send(1, factor=0.0)
        assert told.heard() == ["firing", "updated"]
        assert [each.json["severity"] for each in shop.requests] == ["warning", severity]
        told.orders.send(1, factor=0.0)
        assert told.heard() == ["firing", "updated"]


def test_what_is_snoozed_until_it_recovers_says_only_that_it_is_over(told: Told) -> None:
    told.do("snooze", until="recovery")
    told.orders.send(2, factor=0.01)
    assert told.heard() == ["firing"]
    told.orders.send(10)
    assert told.heard() == ["firing", "resolved"]
    answer = told.do("snooze", until="recovery")
    assert answer.status_code == 422
    assert "This alert is over" in answer.json()["detail"]


def test_whoever_ends_a_snooze_hears_what_was_new_meanwhile(told: Told) -> None:
    told.do("snooze", until="recovery")
    told.orders.send(2, factor=0.01)
    assert told.heard() == ["firing"]
    assert told.do("snooze", "DELETE").json()["snoozed_for"] is None
    assert told.heard() == ["firing", "updated"]


def test_the_end_that_a_snooze_held_back_is_told_when_it_is_ended(told: Told) -> None:
    until = (wall_now() + timedelta(days=300)).isoformat()
    assert told.do("snooze", until=until).json()["snoozed_until"] is not None
    told.orders.send(10)
    assert told.heard() == ["firing"]
    told.do("snooze", "DELETE")
    assert [each.json["status"] for each in told.receiver.wait_for(2)] == ["firing", "resolved"]


def test_a_snooze_needs_a_time_or_something_to_wait_for(told: Told) -> None:
    wrong: list[Any] = ["forever", None, [], True]
    for nonsense in wrong:
        assert told.do("snooze", until=nonsense).status_code == 422


def test_an_alert_is_given_to_somebody_and_taken_back(told: Told) -> None:
    alert = told.do("assign", to="Anna").json()
    assert (alert["assigned_to"], alert["assigned_by"]) == ("Anna", "HEED_ADMIN_TOKEN")
    assert alert["acknowledged_by"] == "Anna"
    assert "Anna looks after it." in alert["remarks"]

    def ids(of: str) -> list[int]:
        found = told.served.client.get("/v1/alerts", params={"assigned_to": of}).json()
        return [each["id"] for each in found["alerts"]]

    assert ids("Anna") == [alert["id"]]
    assert ids("Ben") == []
    assert told.do("assign", to="Ben").json()["assigned_to"] == "Ben"
    taken_back = told.do("assign", "DELETE").json()
    assert (taken_back["assigned_to"], taken_back["assigned_at"]) == (None, None)
    assert told.do("assign", to="").status_code == 422
    assert told.heard() == ["firing"]


def test_what_nobody_has_any_more_is_escalated_after_all(database_url: str, tmp_path: Path) -> None:
    escalation = {"escalate_after_minutes": 200, "escalate_to": ["oncall"]}
    with routed(database_url, tmp_path, channels=["shop"], **escalation) as (served, shop, oncall):
        told = Told(served, shop, has_fallen(served))
        told.do("assign", to="Anna")
        told.do("assign", to="Ben")
        assert told.do("assign", "DELETE").json()["acknowledged_at"] is None
        told.orders.send(4, factor=0.3)
        assert [each.json["status"] for each in oncall.wait_for(1)] == ["firing"]


def test_a_message_that_can_change_says_who_looks_after_it(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=["shop"]) as (served, _shop, _oncall), receiving() as slack:
        slack.reply = lambda _: Reply(body=b'{"ok": true, "ts": "1503435956.000247"}')
        settings = {"token": "xoxb-0000-example", "channel": "C012AB3CD", "url": f"{slack.url}/api"}
        served.client.post("/v1/channels", json={"name": "app", "kind": "slack_app", "settings": settings})
        assert served.client.patch("/v1/policies/1", json={"settings": {"channels": ["app"]}}).is_success
        told = Told(served, slack, has_fallen(served))
        slack.wait_for(1)
        told.do("assign", to="Anna")
        served.heed.notifier.run_once(wall_now() + COLLECTING)
        posted, changed = slack.wait_for(2)
        assert (posted.path, changed.path) == ("/api/chat.postMessage", "/api/chat.update")
        assert "Anna looks after it." in changed.text
