"""Answers of the API: lists, pages, errors, operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.security import Scope
from tests.running import DAY, HOUR, MONDAY, Shop
from tests.serving import Served


def pages(served: Served, path: str, key: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list."""
    cursor = None
    while True:
        answer = served.client.get(path, params=params | ({"cursor": cursor} if cursor else {})).json()
        yield answer[key]
        cursor = answer["next"]
        if cursor is None:
            return


def test_series_are_found_by_metric_and_dimensions_page_by_page(served: Served) -> None:
    for country in ("DE", "FR", "IT"):
        served.post("orders", MONDAY, 1, country=country)
    served.post("visits", MONDAY, 1)
    assert [len(page) for page in pages(served, "/v1/series", "series", limit=3)] == [3, 1]
    found = served.client.get("/v1/series", params={"metric": "ord*", "dimension": ["country:DE", "country:IT"]}).json()
    assert [each["dimensions"]["country"] for each in found["series"]] == ["DE", "IT"]
    assert served.client.get("/v1/series/1").json()["metric"] == "orders"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/series?dimension=country", 400),
        ("/v1/series?limit=0", 422),
        ("/v1/series?limit=501", 422),
        ("/v1/series?cursor=nonsense", 400),
        ("/v1/series?cursor=%E2%82%AC", 400),
        ("/v1/series?metric=%00", 422),
        ("/v1/series/99", 404),
        ("/v1/series/99/points", 404),
        ("/v1/series/0", 422),
        ("/v1/series/x", 422),
        (f"/v1/series/{2**63}", 422),
        ("/v1/alerts/99", 404),
        ("/v1/alerts?status=loud", 422),
        ("/v1/alerts?start=yesterday", 422),
        ("/v1/alerts?start=1e999", 422),
        (f"/v1/alerts?start={10**30}", 422),
        ("/v1/labels?verdict=perhaps", 422),
        ("/v1/retrains/99", 404),
        ("/v1/nothing", 404),
        ("/v1/series/", 404),
    ],
)
def test_a_wrong_question_is_answered_with_a_problem_that_says_the_cure(shared: Served, path: str, status: int) -> None:
    answer = shared.client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert len(answer.json()["detail"]) > 20


