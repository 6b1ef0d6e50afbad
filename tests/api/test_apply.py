"""A document is applied: what it says is made, what it made goes with it, and what was made by hand stays."""

from __future__ import annotations

from typing import Any

import pytest

from app.security import Scope
from tests.running import HOUR, MONDAY, Shop
from tests.serving import Served

COMING = MONDAY + 300 * 168 * HOUR
HOOK = "https://hooks.example/secret-path"


def policy(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "matcher": {"metric": "orders*"}, "settings": settings or {"alerts_per_week": 0.5}}


def channel(name: str = "sales", url: str = HOOK) -> dict[str, Any]:
    return {"name": name, "kind": "slack", "settings": {"url": url}}


def event(name: str = "sale", hours: int = 3) -> dict[str, Any]:
    return {"name": name, "start": COMING, "end": COMING + hours * HOUR}


def apply(served: Served, document: dict[str, Any], **params: Any) -> list[tuple[str, str, str]]:
    """What became of what: action, kind, name."""
    answer = served.client.post("/v1/apply", json=document, params=params)
    assert answer.status_code == 200, answer.text
    return [(each["action"], each["kind"], each["name"]) for each in answer.json()["changes"]]


def names(served: Served, path: str, of: str) -> list[str]:
    return [each["name"] for each in served.client.get(path).json()[of]]


def policies(served: Served) -> list[str]:
    return names(served, "/v1/policies", "policies")


def test_a_document_is_made_and_again_changes_nothing(served: Served) -> None:
    document = {
        "policies": [policy("shop"), policy("rest")],
        "channels": [channel()],
        "events": [event()],
        "flags": {"learning": {"state": "frozen", "reason": "audit week"}},
    }
    dry = apply(served, document, dry_run=True)
    assert policies(served) == names(served, "/v1/channels", "channels") == []
    assert apply(served, document) == dry
    assert {each[0] for each in dry} == {"create", "change"}
    assert policies(served) == ["shop", "rest"]
    assert served.heed.committer.switches.frozen
    before = len(served.client.get("/v1/audit").json()["entries"])
    again = served.client.post("/v1/apply", json=document).json()
    assert not again["applied"]
    assert {each["action"] for each in again["changes"]} == {"leave"}
    assert len(served.client.get("/v1/audit").json()["entries"]) == before


def test_what_is_said_otherwise_is_changed_and_what_is_no_longer_said_goes(served: Served) -> None:
    apply(served, {"policies": [policy("shop"), policy("rest")], "channels": [channel()], "events": [event()]})
    document = {
        "policies": [policy("rest", alerts_per_week=0.1)],
        "channels": [],
        "events": [event(hours=5), event("fair")],
    }
    assert apply(served, document) == [
        ("change", "policy", "rest"),
        ("remove", "policy", "shop"),
        ("remove", "channel", "sales"),
        ("change", "event", "sale"),
        ("create", "event", "fair"),
    ]
    [switched_off] = served.client.get("/v1/channels").json()["channels"]
    assert switched_off["disabled_reason"] == "it is no longer in heed.yaml"
    assert apply(served, {"channels": [channel()]}) == [("change", "channel", "sales")]
    standing = [each["name"] for each in served.client.get("/v1/events").json()["events"] if each["stands"]]
    assert sorted(standing) == ["fair", "sale"]
    assert apply(served, {"events": []}) == [("remove", "event", "sale"), ("remove", "event", "fair")]


def test_a_section_that_is_left_out_is_not_spoken_of(served: Served) -> None:
    apply(served, {"policies": [policy("shop")], "channels": [channel()]})
    assert apply(served, {"channels": [channel()]}) == [("leave", "channel", "sales")]
    assert policies(served) == ["shop"]


def test_what_was_made_by_hand_stays_in_its_place_unless_it_is_pruned(served: Served) -> None:
    apply(served, {"policies": [policy("one"), policy("two")]})
    served.client.post("/v1/policies", json={**policy("by hand"), "position": 1})
    served.client.put("/v1/flags/detector", json={"state": "basic", "reason": "a test"})
    document: dict[str, Any] = {"policies": [policy("two"), policy("one"), policy("new")], "flags": {}}
    assert apply(served, document) == [
        ("leave", "policy", "two"),
        ("leave", "policy", "one"),
        ("create", "policy", "new"),
        ("keep", "policy", "by hand"),
        ("change", "policy", "order"),
        ("keep", "flag", "detector"),
    ]
    assert policies(served) == ["two", "by hand", "one", "new"]
    pruned = apply(served, document, prune=True)
    assert ("remove", "policy", "by hand") in pruned
    assert ("remove", "flag", "detector") in pruned
    assert policies(served) == ["two", "one", "new"]


def test_a_file_takes_over_what_it_names_and_puts_back_what_was_changed_by_hand(served: Served) -> None:
    made = served.client.post("/v1/policies", json=policy("shop")).json()
    assert apply(served, {"policies": [policy("shop")]}) == [("leave", "policy", "shop")]
    served.client.patch(f"/v1/policies/{made['id']}", json={"settings": {"direction": "down"}})
    answer = served.client.post("/v1/apply", json={"policies": [policy("shop")]}).json()
    assert answer["changes"][0]["details"] == ["direction: down → nothing"]
    assert apply(served, {"policies": []}) == [("remove", "policy", "shop")]


def test_settings_of_channels_are_named_and_never_shown(served: Served) -> None:
    apply(served, {"channels": [channel()]})
    answer = served.client.post("/v1/apply", json={"channels": [channel(url=HOOK + "/other")]})
    assert answer.json()["changes"][0]["details"] == ["url: another"]
    assert "secret-path" not in answer.text


