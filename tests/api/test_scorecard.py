"""The scorecard and the health of detectors over HTTP, on what really happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.running import HOUR, MONDAY, Shop
from tests.serving import Served

pytestmark = pytest.mark.any_database


def test_the_scorecard_counts_what_was_told_and_what_was_said_of_it(served: Served, alert: dict[str, Any]) -> None:
    before = served.client.get("/v1/scorecard?days=90").json()["total"]
    assert (before["alerts"], before["unanswered"], before["precision"], before["coverage"]) == (1, 1, None, 0.0)
    served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "real"})
    answer = served.client.get("/v1/scorecard?days=90").json()
    total = answer["total"]
    assert (total["alerts"], total["right"], total["wrong"], total["coverage"]) == (1, 1, 0, 1.0)
    assert total["precision"]["value"] == total["recall"]["value"] == 1.0
    assert total["precision"]["low"] < 0.3
    assert total["series"] == 1
    assert total["budget_per_week"] == 0.25
    assert total["median_hours_to_answer"] is not None
    assert [each["name"] for each in answer["groups"]] == ["orders"]


@pytest.mark.usefixtures("alert")
def test_history_that_nobody_is_told_of_was_not_watched(served: Served) -> None:
    """One alert in little more than a live day, after five weeks of history."""
    total = served.client.get("/v1/scorecard?days=90").json()["total"]
    assert 4 < total["alerts_per_week"] < 8
    assert total["over_budget"]


def test_an_answer_that_teaches_nothing_counts_for_nothing(served: Served, alert: dict[str, Any]) -> None:
    answers = {"verdict": "false_alarm", "confirm": True}, {"verdict": "real", "only": ["training"]}
    given = [served.client.post(f"/v1/alerts/{alert['id']}/labels", json=each).json() for each in answers]
    assert "This takes its place on training." in " ".join(given[1]["text"])
    total = served.client.get("/v1/scorecard?days=90").json()["total"]
    assert (total["right"], total["wrong"]) == (0, 1)


def test_an_undone_answer_does_not_count(served: Served, alert: dict[str, Any]) -> None:
    given = served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "false_alarm"}).json()
    assert served.client.get("/v1/scorecard?days=90").json()["total"]["wrong"] == 1
    served.client.delete(f"/v1/labels/{given['label_id']}")
    total = served.client.get("/v1/scorecard?days=90").json()["total"]
    assert (total["wrong"], total["unanswered"], total["coverage"]) == (0, 1, 0.0)


def test_what_a_label_spared_people_is_counted(served: Served) -> None:
    """A fall of a third, called a false alarm, comes again at the same hour a week later."""
    shop = Shop(served.heed)
    shop.has_history()
    served.retrain()
    shop.send(24, at_once=True)
    shop.send(6, factor=0.67)
    alert = served.alert()
    assert served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "false_alarm"}).status_code == 201
    shop.send(7 * 24 - 6, at_once=True)
    shop.send(6, factor=0.67)
    shop.send(24)
    total = served.client.get("/v1/scorecard?days=90").json()["total"]
    assert (total["alerts_not_sent"], total["problems_hidden"]) == (1, 0)


@pytest.mark.usefixtures("alert")
def test_groups_are_by_metric_policy_or_detector(served: Served) -> None:
    policy = {"name": "shop", "matcher": {"metric": "orders"}, "settings": {"alerts_per_week": 3}}
    assert served.client.post("/v1/policies", json=policy).status_code == 201
    for by, name in (("policy", "shop"), ("detector", "seasonal"), ("metric", "orders")):
        (group,) = served.client.get(f"/v1/scorecard?days=90&by={by}").json()["groups"]
        assert (group["name"], group["alerts"], group["budget_per_week"]) == (name, 1, 3.0)


@pytest.mark.usefixtures("alert")
def test_a_detector_says_how_its_series_are(served: Served) -> None:
    Shop(served.heed, metric="newcomer").send(3)
    health = {each["detector"]: each for each in served.client.get("/v1/detector-health?days=90").json()["detectors"]}
    seasonal = health["seasonal"]
    assert (seasonal["series"], seasonal["trained"], seasonal["warming_up"], seasonal["stale"]) == (2, 1, 1, 0)
    assert seasonal["oldest_training"] is not None
    assert seasonal["fell_back"] == 0


def test_a_report_that_somebody_overruled_is_no_miss(served: Served) -> None:
    """The same span called *missed* and then a false alarm: nobody missed anything."""
    shop = Shop(served.heed)
    shop.has_history()
    shop.send(6)

    def hours_ago(hours: int) -> str:
        return datetime.fromtimestamp(MONDAY + HOUR * (shop.clock - hours), UTC).isoformat()

    span = {"series_id": 1, "start": hours_ago(4), "end": hours_ago(2)}
    for verdict, missed in (("missed", 1), ("false_alarm", 0)):
        given = served.client.post("/v1/labels", json=span | {"verdict": verdict, "confirm": True})
        assert given.status_code == 201, given.text
        assert served.client.get("/v1/scorecard?days=90").json()["total"]["missed"] == missed