def test_a_wrong_method_says_which_ones_there_are(shared: Served) -> None:
    answer = shared.client.put("/v1/alerts")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        b"{s3cret",
        b'{"name": {"s3cret": 1}, "scope": "s3cret"}',
        b'{"name": "s3cret\\u0000", "scope": "admin"}',
        b'{"name": "s3cret\\ud800", "scope": "admin"}',
        b'{"name": "x", "scope": "admin", "s3cret": 1}',
        b'{"name": "x", "scope": "admin", "new_series_limit": "s3cret"}',
        b'["s3cret"]',
        b"\xffs3cret",
    ],
)
def test_no_error_echoes_input(shared: Served, body: bytes) -> None:
    answer = shared.client.post("/v1/tokens", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "s3cret" not in answer.text


def test_points_come_with_what_was_expected_of_them(shared: Served) -> None:
    alert = shared.alert()
    peak = alert["anomalies"][0]
    series_id = peak["series"]["id"]
    answer = shared.client.get(f"/v1/series/{series_id}/points", params={"start": peak["started_at"]}).json()
    assert answer["points"][0]["timestamp"] == peak["started_at"]
    strangest = next(point for point in answer["points"] if point["value"] == peak["actual"])
    assert strangest["value"] < strangest["lower"] < strangest["expected"] < strangest["upper"]
    assert strangest["rarity_weeks"] > 4
    assert answer["series"]["cadence_seconds"] == HOUR


def test_a_series_counts_down_its_warm_up(served: Served) -> None:
    shop = Shop(served.heed)
    shop.send(24, at_once=True)
    young = served.client.get("/v1/series/1").json()
    assert young["learning"] == {
        "text": "1 of 14 days",
        "days": 1,
        "of_days": 14,
        "may_alert": False,
        "reason": "less than 2 days of history",
        "siblings": 0,
    }
    shop.send(24 * 11, at_once=True)
    older = served.client.get("/v1/series").json()["series"][0]
    assert older["learning"]["text"] == "12 of 14 days"
    assert older["learning"]["may_alert"]
    assert older["point_count"] == 24 * 12
    assert older["last_point_at"] == "2026-01-16T23:00:00Z"


@pytest.mark.parametrize("span", [{"start": MONDAY, "end": MONDAY}, {"start": MONDAY - 500 * DAY, "end": MONDAY}])
def test_a_senseless_span_is_refused(shared: Served, span: dict[str, int]) -> None:
    assert shared.client.get("/v1/series/1/points", params=span).status_code == 400


def test_an_alert_says_what_happened_under_the_names_of_the_webhook(shared: Served) -> None:
    alert = shared.alert()
    assert alert["status"] == "firing"
    assert "has moved to a new level" in alert["text"]
    assert alert["url"].startswith(f"{shared.url}/a/")
    assert set(alert["links"]) == {"false_alarm", "real", "event", "new_normal", "bad_data"}
    anomaly = alert["anomalies"][0]
    assert anomaly["direction"] == "down"
    assert anomaly["series"]["dimensions"] == {"country": "DE"}
    assert shared.client.get(f"/v1/alerts/{alert['id']}").json()["title"] == alert["title"]


def test_alerts_are_filtered(shared: Served) -> None:
    alert = shared.alert()

    def found(**params: Any) -> int:
        alerts = shared.client.get("/v1/alerts", params=params).json()["alerts"]
        return sum(each["id"] == alert["id"] for each in alerts)

    assert found(status="firing") == found(status=["firing", "closed"]) == 1
    assert found(status="closed") == 0
    assert found(metric="ord*") == found(dimension="country:DE") == found(series_id=1) == 1
    assert found(metric="visits") == found(dimension="country:FR") == found(series_id=99) == 0
    assert found(start=alert["started_at"]) == 1
    assert found(end=alert["started_at"]) == 0
    assert found(labelled=True) == 0
    assert found(labelled=False) == 1


def test_an_alert_is_acknowledged_by_the_first_one_and_can_be_snoozed(served: Served, alert: dict[str, Any]) -> None:
    with served.as_scope(Scope.ANALYST) as client:
        first = client.post(f"/v1/alerts/{alert['id']}/acknowledge").json()
    assert first["acknowledged_by"] == "a analyst token"
    again = served.client.post(f"/v1/alerts/{alert['id']}/acknowledge").json()
    assert again["acknowledged_by"] == "a analyst token"
    snooze = f"/v1/alerts/{alert['id']}/snooze"
    assert served.client.post(snooze, json={"until": MONDAY}).status_code == 422
    until = "2030-01-01T00:00:00Z"
    assert served.client.post(snooze, json={"until": until}).json()["snoozed_until"] == until


def test_tokens_are_issued_listed_and_revoked_and_shown_only_once(served: Served) -> None:
    issued = served.client.post("/v1/tokens", json={"name": "shop", "scope": "ingest"}).json()
    assert issued["token"].startswith("heed_")
    listed = served.client.get("/v1/tokens")
    assert issued["token"] not in listed.text
    newest = listed.json()["tokens"][0]
    assert (newest["name"], newest["scope"]) == ("shop", "ingest")
    revoked = served.client.delete(f"/v1/tokens/{issued['id']}").json()
    assert revoked["revoked_at"] is not None
    assert served.client.delete(f"/v1/tokens/{issued['id']}").json() == revoked
    assert served.client.delete("/v1/tokens/99").status_code == 404


def test_the_process_says_that_it_lives_and_can_take_work(served: Served) -> None:
    with httpx.Client(base_url=served.url) as anyone:
        assert anyone.get("/healthz").json() == {"status": "ok"}
        assert anyone.get("/readyz").json() == {"status": "ok", "flags": {}}
        served.heed.committer.stop()
        assert anyone.get("/healthz").status_code == 200
        assert anyone.get("/readyz").status_code == 503


def test_metrics_count_points_and_requests_and_name_no_series(served: Served) -> None:
    served.post("a-secret-metric", MONDAY, 1)
    served.client.get("/v1/series/1")
    text = httpx.get(f"{served.url}/metrics").text
    assert 'heed_points_total{outcome="accepted"} 1.0' in text
    assert "heed_series 1.0" in text
    assert 'route="/v1/series/{series_id}"' in text
    assert "a-secret-metric" not in text


def test_every_answer_has_the_security_headers(shared: Served) -> None:
    for path in ("/docs", "/healthz", "/v1/alerts", "/nothing", "/f/forged", "/static/heed.css"):
        answer = httpx.get(shared.url + path)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert "script" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_documentation_shows_every_call_and_loads_nothing_from_elsewhere(shared: Served) -> None:
    page = httpx.get(f"{shared.url}/docs")
    assert page.status_code == 200
    for path in httpx.get(f"{shared.url}/openapi.json").json()["paths"]:
        assert path in page.text
    assert "<script" not in page.text
    assert re.findall(r"https?://", page.text) == []
