"""New normals over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.security import Scope
from tests.serving import Served


def test_a_new_normal_closes_the_alert_and_is_listed_followed_and_undone(served: Served, alert: dict[str, Any]) -> None:
    series_id = alert["anomalies"][0]["series"]["id"]
    answer = served.client.post("/v1/desensitisations", json={"series_id": series_id, "reason": "prices were lowered"})
    assert answer.status_code == 201, answer.text
    begun = answer.json()
    assert begun["status"] == "settling"
    [one] = begun["series"]
    assert (one["started_at"], one["alert_id"]) == ("2026-02-10T00:00:00Z", alert["id"])  # the fall itself
    assert one["text"] == "0 % settled"
    assert served.alert()["status"] == "closed"
    watched = served.client.get(f"/v1/series/{series_id}").json()["settling"]
    expected = {"text": "0 % settled", "progress": 0.0, "until": one["until"], "desensitisation_id": begun["id"]}
    assert watched == expected
    path = f"/v1/desensitisations/{begun['id']}"
    with served.as_scope(Scope.ANALYST) as analyst:
        assert analyst.get("/v1/desensitisations").json()["desensitisations"] == [begun]
        assert analyst.delete(path).status_code == 403
    assert served.client.delete(path).json()["status"] == "ended"
    assert served.client.get(f"/v1/series/{series_id}").json()["settling"] is None
    assert served.client.delete(f"{path}?undo=true").json()["status"] == "undone"
    assert served.alert()["status"] != "closed"


def test_its_reason_and_its_longest_may_be_changed_while_it_goes_on(served: Served, alert: dict[str, Any]) -> None:
    series_id = alert["anomalies"][0]["series"]["id"]
    begun = served.client.post("/v1/desensitisations", json={"series_id": series_id, "reason": "prices"}).json()
    path = f"/v1/desensitisations/{begun['id']}"
    with served.as_scope(Scope.ANALYST) as analyst:
        assert analyst.patch(path, json={"reason": "no"}).status_code == 403
    changed = served.client.patch(path, json={"reason": "new prices", "max_duration_days": 3}).json()
    assert changed["reason"] == "new prices"
    created, until = (datetime.fromisoformat(each) for each in (begun["created_at"], changed["series"][0]["until"]))
    assert until - created == timedelta(days=3)
    assert served.client.patch(path, json={}).json() == changed
    assert served.client.patch(path, json={"max_duration_days": 0}).status_code == 422
    served.client.delete(path)
    assert served.client.patch(path, json={"reason": "late"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "cure"),
    [
        ({}, "either"),
        ({"series_id": 1, "matcher": {}}, "either"),
        ({"series_id": 99}, "No series"),
        ({"matcher": {"metric": "nothing*"}}, "No series"),
        ({"series_id": 1, "start": "2040-01-01T00:00:00Z"}, "future"),
        ({"series_id": 1, "max_duration_days": 0}, "max_duration_days"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_cure(shared: Served, body: dict[str, Any], cure: str) -> None:
    answer = shared.client.post("/v1/desensitisations", json={"reason": "a test"} | body)
    assert answer.status_code == 422
    assert cure in answer.text


def test_an_unknown_one_is_a_404(shared: Served) -> None:
    assert shared.client.get("/v1/desensitisations/99").status_code == 404
    assert shared.client.delete("/v1/desensitisations/99").status_code == 404
    assert shared.client.patch("/v1/desensitisations/99", json={}).status_code == 404
