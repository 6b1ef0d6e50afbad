"""Which channels hear of an alert, and who else does when nobody looks after it. Real receivers, real HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.security import Scope
from tests.receiver import Receiver, receiving
from tests.running import Shop
from tests.serving import Served, serving

HISTORY = 5 * 168 + 5
SETTLED_SECONDS = 0.7
WAYS_TO_LOOK_AFTER: dict[str, tuple[str, dict[str, Any] | None]] = {
    "acknowledge": ("acknowledge", None),
    "assign": ("assign", {"to": "Anna"}),
    "label": ("labels", {"verdict": "real"}),
    "snooze": ("snooze", {"until": wall_now().isoformat()}),
    "snooze until it is over": ("snooze", {"until": "recovery"}),
}


@contextmanager
def routed(database_url: str, folder: Path, **settings: Any) -> Iterator[tuple[Served, Receiver, Receiver]]:
    """A Heed with the channels `shop` and `oncall`, and a policy with these settings."""
    with (
        receiving() as shop,
        receiving() as oncall,
        serving(database_url, folder, allow_private_targets="127.0.0.0/8", alerts_per_week=0.02) as served,
    ):
        for name, receiver in (("shop", shop), ("oncall", oncall)):
            made = {"name": name, "kind": "webhook", "settings": {"url": receiver.url}}
            assert served.client.post("/v1/channels", json=made).status_code == 201
        policy = {"name": "shop", "matcher": {"metric": "orders"}, "settings": settings}
        answer = served.client.post("/v1/policies", json=policy)
        assert answer.status_code == 201, answer.text
        yield served, shop, oncall


def has_fallen(served: Served, delivery: Delivery | None = None) -> Shop:
    """Orders with a history that have fallen at five in the morning."""
    shop = Shop(served.heed)
    shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    assert served.retrain()["status"] == "done"
    shop.send(24)  # a day with all that it brings, so that the next one's jobs are due at their hours
    shop.send(3, factor=0.3, delivery=delivery)
    return shop


def statuses(receiver: Receiver) -> list[str]:
    return [str(each.json["status"]) for each in receiver.requests]


def test_only_the_channels_of_the_policy_hear_of_an_alert(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=["shop"]) as (served, shop, oncall):
        has_fallen(served)
        shop.wait_for(1)
        time.sleep(SETTLED_SECONDS)
        assert statuses(oncall) == []
        assert served.alert()["channels"] == ["shop"]


def test_a_policy_of_no_channels_keeps_its_alerts_in_the_inbox(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=[]) as (served, shop, oncall):
        has_fallen(served)
        time.sleep(SETTLED_SECONDS)
        assert statuses(shop) == statuses(oncall) == []
        assert served.alert()["status"] == "firing"


def test_where_none_of_the_channels_takes_anything_the_others_are_told(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=["shop"]) as (served, _shop, oncall):
        served.client.post("/v1/channels/1/disable")
        has_fallen(served)
        oncall.wait_for(1)


def test_an_alert_that_nobody_looks_after_is_escalated_once(database_url: str, tmp_path: Path) -> None:
    escalation = {"escalate_after_minutes": 90, "escalate_to": ["oncall"]}
    with routed(database_url, tmp_path, channels=["shop"], **escalation) as (served, shop, oncall):
        orders = has_fallen(served)
        shop.wait_for(1)
        orders.send(1, factor=0.3)
        [first] = oncall.wait_for(1)
        assert first.json["status"] == "firing"
        assert "Escalated: nobody has acknowledged it within 90 minutes." in first.json["remarks"]  # type: ignore[operator]
        assert served.alert()["escalated_at"] is not None
        orders.send(2, factor=0.3)
        time.sleep(SETTLED_SECONDS)
        assert statuses(oncall) == ["firing"]
        orders.send(10)
        assert [each.json["status"] for each in oncall.wait_for(2)] == ["firing", "resolved"]


@pytest.mark.parametrize("looked_after", WAYS_TO_LOOK_AFTER)
def test_an_alert_that_somebody_looks_after_is_not_escalated(
    database_url: str, tmp_path: Path, looked_after: str
) -> None:
    escalation = {"escalate_after_minutes": 200, "escalate_to": ["oncall"]}
    with routed(database_url, tmp_path, channels=["shop"], **escalation) as (served, _shop, oncall):
        orders = has_fallen(served)
        path = f"/v1/alerts/{served.alert()['id']}"
        what, body = WAYS_TO_LOOK_AFTER[looked_after]
        assert served.client.post(f"{path}/{what}", json=body).is_success
        orders.send(5, factor=0.3)
        time.sleep(SETTLED_SECONDS)
        assert statuses(oncall) == []


def test_a_policy_cannot_name_a_channel_that_there_is_not(served: Served) -> None:
    policy = {"name": "shop", "settings": {"channels": ["nobody"]}}
    answer = served.client.post("/v1/policies", json=policy)
    assert answer.status_code == 422
    assert "settings.channels: there is no channel of one of these names; there are none" in answer.json()["detail"]
    document = {"policies": [policy]}
    assert served.client.post("/v1/apply", json=document).json()["errors"][0]["path"] == ["policies", 0, "settings"]
    document["channels"] = [{"name": "nobody", "kind": "webhook", "settings": {"url": "https://example.com/hook"}}]
    assert served.client.post("/v1/apply", json=document).status_code == 200
    with served.as_scope(Scope.ANALYST) as analyst:
        assert analyst.get("/v1/policies").json()["policies"][0]["settings"] == {"channels": ["nobody"]}


def test_out_of_hours_alerts_wait_for_one_digest_in_the_morning(database_url: str, tmp_path: Path) -> None:
    settings = {"active_hours": {"start": "09:00", "end": "17:00"}, "critical_change": 2.0, "channels": ["shop"]}
    with routed(database_url, tmp_path, **settings) as (served, shop, oncall):
        orders = has_fallen(served)
        time.sleep(SETTLED_SECONDS)
        assert statuses(shop) == []
        assert (served.alert()["delivery"], served.alert()["severity"]) == ("digest", "warning")
        orders.send(2, factor=0.3)
        [digest] = shop.wait_for(1)
        said = str(digest.json["title"])
        assert said == "Digest: 1 alert, 1 of them last: orders (country DE) is unusually low"
        orders.send(24, factor=1.0)
        time.sleep(SETTLED_SECONDS)
        assert len(shop.requests) == 1
        assert statuses(oncall) == []


def test_a_critical_alert_does_not_wait_for_the_digest(database_url: str, tmp_path: Path) -> None:
    settings = {"active_hours": {"start": "09:00", "end": "17:00"}, "critical_change": 0.5, "channels": ["shop"]}
    with routed(database_url, tmp_path, **settings) as (served, shop, _oncall):
        has_fallen(served)
        assert shop.wait_for(1)[0].json["severity"] == "critical"


def test_a_policy_that_breaks_its_budget_turns_to_a_digest_and_says_so_once(database_url: str, tmp_path: Path) -> None:
    settings = {"critical_change": 5.0, "alerts_per_week": 0.02, "growth_to_repeat": 100.0}
    with routed(database_url, tmp_path, **settings) as (served, shop, _oncall):
        orders = Shop(served.heed)
        orders.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
        served.retrain()
        for _ in range(8):
            orders.send(4, factor=0.3)
            orders.send(16)
        titles = [str(each.json["title"]) for each in shop.requests]
        [broken] = {title for title in titles if "its budget is" in title}
        assert broken.startswith("Policy shop told of 6 alerts in a week, its budget is 0.02.")
        alerts = served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
        assert [each["delivery"] for each in alerts] == 2 * ["digest"] + 6 * ["live"]
        orders.send(9 * 24)
        [said] = served.client.get("/v1/alerts?kind=data&status=resolved").json()["alerts"][-1:]
        assert said["title"] == broken


def test_what_is_posted_for_a_digest_is_told_in_one(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path) as (served, shop, _oncall):
        orders = has_fallen(served, Delivery.DIGEST)
        orders.send(2)
        [digest] = shop.wait_for(1)
        assert str(digest.json["title"]).startswith("Digest: 1 alert")