def test_how_much_a_channel_takes_and_when_is_said_in_the_file_too(served: Served) -> None:
    hours = {"start": "09:00", "end": "17:00", "days": ["mon"]}
    pace = {"most_messages": 20, "active_hours": hours, "timezone": "Asia/Tokyo"}
    apply(served, {"channels": [channel() | pace]})
    [made] = served.client.get("/v1/channels").json()["channels"]
    assert {name: made[name] for name in pace} == pace
    assert apply(served, {"channels": [channel() | pace]})[0][0] == "leave"
    answer = served.client.post("/v1/apply", json={"channels": [channel() | {"most_messages": 30}]})
    assert answer.json()["changes"][0]["details"] == [
        "most_messages: 20 → 30",
        "active_hours: 09:00 to 17:00 on mon → nothing",
        "timezone: Asia/Tokyo → nothing",
    ]
    [changed] = served.client.get("/v1/channels").json()["channels"]
    assert (changed["most_messages"], changed["active_hours"]) == (30, None)
    alertmanager = {"name": "am", "kind": "alertmanager", "settings": {"url": "https://am.example"}, "most_messages": 3}
    refused = served.client.post("/v1/apply", json={"channels": [alertmanager]})
    assert "leave `most_messages` out" in refused.json()["detail"]


def test_a_webhook_keeps_the_secret_that_was_made_for_it_and_shows_it_once(served: Served) -> None:
    document = {"channels": [{"name": "hook", "kind": "webhook", "settings": {"url": "https://example.com/hook"}}]}
    first, second = (served.client.post("/v1/apply", json=document).json()["changes"][0] for _ in range(2))
    assert first["signing_secret"].startswith("whsec_")
    assert (second["action"], second["signing_secret"]) == ("leave", None)


def test_where_anything_is_wrong_nothing_is_applied_and_every_fault_has_its_place(served: Served) -> None:
    document = {
        "policies": [policy("shop"), policy("rest", sigmas=3), policy("rest", alerts_per_week=-1)],
        "channels": [channel()],
    }
    answer = served.client.post("/v1/apply", json=document)
    assert [each["path"] for each in answer.json()["errors"]] == [["policies", 2, "name"]]
    document["policies"][2]["name"] = "third"
    answer = served.client.post("/v1/apply", json=document)
    assert answer.status_code == 422
    assert [each["path"] for each in answer.json()["errors"]] == [
        ["policies", 1, "settings"],
        ["policies", 2, "settings"],
    ]
    document["policies"] = [policy("shop")]
    document["channels"] = [channel(), channel("other", url="not an address")]
    answer = served.client.post("/v1/apply", json=document)
    assert [each["path"] for each in answer.json()["errors"]] == [["channels", 1, "settings"]]
    assert policies(served) == names(served, "/v1/channels", "channels") == []


def test_a_policy_of_the_document_acts_on_the_next_point(served: Served) -> None:
    shop = Shop(served.heed)
    shop.has_history()
    apply(served, {"policies": [policy("shop", direction="up")]})
    shop.send(4, factor=0.3)
    assert served.client.get("/v1/alerts?kind=anomaly").json()["alerts"] == []


def test_a_past_event_of_the_document_closes_the_alert_that_it_explains(served: Served, alert: dict[str, Any]) -> None:
    began = MONDAY + 5 * 168 * HOUR
    document = {"events": [{"name": "sale", "start": began, "end": began + 48 * HOUR}]}
    assert apply(served, document) == [("create", "event", "sale")]
    assert served.client.get(f"/v1/alerts/{alert['id']}").json()["status"] == "closed"
    assert apply(served, document) == [("leave", "event", "sale")]


def test_only_an_admin_may_apply(served: Served) -> None:
    with served.as_scope(Scope.OPS) as ops:
        assert ops.post("/v1/apply", json={}).status_code == 403


@pytest.mark.parametrize("calendar", ["", "BEGIN:VCALENDAR"])
def test_a_calendar_that_cannot_be_read_is_refused_with_its_place(shared: Served, calendar: str) -> None:
    answer = shared.client.post("/v1/apply", json={"calendars": [{"name": "campaigns", "ics": calendar}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == ["calendars", 0, "ics"]


REMINDER = "BEGIN:VEVENT\nUID:a\nSUMMARY:Call the bank\nDTSTART:20320202T080000Z\nEND:VEVENT\n"
FAIR = "BEGIN:VEVENT\nUID:b\nSUMMARY:Fair\nDTSTART;VALUE=DATE:20320202\nEND:VEVENT\n"


def with_calendar(*events: str) -> dict[str, Any]:
    return {"calendars": [{"name": "campaigns", "ics": f"BEGIN:VCALENDAR\n{''.join(events)}END:VCALENDAR\n"}]}


def test_what_cannot_be_of_a_calendar_is_left_out_by_name_and_the_rest_applied(served: Served) -> None:
    (change,) = served.client.post("/v1/apply", json=with_calendar(REMINDER, FAIR)).json()["changes"]
    assert change["action"] == "create"
    assert change["details"][0] == "1 events new"
    assert change["details"][1].startswith("left out “Call the bank”: It takes up no time")
    assert names(served, "/v1/events", "events") == ["Fair"]
    assert apply(served, with_calendar(REMINDER, FAIR)) == [("leave", "calendar", "campaigns")]
    refused = served.client.post("/v1/apply", json=with_calendar(REMINDER)).json()
    assert refused["errors"][0]["path"] == ["calendars", 0, "ics"]
    assert "Call the bank" in refused["detail"]
    assert names(served, "/v1/events", "events") == ["Fair"]
