"""What to expect of series, asked before anything is watched."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from app.security import Scope
from tests.running import DAY, HOUR, MONDAY
from tests.serving import Served

WEEKS = 6
FIRST = 700_000_000
"""In 1992: no point may be much older."""


def weekly_orders(hours: int = WEEKS * 168, metric: str = "orders", seed: int = 1) -> dict[str, Any]:
    """Hourly orders with a clear day and week and 3 % noise, as columns."""
    hour = np.arange(hours)
    weekend = np.where(hour // 24 % 7 >= 5, 0.7, 1.0)
    values = (500 + 300 * np.sin(2 * np.pi * hour / 24)) * weekend
    values = values * (1 + 0.03 * np.random.default_rng(seed).normal(size=hours))
    return {"metric": metric, "timestamps": (MONDAY + HOUR * hour).tolist(), "values": values.round(1).tolist()}


def assessed(served: Served, body: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = served.client.post(f"/v1/assessments{query}", json=body)
    assert answer.status_code == 200, answer.text
    assessments: list[dict[str, Any]] = answer.json()["assessments"]
    return assessments


def test_a_posted_history_is_assessed_and_not_kept(shared: Served) -> None:
    before = shared.client.get("/v1/series").json()
    (one,) = assessed(shared, {"series": [weekly_orders(metric="never-seen")]}, "?alerts_per_week=1")
    assert one["advice"] == "watch"
    assert one["season"] == "weekly"
    assert one["predictability"] > 0.6
    assert one["series"] == {"id": None, "metric": "never-seen", "dimensions": {}}
    assert one["days_still_needed"] == 0
    assert {(each["kind"], each["within_points"]) for each in one["smallest_changes"]} == {
        (kind, points) for kind in ("drop", "spike") for points in (1, 3, 24)
    }
    assert 1.0 in [each["budget"] for each in one["expected_alerts"]]
    assert {each["reason"] for each in one["smallest_changes"]} == {None}
    assert all(each["trials"] >= 10 for each in one["smallest_changes"])
    assert len(one["fixed_limit_changes"]) == 6
    assert shared.client.get("/v1/series").json() == before


def test_series_that_are_stored_are_assessed_by_a_matcher(shared: Served) -> None:
    (one,) = assessed(shared, {"matcher": {"metric": "ord*", "dimensions": {"country": ["DE"]}}})
    assert one["series"]["id"] == 1
    assert one["cadence_seconds"] == HOUR
    assert one["days_of_history"] >= 35
    assert one["would_be_alerts"], "orders fell at the end of this history"
    assert assessed(shared, {"matcher": {"metric": "no-such"}}) == []


def test_the_events_behind_a_posted_ratio_count(shared: Served) -> None:
    """What is seen is not the same where nobody says that the nights have few."""
    hour = np.arange(WEEKS * 168)
    events = np.where(hour % 24 < 6, 20, 20_000)
    rate = np.random.default_rng(3).binomial(events, 0.05) / events
    ratio = {"metric": "conversion", "timestamps": (MONDAY + HOUR * hour).tolist(), "values": rate.tolist()}
    (known,), (unknown,) = (
        assessed(shared, {"series": [each]}) for each in (ratio | {"weights": events.tolist()}, ratio)
    )
    shares = [one["smallest_changes"] for one in (known, unknown)]
    assert shares[0] != shares[1]


def test_white_noise_is_answered_with_a_fixed_limit(shared: Served) -> None:
    noise = weekly_orders() | {"values": np.random.default_rng(3).normal(100, 5, WEEKS * 168).tolist()}
    (one,) = assessed(shared, {"series": [noise]})
    assert one["advice"] == "fixed_limit"
    assert "fixed limit" in one["recommendation"]


@pytest.mark.parametrize(("events_an_hour", "outages"), [(0.3, True), (0.05, False)])
def test_a_change_that_is_not_seen_has_a_reason(shared: Served, events_an_hour: float, outages: bool) -> None:
    """A day's silence is a loss where seven events are missing, and none where one is."""
    rare = weekly_orders() | {"values": np.random.default_rng(3).poisson(events_an_hour, WEEKS * 168).tolist()}
    (one,) = assessed(shared, {"series": [rare]})
    unseen = {each["reason"] for each in one["smallest_changes"] if each["share"] is None}
    assert unseen == {"even the largest that was tried is missed"}
    assert any(each["share"] == 1.0 for each in one["smallest_changes"]) == outages
    assert ("outage" in one["recommendation"]) == outages


