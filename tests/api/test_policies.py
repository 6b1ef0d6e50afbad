"""Policies over the API."""

from __future__ import annotations

from typing import Any

import pytest

from app.security import Scope
from tests.serving import Served


def new(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "matcher": {"metric": "orders*"}, "settings": {"alerts_per_week": 0.5}} | more


def names(served: Served) -> list[str]:
    return [each["name"] for each in served.client.get("/v1/policies").json()["policies"]]


def test_a_policy_is_made_read_changed_replaced_and_deleted(served: Served) -> None:
    answer = served.client.post("/v1/policies", json=new("shop", **{"continue": True}))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["matcher"] == {"metric": "orders*", "dimensions": {}}
    assert (made["settings"], made["continue"], made["position"]) == ({"alerts_per_week": 0.5}, True, 0)
    path = f"/v1/policies/{made['id']}"
    changed = served.client.patch(path, json={"settings": {"direction": "down", "alerts_per_week": None}}).json()
    assert (changed["settings"], changed["continue"]) == ({"direction": "down"}, True)
    replaced = served.client.put(path, json=new("shop 2")).json()
    assert (replaced["name"], replaced["continue"]) == ("shop 2", False)
    with served.as_scope(Scope.ANALYST) as analyst:
        assert analyst.get(path).json() == replaced
        assert analyst.delete(path).status_code == 403
    assert served.client.delete(path).json() == replaced
    assert served.client.get(path).status_code == 404


def test_policies_keep_their_order_and_are_put_into_another(served: Served) -> None:
    ids = [served.client.post("/v1/policies", json=new(name)).json()["id"] for name in ("one", "two", "three")]
    served.client.post("/v1/policies", json=new("zero", position=0))
    assert names(served) == ["zero", "one", "two", "three"]
    listed = served.client.get("/v1/policies").json()
    zero = listed["policies"][0]["id"]
    served.client.put("/v1/policies/order", json={"order": [ids[2], ids[1], ids[0], zero]})
    assert names(served) == ["three", "two", "one", "zero"]
    served.client.delete(f"/v1/policies/{ids[1]}")
    assert [each["position"] for each in served.client.get("/v1/policies").json()["policies"]] == [0, 1, 2]
    assert served.client.put("/v1/policies/order", json={"order": [ids[2]]}).status_code == 422
    assert listed["defaults"]["change_to_hear"] == 0.3


@pytest.mark.parametrize(
    ("settings", "cure"),
    [({"sigmas": 3}, "there is no such setting"), ({"alerts_per_week": -1}, "greater than 0")],
)
def test_a_wrong_setting_is_refused_with_the_cure(shared: Served, settings: dict[str, Any], cure: str) -> None:
    answer = shared.client.post("/v1/policies", json=new("wrong", settings=settings))
    assert answer.status_code == 422
    assert cure in answer.json()["detail"]
    assert "sigmas" not in answer.json()["detail"]


def test_two_policies_may_not_have_one_name(served: Served) -> None:
    assert served.client.post("/v1/policies", json=new("shop")).status_code == 201
    assert served.client.post("/v1/policies", json=new("shop")).status_code == 409


def test_a_series_shows_what_holds_for_it_and_which_policy_says_so(served: Served) -> None:
    served.client.post("/v1/policies", json=new("shop", settings={"timezone": "Asia/Tokyo", "alerts_per_week": 0.5}))
    served.post("orders", 1_767_571_200, 1.0, country="JP")
    [series] = served.client.get("/v1/series").json()["series"]
    assert series["policies"] == ["shop"]
    assert series["timezone"] == "Asia/Tokyo"
    assert series["settings"]["alerts_per_week"] == {"value": 0.5, "origin": "shop"}
    assert series["settings"]["change_to_hear"] == {"value": 0.3, "origin": "default"}
    served.client.put(f"/v1/policies/{policy_id(served)}", json=new("shop", settings={}))
    [series] = served.client.get("/v1/series").json()["series"]
    assert series["timezone"] == "UTC"
    assert series["settings"]["alerts_per_week"]["origin"] == "default"


def policy_id(served: Served) -> int:
    found: list[dict[str, Any]] = served.client.get("/v1/policies").json()["policies"]
    return int(found[0]["id"])
