"""Shadows over the API."""

from __future__ import annotations

from app.security import Scope
from tests.serving import Served


def test_a_shadow_is_begun_listed_and_ended(served: Served) -> None:
    new = {"matcher": {"metric": "orders*", "dimensions": {"country": ["DE"]}}, "detector": "basic"}
    answer = served.client.post("/v1/shadows", json=new)
    assert answer.status_code == 201
    begun = answer.json()
    assert (begun["matcher"], begun["detector"]) == (new["matcher"], "basic")
    assert (begun["would_be_alerts"], begun["live_alerts"]) == (0, 0)
    path = f"/v1/shadows/{begun['id']}"
    with served.as_scope(Scope.ANALYST) as analyst:
        assert analyst.get("/v1/shadows").json() == {"shadows": [begun]}
        assert analyst.get(path).json() == begun
        assert analyst.delete(path).status_code == 403
    assert served.client.delete(path).json() == begun
    assert served.client.get(path).status_code == 404
    assert served.client.delete(path).status_code == 404


def test_a_shadow_of_an_unknown_detector_is_refused_with_those_that_exist(shared: Served) -> None:
    answer = shared.client.post("/v1/shadows", json={"detector": "oracle"})
    assert answer.status_code == 422
    assert "seasonal" in answer.json()["detail"]
