"""Gaps over HTTP: one alert for all, nothing learned, and no trace once the late points are in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from app.alerts.rules import Delivery
from tests.running import MONDAY, Shop
from tests.serving import Served

START = datetime.fromtimestamp(MONDAY, UTC)
HISTORY = 4 * 168 + 5  # five in the morning, after the nightly training
COUNTRIES = ("DE", "FR", "GB")


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def told(served: Served, kind: str) -> list[str]:
    alerts = served.client.get(f"/v1/alerts?kind={kind}&limit=200").json()["alerts"]
    return [each["status"] for each in alerts]


def trained_shops(served: Served) -> list[Shop]:
    """Three countries that will lose data, and a twin of the first that will not."""
    shops = [Shop(served.heed, country, seed=seed) for seed, country in enumerate(COUNTRIES, 1)]
    shops.append(Shop(served.heed, "DE", metric="twin", seed=1))
    for shop in shops:
        shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    assert served.retrain()["status"] == "done"
    return shops


def declare(served: Served, **other: Any) -> dict[str, Any]:
    body = {"matcher": {"metric": "orders"}, "start": at(HISTORY), "reason": "the exporter was down"}
    answer = served.client.post("/v1/gaps", json=body | other)
    assert answer.status_code == 201, answer.text
    declared: dict[str, Any] = answer.json()
    return declared


@pytest.mark.any_database
def test_a_day_of_lost_data_sent_late_is_one_alert_and_leaves_no_trace(served: Served) -> None:
    """Guarantee 31."""
    *losing, twin = trained_shops(served)
    for shop in losing:
        shop.send(3, factor=0.05)
    twin.send(3)
    assert told(served, "anomaly") == ["firing"]  # the three of one cause
    gap = declare(served, retrain_when_backfilled=True)
    assert told(served, "anomaly") == ["withdrawn"]
    assert told(served, "data") == ["firing"]

    for shop in losing:
        shop.clock += 21  # nothing comes
    twin.send(21)
    for shop in (*losing, twin):
        shop.send(2)
    served.client.patch(f"/v1/gaps/{gap['id']}", json={"end": at(HISTORY + 24)}).raise_for_status()
    for shop in losing:
        shop.clock -= 26
        shop.send(24, at_once=True)
        shop.clock += 2
    for shop in (*losing, twin):
        shop.send(1)
    (filled,) = served.client.get("/v1/gaps").json()["gaps"]
    assert filled["filled_at"] is not None
    assert filled["retrained_at"] is not None
    retrain = served.client.get("/v1/retrains").json()["retrains"][0]
    assert (retrain["reason"], retrain["status"]) == (f"gap {gap['id']} is filled", "done")
    assert (set(told(served, "anomaly")), told(served, "data")) == ({"withdrawn"}, ["resolved"])
    assert served.retrain("compare")["status"] == "done"
    np.testing.assert_allclose(baseline(served, 1), baseline(served, 4), rtol=0.01)


def baseline(served: Served, series_id: int) -> list[float]:
    """What is expected at each hour of the week."""
    partition = served.heed.committer.partitions[0]
    slot = int(partition.slots_of([series_id])[0])
    model = partition.models[int(partition.columns["model"][slot])]
    row = int(partition.columns["row"][slot])
    profile = model.baseline["profile"][row] * model.baseline["unit"][row] + model.baseline["center"][row]
    return [float(each) for each in profile]


def test_what_bad_data_blanked_is_learned_of_every_series_of_the_alert_once_it_is_sent_again(served: Served) -> None:
    losing = trained_shops(served)[:3]
    for shop in losing:
        shop.send(4, factor=0.05)
    (alert,) = served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
    receipt = served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "bad_data"}).json()
    assert receipt["series_count"] == 3
    for shop in losing:
        shop.clock -= 4
        shop.send(4, at_once=True)
    for shop in losing:
        shop.send(2)
    (gap,) = served.client.get("/v1/gaps").json()["gaps"]
    assert gap["ended_by"] == "points that were sent again"
    retrain = served.client.get("/v1/retrains").json()["retrains"][0]
    assert (retrain["reason"], retrain["series_total"]) == (f"gap {gap['id']} is filled", 3)
    learned = served.client.get(f"/v1/retrains/{retrain['id']}/series").json()["series"]
    assert {each["figures"]["points"] >= HISTORY + 4 for each in learned} == {True}, learned


@pytest.mark.any_database
def test_while_a_gap_lasts_its_series_open_no_alerts(served: Served) -> None:
    *losing, _ = trained_shops(served)
    declare(served)
    for shop in losing:
        shop.send(6, factor=0.05)
    assert (told(served, "anomaly"), told(served, "data")) == ([], ["firing"])


def test_there_was_no_gap_after_all_and_what_was_withdrawn_comes_back(served: Served) -> None:
    shop, *_ = trained_shops(served)
    shop.send(4, factor=0.05)
    gap = declare(served)
    taken = served.client.delete(f"/v1/gaps/{gap['id']}").json()
    assert taken["stands"] is False
    assert (told(served, "anomaly"), told(served, "data")) == (["firing"], ["resolved"])


def test_a_gap_that_ends_before_it_starts_is_refused_with_the_cure(shared: Served) -> None:
    body = {"matcher": {}, "start": at(10), "end": at(9), "reason": "x"}
    answer = shared.client.post("/v1/gaps", json=body)
    assert (answer.status_code, "before `end`" in answer.text) == (422, True)
    assert shared.client.delete("/v1/gaps/999").status_code == 404
    assert shared.client.patch("/v1/gaps/999", json={}).status_code == 404


def test_a_gap_that_is_over_tells_nobody(served: Served) -> None:
    shop, *_ = trained_shops(served)
    shop.send(3, factor=0.05)
    shop.send(1)
    declare(served, end=at(HISTORY + 3))
    assert (told(served, "anomaly"), told(served, "data")) == (["withdrawn"], [])
