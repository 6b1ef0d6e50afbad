"""Flags over HTTP: set for a reason, acting from the next point on, and back again without a loss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.main import Heed
from app.security import Scope
from app.store import flags as stored
from app.store.flags import FLAGS, FlagName
from detectors.contract import Fields
from tests.receiver import Receiver, receiving
from tests.running import Shop
from tests.serving import Served, serving

pytestmark = pytest.mark.any_database

HISTORY = 5 * 168 + 5
SEEN = {"level", "last", "last_deviation", "run", "rise", "fall", "timestamp"}
"""What a detector remembers of the points before the next one, learned or not."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def put(served: Served, name: str, state: str, **more: Any) -> dict[str, Any]:
    answer = served.client.put(f"/v1/flags/{name}", json={"state": state, "reason": "a test", **more})
    assert answer.status_code == 200, answer.text
    flag: dict[str, Any] = answer.json()
    return flag


def has_learned(served: Served, country: str = "DE") -> Shop:
    """A shop trained at five in the morning, so that no night lies between that and the points."""
    shop = Shop(served.heed, country=country)
    shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    assert served.retrain()["status"] == "done"
    return shop


def detector(served: Served) -> str:
    return str(served.client.get("/v1/series/1").json()["detector"])


def points(served: Served, last: int) -> list[dict[str, Any]]:
    span = {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}
    found: list[dict[str, Any]] = served.client.get("/v1/series/1/points", params=span).json()["points"]
    return found[-last:]


def learned(heed: Heed, slot: int = 0) -> Fields:
    """Baseline and state of the series' own detector."""

    def look() -> Fields:
        partition = heed.committer.partitions[0]
        model = partition.models[int(partition.columns["model"][slot])]
        row = int(partition.columns["row"][slot])
        return {name: array[row].copy() for part in (model.baseline, model.state) for name, array in part.items()}

    return heed.committer.call(look)


def same(one: Fields, other: Fields) -> bool:
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_every_flag_is_usual_until_somebody_sets_it(served: Served) -> None:
    flags = served.client.get("/v1/flags").json()["flags"]
    assert [flag["name"] for flag in flags] == [str(name) for name in FLAGS]
    assert all(flag["state"] == flag["usual"] and flag["reason"] is None for flag in flags)
    assert served.client.get("/readyz").json()["flags"] == {}


def test_a_flag_says_who_set_it_why_and_since_when_and_keeps_its_history(served: Served) -> None:
    with served.as_scope(Scope.OPS) as ops:
        answer = ops.put("/v1/flags/detector", json={"state": "basic", "reason": "it floods the channel"})
    flag = answer.json()
    assert (flag["state"], flag["reason"], flag["author"]) == ("basic", "it floods the channel", "a ops token")
    assert served.client.get("/readyz").json()["flags"] == {"detector": "basic"}
    text = served.client.get("/metrics").text
    assert 'heed_flag{flag="detector",state="basic"} 1.0' in text
    assert 'heed_flag{flag="notifications",state="held"} 0.0' in text
    put(served, "detector", "basic", reason="still does")
    back = served.client.delete("/v1/flags/detector").json()
    assert (back["state"], back["since"], len(back["history"])) == ("chosen", None, 1)
    assert (back["history"][0]["reason"], back["history"][0]["ended_by"]) == ("still does", "HEED_ADMIN_TOKEN")
    actions = [entry["action"] for entry in served.client.get("/v1/audit").json()["entries"]]
    assert actions == ["flag_detector_chosen", "flag_detector_basic", "flag_detector_basic"]
    assert served.client.delete("/v1/flags/detector").status_code == 200
    assert len(served.client.get("/v1/audit").json()["entries"]) == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "cure"),
    [
        ("sound", {"state": "on", "reason": "x"}, 404, "there are detector, notifications, learning, feedback"),
        ("detector", {"state": "clever", "reason": "x"}, 422, "`chosen` or `basic`"),
        ("detector", {"state": "basic"}, 422, "reason"),
        ("detector", {"state": "basic", "reason": "x", "until": "2020-01-01T00:00:00Z"}, 422, "a time to come"),
    ],
)
def test_what_a_flag_cannot_be_is_refused_with_the_cure(
    shared: Served, path: str, body: dict[str, Any], status: int, cure: str
) -> None:
    answer = shared.client.put(f"/v1/flags/{path}", json=body)
    assert answer.status_code == status
    assert cure in answer.text


def test_only_ops_may_set_a_flag_and_an_analyst_may_read_it(served: Served) -> None:
    with served.as_scope(Scope.ANALYST) as analyst:
        assert analyst.get("/v1/flags/detector").status_code == 200
        assert analyst.put("/v1/flags/detector", json={"state": "basic", "reason": "x"}).status_code == 403


def test_the_basic_detector_judges_from_the_next_point_on_and_the_baseline_is_kept(served: Served) -> None:
    shop = has_learned(served)
    shop.send(3)
    before = learned(served.heed)
    put(served, "detector", "basic")
    shop.send(1)
    assert detector(served) == "basic"
    assert same(before, learned(served.heed))
    served.client.delete("/v1/flags/detector")
    assert detector(served) == "seasonal"


def test_back_at_its_own_detector_a_series_is_judged_as_if_it_had_never_been_away(served: Served) -> None:
    away, stayed = has_learned(served), has_learned(served, country="FR")
    put(served, "detector", "basic")
    away.send(12)
    served.client.delete("/v1/flags/detector")
    stayed.send(12)
    away.send(5)
    stayed.send(5)
    one, other = learned(served.heed, 0), learned(served.heed, 1)
    assert {name for name in one if not np.allclose(one[name], other[name], equal_nan=True)} == set()


