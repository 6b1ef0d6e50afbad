"""Verdicts over HTTP: receipts, dry runs, undo."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.security import Scope
from tests.serving import Served


def label(served: Served, alert: dict[str, Any], **body: Any) -> Any:
    return served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "false_alarm"} | body)


def test_a_verdict_acts_and_answers_with_a_receipt(served: Served, alert: dict[str, Any]) -> None:
    answer = label(served, alert, comment="a bank holiday")
    assert answer.status_code == 201
    receipt = answer.json()
    assert receipt["action"] == "labelled"
    assert receipt["threshold"]["after"] > receipt["threshold"]["before"]
    assert receipt["text"]
    assert receipt["undo_url"].startswith(f"{served.url}/u/")
    after = served.client.get(f"/v1/alerts/{alert['id']}").json()
    assert after["status"] == "closed"
    assert after["labels"][0]["comment"] == "a bank holiday"
    assert after["labels"][0]["author"] == "HEED_ADMIN_TOKEN"


def test_a_dry_run_answers_with_the_receipt_and_changes_nothing(shared: Served) -> None:
    alert = shared.alert()
    by_body = label(shared, alert, dry_run=True)
    by_query = shared.client.post(f"/v1/alerts/{alert['id']}/labels?dry_run=true", json={"verdict": "false_alarm"})
    assert by_body.status_code == by_query.status_code == 200
    assert by_body.json()["action"] == by_query.json()["action"] == "would_label"
    assert shared.client.get("/v1/labels").json()["labels"] == []
    assert shared.client.get(f"/v1/alerts/{alert['id']}").json()["status"] == "firing"


def test_an_undone_label_is_listed_as_revoked(served: Served, alert: dict[str, Any]) -> None:
    label_id = label(served, alert).json()["label_id"]
    assert served.client.delete(f"/v1/labels/{label_id}?dry_run=true").json()["action"] == "would_undo"
    assert served.client.get("/v1/labels?stands=true").json()["labels"][0]["id"] == label_id
    undone = served.client.delete(f"/v1/labels/{label_id}")
    assert undone.status_code == 200
    assert undone.json()["action"] == "undone"
    assert served.client.get("/v1/labels?stands=true").json()["labels"] == []
    assert served.client.get("/v1/labels?stands=false").json()["labels"][0]["revoked_by"] == "HEED_ADMIN_TOKEN"
    assert served.client.delete("/v1/labels/99").status_code == 404


def test_the_same_idempotency_key_gives_one_label_and_the_same_receipt(served: Served, alert: dict[str, Any]) -> None:
    path, verdict = f"/v1/alerts/{alert['id']}/labels", {"verdict": "real"}
    first = served.client.post(path, json=verdict, headers={"Idempotency-Key": "k"})
    again = served.client.post(path, json=verdict, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["label_id"] == again.json()["label_id"]
    assert len(served.client.get("/v1/labels").json()["labels"]) == 1


def test_the_same_idempotency_key_with_another_request_is_refused_and_labels_nothing(
    served: Served, alert: dict[str, Any]
) -> None:
    path, verdict, once = f"/v1/alerts/{alert['id']}/labels", {"verdict": "real"}, {"Idempotency-Key": "k"}
    span = {"series_id": 1, "start": alert["started_at"], "end": alert["started_at"]}
    assert served.client.post(path, json=verdict, headers=once).status_code == 201
    for other_path, body in (
        (path, {"verdict": "false_alarm"}),
        (path, verdict | {"comment": "a till was down"}),
        ("/v1/labels", span | {"verdict": "real"}),
    ):
        refused = served.client.post(other_path, json=body, headers=once)
        assert (refused.status_code, "Send a new key" in refused.text) == (422, True), refused.text
    assert served.client.post(path, json=verdict | {"confirm": True}, headers=once).status_code == 200
    assert len(served.client.get("/v1/labels").json()["labels"]) == 1
    with served.as_scope(Scope.ANALYST) as another:
        assert another.post(path, json={"verdict": "false_alarm"}, headers=once).status_code == 201


def test_a_span_of_a_series_can_be_labelled(served: Served, alert: dict[str, Any]) -> None:
    anomaly = alert["anomalies"][0]
    span = {"series_id": anomaly["series"]["id"], "start": anomaly["started_at"], "end": "2026-02-10T12:00:00Z"}
    answer = served.client.post("/v1/labels", json=span | {"verdict": "real"})
    assert answer.status_code == 201
    listed = served.client.get("/v1/labels", params={"series_id": span["series_id"], "verdict": "real"}).json()[
        "labels"
    ]
    assert listed[0]["started_at"] == span["start"]
    assert served.client.post("/v1/labels", json=span | {"verdict": "real", "series_id": 99}).status_code == 404


def test_what_is_to_come_is_not_labelled_and_more_than_a_month_is_asked_about(
    served: Served, alert: dict[str, Any]
) -> None:
    began = datetime.fromisoformat(alert["started_at"])

    def label_span(start: datetime, end: datetime, **more: Any) -> Any:
        span = {"verdict": "real", "series_id": 1, "start": start.isoformat(), "end": end.isoformat()}
        return served.client.post("/v1/labels", json=span | more)

    ahead = label_span(began, began + timedelta(days=365), confirm=True)
    assert (ahead.status_code, "that has passed" in ahead.text) == (422, True), ahead.text
    long = began - timedelta(days=32), began
    asked = label_span(*long)
    assert (asked.status_code, asked.json()["confirm"], "a month" in asked.text) == (409, True, True), asked.text
    assert served.client.get("/v1/labels").json()["labels"] == []
    assert label_span(*long, dry_run=True).status_code == 200
    assert label_span(*long, confirm=True).status_code == 201
    assert label_span(began, began + timedelta(hours=20)).status_code == 201  # to the end of the day


@pytest.mark.parametrize(
    "body",
    [
        {"verdict": "perhaps"},
        {"verdict": None},
        {"comment": "x" * 2001},
        {"comment": "\x00"},
        {"comment": 7},
        {"dry_run": "yes"},
        {"unknown": 1},
    ],
)
def test_a_wrong_label_is_refused(shared: Served, body: dict[str, Any]) -> None:
    assert label(shared, {"id": 1}, **body).status_code == 422


def test_labels_are_paged(served: Served, alert: dict[str, Any]) -> None:
    for verdict in ("real", "false_alarm", "real"):
        label(served, alert, verdict=verdict)
    first = served.client.get("/v1/labels?limit=2").json()
    rest = served.client.get("/v1/labels", params={"limit": 2, "cursor": first["next"]}).json()
    assert [each["id"] for each in first["labels"] + rest["labels"]] == [3, 2, 1]
    assert rest["next"] is None


def test_an_analyst_may_label_and_a_producer_may_not(served: Served, alert: dict[str, Any]) -> None:
    path = f"/v1/alerts/{alert['id']}/labels"
    with served.as_scope(Scope.INGEST) as producer, served.as_scope(Scope.ANALYST) as analyst:
        assert producer.post(path, json={"verdict": "real"}).status_code == 403
        assert analyst.post(path, json={"verdict": "real"}).status_code == 201