def test_too_little_history_is_told_with_the_days_that_are_missing(shared: Served) -> None:
    (one,) = assessed(shared, {"series": [weekly_orders(hours=30)]})
    assert one["advice"] == "wait"
    assert one["days_still_needed"] == 13
    assert one["smallest_changes"] == []


def test_any_format_of_points_is_read_in_any_order(shared: Served) -> None:
    columns = weekly_orders()
    rows = [f"orders,{time},{value}" for time, value in zip(columns["timestamps"], columns["values"], strict=True)]
    csv = "\n".join(["metric,timestamp,value", *reversed(rows)]).encode()
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip"}
    answer = shared.client.post("/v1/assessments", content=gzip.compress(csv), headers=headers)
    assert answer.json()["assessments"] == assessed(shared, {"series": [columns]})


def test_the_page_has_pictures_and_no_script(shared: Served) -> None:
    answer = shared.client.post(
        "/v1/assessments", json={"series": [weekly_orders(metric="<script>")]}, headers={"Accept": "text/html"}
    )
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in answer.headers["content-security-policy"]
    assert answer.text.count('role="img"') == 4  # the history, drops, spikes, the week
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_the_page_has_a_line_on_special_days(shared: Served) -> None:
    orders = weekly_orders(hours=26 * 168)
    is_last = [datetime.fromtimestamp(time + DAY, UTC).day == 1 for time in orders["timestamps"]]
    values = (np.array(orders["values"]) * np.where(is_last, 1.5, 1.0)).tolist()
    body = {"series": [orders | {"values": values}]}
    (one,) = assessed(shared, body, "?country=DE")
    assert [each["which"] for each in one["monthly"]] == ["last day of the month"]
    assert one["holidays"]["days"] == 5
    page = shared.client.post("/v1/assessments?country=DE", json=body, headers={"Accept": "text/html"}).text
    assert "Last day of the month: " in page
    assert "Public holidays: " in page


@pytest.mark.parametrize(
    ("body", "query", "status", "told"),
    [
        ({}, "", 400, "points"),
        ({"matcher": {"metrics": "orders"}}, "", 422, "matcher"),
        ({"matcher": {}, "points": []}, "", 422, "matcher"),
        ({"points": []}, "", 422, "nothing was assessed"),
        ({"points": [{"metric": "a", "timestamp": "soon", "value": 1}]}, "", 422, "index 0"),
        ({"points": [{"metric": "a", "timestamp": MONDAY, "value": 1}]}, "?timezone=Shire", 422, "time zone"),
        ({"matcher": {}}, "?alerts_per_week=0", 422, "alerts_per_week"),
        ({"matcher": {}}, "?limit=21", 422, "limit"),
        (
            {"series": [{"metric": f"m{n}", "timestamps": [MONDAY], "values": [1]} for n in range(21)]},
            "",
            413,
            "At most 20",
        ),
    ],
)
def test_what_cannot_be_assessed_is_refused_with_the_cure(
    shared: Served, body: dict[str, Any], query: str, status: int, told: str
) -> None:
    answer = shared.client.post(f"/v1/assessments{query}", json=body)
    assert answer.status_code == status, answer.text
    assert told in answer.text


@pytest.mark.parametrize(
    "points",
    [
        {"timestamps": [FIRST, FIRST + 1, FIRST + 2, MONDAY], "values": [1, 2, 3, 4]},
        {"timestamps": [MONDAY], "values": [None]},
        {"timestamps": [MONDAY + n * DAY for n in range(60)], "values": [9e29, -9e29] * 30},
        {"timestamps": [FIRST + n * 60 * DAY for n in range(40)], "values": [5] * 40},
    ],
    ids=["far apart", "missing", "huge", "slow"],
)
def test_odd_histories_are_answered(shared: Served, points: dict[str, Any]) -> None:
    headers = {"Accept": "text/html"}
    body = {"series": [{"metric": "odd"} | points]}
    assert shared.client.post("/v1/assessments", json=body, headers=headers).status_code == 200
    (one,) = assessed(shared, body)
    assert msgspec.json.encode(one)


def test_whoever_may_only_post_points_may_not_ask(shared: Served) -> None:
    client: httpx.Client
    with shared.as_scope(Scope.INGEST) as client:
        assert client.post("/v1/assessments", json={"matcher": {}}).status_code == 403