def test_an_outage_is_told_by_the_basic_detector_and_says_so(served: Served) -> None:
    shop = has_learned(served)
    put(served, "detector", "basic")
    shop.send(2)
    shop.send(6, factor=0.1)
    alert = served.alert()
    assert alert["anomalies"][0]["detector"] == "basic"
    assert any("Basic" in remark for remark in alert["remarks"])
    page = served.client.get(alert["url"])
    assert "Every series is judged by the basic detector" in page.text
    assert "a test" in page.text


def test_series_with_fixed_limits_keep_them_while_the_basic_detector_judges(served: Served) -> None:
    limits = {"limits": {"lower": 10.0}}
    served.client.post("/v1/policies", json={"name": "all", "settings": limits})
    shop = has_learned(served)
    assert detector(served) == "static"
    put(served, "detector", "basic")
    shop.send(1)
    assert detector(served) == "static"


def test_late_points_are_judged_again_by_what_judges_now_and_not_behind_the_change(served: Served) -> None:
    shop = has_learned(served)
    shop.send(4)
    before = points(served, 4)
    put(served, "detector", "basic")
    shop.send(4)
    shop.clock -= 2
    shop.send(2, factor=1.2)
    served.client.delete("/v1/flags/detector")
    after = points(served, 8)
    assert after[:4] == before
    assert after[6]["value"] != pytest.approx(shop.values(np.array([shop.clock - 2]))[0])
    assert [point["rarity_weeks"] is not None for point in after] == [True] * 8


def test_frozen_learning_leaves_every_baseline_as_it_is(served: Served) -> None:
    shop = has_learned(served)
    put(served, "learning", "frozen")
    before = learned(served.heed)
    shop.send(30, factor=1.02)
    assert served.client.post("/v1/retrains", json={"reason": "now"}).status_code == 409
    after = learned(served.heed)
    assert {name for name in before if not np.array_equal(before[name], after[name], equal_nan=True)} <= SEEN
    served.client.delete("/v1/flags/learning")
    assert served.retrain("now")["counts"]["promoted"] == 1
    assert not same(before, learned(served.heed))


def test_what_people_answered_does_not_count_while_feedback_is_ignored(served: Served, alert: dict[str, Any]) -> None:
    served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "false_alarm"})
    partition = served.heed.committer.partitions[0]
    taught = float(partition.tolerance_down[0])
    assert taught > 0
    put(served, "feedback", "ignored")
    assert float(partition.tolerance_down[0]) == 0
    assert len(served.client.get("/v1/labels").json()["labels"]) == 1
    served.client.delete("/v1/flags/feedback")
    assert float(partition.tolerance_down[0]) == pytest.approx(taught, rel=1e-3)


FELL = "orders (country {}) is unusually low"


def test_held_notifications_are_told_once_where_they_last_and_counted_where_they_are_over(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    settings = {"webhook_url": receiver.url, "allow_private_targets": "127.0.0.0/8", "alerts_per_week": 0.01}
    with serving(database_url, tmp_path, **settings) as served:
        apart = {"name": "apart", "matcher": {}, "settings": {"group_by": ["series"]}}
        assert served.client.post("/v1/policies", json=apart).status_code == 201
        over, lasting, told = (has_learned(served, country) for country in ("DE", "FR", "GB"))
        told.send(4, factor=0.3)
        first = receiver.wait_for(1)[0].json
        put(served, "notifications", "held")
        over.send(3, factor=0.3)
        for shop in (over, told, lasting):
            shop.send(13)
        lasting.send(3, factor=0.3)
        assert len(served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]) == 3
        assert len(receiver.requests) == 1
        served.client.delete("/v1/flags/notifications")
        news = [each.json for each in receiver.wait_for(4)[1:]]
        served.settle()
    said = sorted((str(each["status"]), str(each["title"])) for each in news)
    assert said == [
        ("firing", "Notifications were held back for 1 minute. Meanwhile 1 alert was over: " + FELL.format("DE")),
        ("firing", FELL.format("FR")),
        ("resolved", str(first["title"])),
    ]
    assert len(receiver.requests) == 4


def test_a_flag_goes_back_by_itself_when_its_time_is_over(served: Served) -> None:
    shop = has_learned(served)
    put(served, "detector", "basic", until=(wall_now() + timedelta(hours=1)).isoformat())
    shop.send(1)
    assert detector(served) == "basic"
    with served.heed.database.writing() as session:
        stored.standing(session)[FlagName.DETECTOR].until = wall_now()
    assert served.client.get("/v1/flags/detector").json()["state"] == "chosen"
    shop.send(2)
    assert detector(served) != "basic"
    [past] = served.client.get("/v1/flags/detector").json()["history"]
    assert past["ended_by"] is None


def test_a_flag_that_another_process_set_acts_within_seconds(served: Served) -> None:
    shop = has_learned(served)
    with served.heed.database.writing() as session:
        stored.put(session, FlagName.DETECTOR, state="basic", reason="a test", author="ops", until=None, now=wall_now())
    shop.send(2)  # the first one makes the look at the flags due
    assert detector(served) == "basic"


def test_a_flag_outlives_a_restart_and_the_detectors_catch_up_after_it(served: Served) -> None:
    away, stayed = has_learned(served), has_learned(served, country="FR")
    put(served, "detector", "basic")
    away.send(4)
    served.heed.committer.call(lambda: served.heed.committer.reload(0))
    away.send(4)
    assert detector(served) == "basic"
    served.client.delete("/v1/flags/detector")
    stayed.send(8)
    one, other = learned(served.heed, 0), learned(served.heed, 1)
    assert {name for name in one if not np.allclose(one[name], other[name], equal_nan=True)} == set()
