"""Which channels hear of an alert, and who else does when nobody looks after it. Real receivers, real HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.security import Scope
from tests.receiver import Receiver, receiving
from tests.running import Shop
from tests.serving import Served, serving

pytestmark = pytest.mark.any_database

HISTORY = 5 * 168 + 5
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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


def has_history(served: Served) -> Shop:
    """Orders of five weeks up to five in the morning."""
    shop = Shop(served.heed)
    shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    assert served.retrain()["status"] == "done"
    shop.send(24)  # a day with all that it brings, so that the next one's jobs are due at their hours
    return shop


def has_fallen(served: Served, delivery: Delivery | None = None) -> Shop:
    """Orders with a history that have fallen at five in the morning."""
    shop = has_history(served)
    shop.send(3, factor=0.3, delivery=delivery)
    return shop


def statuses(receiver: Receiver) -> list[str]:
    return [str(each.json["status"]) for each in receiver.requests]


def test_only_the_channels_of_the_policy_hear_of_an_alert(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=["shop"]) as (served, shop, oncall):
        has_fallen(served)
        shop.wait_for(1)
        served.settle()
        assert statuses(oncall) == []
        assert served.alert()["channels"] == ["shop"]


def test_a_policy_of_no_channels_keeps_its_alerts_in_the_inbox(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=[]) as (served, shop, oncall):
        has_fallen(served)
        served.settle()
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
        served.settle()
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
        served.settle()
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


OFFICE = {"active_hours": {"start": "09:00", "end": "17:00"}, "critical_change": 2.0, "channels": ["shop"]}


@on_sqlite
def test_an_alert_that_begins_out_of_hours_waits_for_them_and_its_end_then_does_not(
    database_url: str, tmp_path: Path
) -> None:
    with routed(database_url, tmp_path, **OFFICE) as (served, shop, oncall):
        orders = has_fallen(served)
        served.settle()
        assert statuses(shop) == []
        assert (served.alert()["delivery"], served.alert()["severity"]) == ("digest", "warning")
        orders.send(2, factor=0.3)
        [message] = shop.wait_for(1)
        assert message.json["title"] == "orders (country DE) is unusually low"
        orders.send(6)
        assert [each.json["status"] for each in shop.wait_for(2)] == ["firing", "resolved"]
        assert statuses(oncall) == []


@on_sqlite
def test_what_waits_for_the_same_hours_is_one_message_that_leads_to_each(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, **OFFICE, group_by=["series"]) as (served, shop, _oncall):
        shops = [Shop(served.heed, country, seed=seed) for seed, country in enumerate(["DE", "FR", "IT"])]
        for each in shops:
            each.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
        assert served.retrain()["status"] == "done"
        for _ in range(24):
            for each in shops:
                each.send(1)
        for hour in range(5):
            for each in shops:
                each.send(1, factor=1.0 if each.country == "IT" and hour > 0 else 0.3)
        [digest] = shop.wait_for(1)
        assert digest.json["kind"] == "digest"
        assert str(digest.json["title"]).startswith("3 alerts since ")
        listed = digest.json["alerts"]
        assert isinstance(listed, list)
        assert {each["title"] for each in listed} == {
            f"orders (country {c}) is unusually low" for c in ("DE", "FR", "IT")
        }
        for each in listed:
            assert httpx.get(each["url"].replace("http://127.0.0.1:8000", served.url)).status_code == 200
        assert served.client.get("/v1/alerts?kind=data").json()["alerts"] == []


@on_sqlite
def test_what_follows_out_of_hours_waits_for_them_too(database_url: str, tmp_path: Path) -> None:
    settings = {"active_hours": {"start": "04:00", "end": "08:00"}, "critical_change": 2.0, "channels": ["shop"]}
    with routed(database_url, tmp_path, **settings) as (served, shop, _oncall):
        orders = has_fallen(served)
        shop.wait_for(1)
        orders.send(12)
        assert served.alert()["status"] == "resolved"
        served.settle()
        assert statuses(shop) == ["firing"]
        orders.send(10)
        assert [each.json["status"] for each in shop.wait_for(2)] == ["firing", "resolved"]


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
        assert broken.startswith("Policy shop told of 6 alerts in a week, its budget is 0.02 a week.")
        alerts = served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
        assert [each["delivery"] for each in alerts] == 2 * ["digest"] + 6 * ["live"]
        orders.send(9 * 24)
        [said] = served.client.get("/v1/alerts?kind=data&status=resolved").json()["alerts"][-1:]
        assert said["title"] == broken


@on_sqlite
def test_what_is_posted_for_a_digest_waits_for_the_morning(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, timezone="Asia/Tokyo") as (served, shop, _oncall):
        orders = has_fallen(served, Delivery.DIGEST)
        orders.send(12, factor=0.3, delivery=Delivery.DIGEST)
        served.settle()
        assert statuses(shop) == []
        orders.send(5, factor=0.3, delivery=Delivery.DIGEST)  # eight o'clock in Tokyo, eleven at night in London
        [message] = shop.wait_for(1)
        assert message.json["title"] == "orders (country DE) is unusually low"


def closed_now() -> dict[str, Any]:
    """Active hours of an hour that begins in three hours, by real time."""
    start, end = (f"{wall_now() + timedelta(hours=ahead):%H:00}" for ahead in (3, 4))
    return {"active_hours": {"start": start, "end": end}, "timezone": "UTC"}


@on_sqlite
def test_out_of_the_hours_of_a_channel_only_what_is_critical_reaches_it(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, critical_change=2.0, growth_to_repeat=100.0) as (served, shop, oncall):
        changed = served.client.patch("/v1/channels/1", json=closed_now())
        assert changed.status_code == 200, changed.text
        orders = has_fallen(served)
        oncall.wait_for(1)
        orders.send(10)
        oncall.wait_for(2)
        visits = Shop(served.heed, metric="visits")
        visits.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
        assert served.retrain()["status"] == "done"
        visits.send(orders.clock - visits.clock, at_once=True, delivery=Delivery.SILENT)
        visits.send(3, factor=9.0)
        [severe] = shop.wait_for(1)
        assert (severe.json["severity"], severe.json["title"]) == ("critical", "visits (country DE) is unusually high")
        served.settle()  # what the receiver has heard may still be noted as sent
        assert served.client.get("/v1/channels").json()["channels"][0]["waiting"] == 2
        assert served.client.patch("/v1/channels/1", json={"active_hours": None}).json()["active_hours"] is None
        digest = shop.wait_for(2)[1]
        assert digest.json["kind"] == "digest"
        assert str(digest.json["title"]).endswith(": 1 is over")


@on_sqlite
def test_what_turns_out_to_be_critical_waits_no_longer(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, critical_change=0.6) as (served, shop, oncall):
        served.client.patch("/v1/channels/1", json=closed_now())
        orders = has_history(served)
        orders.send(3, factor=0.5)
        oncall.wait_for(1)
        assert statuses(shop) == []
        orders.send(1, factor=0.1)
        assert shop.wait_for(1)[0].json["severity"] == "critical"


def test_what_costs_little_at_first_is_critical_once_it_has_cost_enough(database_url: str, tmp_path: Path) -> None:
    with routed(database_url, tmp_path, channels=["shop"], critical_impact=500.0) as (served, shop, _oncall):
        orders = has_fallen(served)
        assert shop.wait_for(1)[0].json["severity"] == "warning"
        assert abs(served.alert()["anomalies"][0]["impact"]) < 500
        orders.send(4, factor=0.3)
        assert abs(served.alert()["anomalies"][0]["impact"]) >= 500
        assert served.alert()["severity"] == "critical"


@on_sqlite
def test_a_policy_says_what_its_values_are_and_how_its_messages_are_worded(database_url: str, tmp_path: Path) -> None:
    wording = {"firing": "Hey shop team: {name} {change}", "resolved": "Phew, {metric} is fine after {lasted}."}
    with routed(database_url, tmp_path, unit="EUR", wording=wording) as (served, shop, _oncall):
        has_fallen(served).send(8)
        texts = [str(each.json["text"]) for each in shop.wait_for(2)]
        assert re.match(
            r"Hey shop team: orders \(country DE\) fell to [\d.]+ EUR instead of about [\d.]+ EUR, ", texts[0]
        )
        assert re.match(r"Phew, orders is fine after \d+ hours\.", texts[1])
        page = httpx.get(served.alert()["url"]).text
        assert "EUR" in page
        refused = served.client.patch("/v1/policies/1", json={"settings": {"wording": {"firing": "{nmae}"}}})
        assert refused.status_code == 422
        assert "wording.firing: in braces there may stand {name}, {metric}," in refused.json()["detail"]
        assert "nmae" not in refused.text


@on_sqlite
def test_the_budget_that_is_offered_is_set_by_one_press_and_taken_back_by_another(
    database_url: str, tmp_path: Path
) -> None:
    settings = {"critical_change": 5.0, "alerts_per_week": 0.5, "growth_to_repeat": 100.0}
    with routed(database_url, tmp_path, **settings) as (served, shop, _oncall):
        orders = Shop(served.heed)
        orders.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
        served.retrain()
        for _ in range(10):
            orders.send(1, factor=0.85)
            orders.send(15)
        shop.wait_for(7)  # six alerts at least, and what is said of them
        [url] = offered_budgets(shop)
        wanted = float(re.findall(r"Set alerts_per_week to ([\d.]+)", httpx.get(url).text)[0])
        assert wanted < 0.5
        assert alerts_per_week(served) == 0.5
        done = httpx.post(url)
        assert (done.status_code, alerts_per_week(served)) == (200, wanted)
        assert httpx.post(url).text.count("<button") == 1
        assert served.client.get("/v1/audit").json()["entries"][0]["action"] == "budget_set"
        [back] = re.findall(r'action="([^"]+)"', done.text)
        assert (httpx.post(f"{served.url}/b/{back}").status_code, alerts_per_week(served)) == (200, 0.5)
        served.client.patch("/v1/policies/1", json={"settings": {"alerts_per_week": 0.7}})
        assert (httpx.post(url).status_code, alerts_per_week(served)) == (409, 0.7)
        assert "changed the budget" in httpx.get(url).text
        assert httpx.get(f"{url[:-3]}xxx").status_code == 404


def offered_budgets(receiver: Receiver) -> set[str]:
    found = (each.json["actions"] for each in receiver.requests if each.json["kind"] == "data")
    return {each["budget"] for each in found if isinstance(each, dict) and "budget" in each}


def alerts_per_week(served: Served) -> object:
    return served.client.get("/v1/policies/1").json()["settings"]["alerts_per_week"]
