"""What policies say of series acts on their next point, and outlives a restart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.alerts.message import Reason, sentence
from app.alerts.rules import Delivery
from app.clock import wall_now
from app.main import Heed
from app.pipeline import policies
from app.pipeline.facts import facts_of
from app.pipeline.policies import Draft
from app.pipeline.train import everything, train
from app.store import policies as stored
from app.store.series import Matcher
from detectors.contract import Floats
from tests.running import HOUR, MONDAY, Shop, alerts, anomalies, posted, running


def has_policy(heed: Heed, settings: dict[str, Any], name: str = "shop", **dimensions: list[str]) -> int:
    draft = Draft(name, Matcher("orders", dimensions), settings)

    return heed.committer.change_policies(lambda session: policies.create(session, draft, wall_now())).id


def drop_policy(heed: Heed, policy_id: int) -> None:
    heed.committer.change_policies(lambda session: policies.delete(session, policy_id))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"direction": "up"}, "direction_not_watched"),
        ({"least_relative_change": 0.9}, "below_floor"),
        ({"least_absolute_change": 1_000.0}, "below_floor"),
    ],
)
@pytest.mark.any_database
def test_what_a_policy_does_not_watch_is_kept_with_the_reason_and_told_to_nobody(
    database_url: str, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history()
        policy_id = has_policy(heed, settings)
        shop.send(3, factor=0.4)
        assert alerts(heed) == []
        shop.send(12)
        [kept] = [each for each in anomalies(heed) if each.direction < 0]
        assert kept.outcome == reason
        drop_policy(heed, policy_id)
        shop.send(24)
        shop.send(1, factor=0.4)
        assert len(alerts(heed)) == 1


def test_the_least_change_that_is_news_is_found_from_the_series_unless_a_policy_says_it(tmp_path: Path) -> None:
    """Of some three sign-ups an hour one more is none, whatever the policy of other settings; and it is remembered."""
    hours = 3 * 168
    counts = np.random.default_rng(1).poisson(3.0, hours).astype(float)
    url = f"sqlite:///{tmp_path / 'heed.db'}"
    with running(url, tmp_path) as heed:
        for metric, values in (("orders", counts), ("speed", counts + 0.25)):
            at = MONDAY + HOUR * np.arange(hours)
            heed.committer.submit(posted(metric, at, values), None, Delivery.SILENT).result()
        train(heed.committer, now=heed.clock.now(), reason="history", wanted=everything)
        assert heed.committer.partitions[0].bars(np.arange(2)).absolute == pytest.approx([0.9, 0.0325])
        has_policy(heed, {"direction": "up"})
        assert heed.committer.partitions[0].bar(0).absolute == pytest.approx(0.9)
        has_policy(heed, {"least_absolute_change": 0.0}, name="first")
        heed.committer.change_policies(lambda session: policies.reorder(session, [2, 1]))
    with running(url, tmp_path) as heed:
        assert heed.committer.partitions[0].bars(np.arange(2)).absolute == pytest.approx([0.0, 0.0325])


def test_a_budget_is_of_the_series_that_the_policy_selects_alone(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        shops = [Shop(heed, country, seed=seed) for seed, country in enumerate(("DE", "FR"))]
        for shop in shops:
            shop.has_history()
        has_policy(heed, {"alerts_per_week": 0.001}, country=["DE"])
        partition = heed.committer.partitions[0]
        assert partition.bars(np.arange(2)).threshold == pytest.approx([3.0, 0.602], abs=0.001)
        for shop in shops:
            shop.send(2, factor=0.4)
        thresholds = {each.series_id: each.threshold for each in anomalies(heed)}
        assert sorted(thresholds.values()) == pytest.approx([0.602, 3.0], abs=0.001)


def test_a_new_series_begins_under_the_policies_that_stand(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        has_policy(heed, {"alerts_per_week": 0.01})
        Shop(heed).send(1)
        Shop(heed, metric="signups").send(1)
        assert heed.committer.partitions[0].bars(np.arange(2)).threshold == pytest.approx([2.0, 0.602], abs=0.001)


def test_a_replay_does_not_judge_what_was_before_a_change_by_what_came_after(database_url: str, tmp_path: Path) -> None:
    """The drop was not watched when it came; after the restart the state says so, and its next point tells of it."""
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history()
        policy_id = has_policy(heed, {"direction": "up"})
        shop.send(2, factor=0.4)
        drop_policy(heed, policy_id)
        has_policy(heed, {"alerts_per_week": 0.5})
        life = {name: array.copy() for name, array in heed.committer.partitions[0].life.items()}
    with running(database_url, tmp_path) as heed:
        partition = heed.committer.partitions[0]
        for name, array in life.items():
            np.testing.assert_array_equal(partition.life[name][:1], array[:1], err_msg=name)
        assert partition.bar(0).threshold == pytest.approx(0.301, abs=0.001)
        shop.heed = heed
        shop.send(1, factor=0.4)
        assert len(alerts(heed)) == 1


def detector_of(heed: Heed) -> str:
    """Of the first series, once the jobs that follow an answer are done."""
    partition = heed.committer.partitions[0]
    return heed.committer.call(lambda: partition.models[int(partition.columns["model"][0])].detector.name)


def test_a_policy_names_the_detector_and_without_it_the_comparison_decides_again(
    database_url: str, tmp_path: Path
) -> None:
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history()
        assert detector_of(heed) == "seasonal"
        policy_id = has_policy(heed, {"detector": "basic"})
        shop.send(1)
        assert detector_of(heed) == "basic"
    with running(database_url, tmp_path) as heed:
        shop.heed = heed
        shop.send(1)
        assert detector_of(heed) == "basic"
        drop_policy(heed, policy_id)
        shop.send(1)
        assert detector_of(heed) == "seasonal"


def test_one_fixed_limit_alone_judges_its_side(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history()
        has_policy(heed, {"limits": {"lower": 40.0}})
        shop.send(2)
        shop.send(6, factor=5.0)
        assert (detector_of(heed), alerts(heed)) == ("static", [])
        shop.send(2, factor=0.1)
        assert len(alerts(heed)) == 1


def test_a_little_beyond_a_fixed_limit_is_told_with_the_limit(database_url: str, tmp_path: Path) -> None:
    """Uptime that keeps within half a point of 98 %, and a fortnight of limits that it is a hair within or beyond."""
    with running(database_url, tmp_path) as heed:

        def send(first: int, values: Sequence[float] | Floats, delivery: Delivery | None = None) -> None:
            hours = MONDAY + HOUR * np.arange(first, first + len(values))
            heed.committer.submit(posted("orders", hours, values), None, delivery).result()

        send(0, 98 + np.random.default_rng(1).uniform(-0.5, 0.5, 840), Delivery.SILENT)
        has_policy(heed, {"limits": {"lower": 0.0, "upper": 99.0}})
        send(840, 98 + np.random.default_rng(2).uniform(-0.5, 0.5, 24))
        assert (detector_of(heed), alerts(heed)) == ("static", [])
        send(864, [99.1, 99.2])
        [alert] = alerts(heed)
        assert alert.severity == "warning"
        with heed.database.reading() as session:
            facts = facts_of(session, [alert], heed.links, origin="test", now=wall_now())[alert.id]
        assert "rose to 99.2" in sentence(facts, Reason.FIRING)
        assert sentence(facts, Reason.FIRING).endswith("; its upper limit is 99.")


def test_fixed_limits_judge_and_other_limits_do_from_the_next_point_on(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history()
        has_policy(heed, {"limits": {"lower": 0.0, "upper": 500.0}})
        shop.send(1)  # the change of the detector follows the next point
        assert detector_of(heed) == "static"
        shop.send(6, factor=0.3)
        assert (detector_of(heed), alerts(heed)) == ("static", [])
    with running(database_url, tmp_path) as heed:
        shop.heed = heed
        shop.send(6, factor=0.3)
        assert alerts(heed) == []
        [row] = heed.committer.change_policies(stored.in_order)
        draft = Draft("shop", Matcher("orders"), {"limits": {"lower": 90.0}})
        heed.committer.change_policies(lambda session: policies.replace(session, row.id, draft, wall_now()))
        shop.send(1, factor=0.3)
        assert len(alerts(heed)) == 1
