"""Each series gets the detector that did best on its own past, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.choose import AGAIN_AFTER_DAYS, choose_detectors
from app.pipeline.train import everything, train
from app.pipeline.watch import watches
from app.store import choices
from detectors import choice
from detectors.contract import Fields, History
from detectors.seasonal import Seasonal
from tests.running import HOUR, MONDAY, WEEK, Shop, posted, running


class Faulty(Seasonal):
    """Cannot be trained."""

    def fit(self, history: History) -> tuple[Fields, Fields]:
        raise ArithmeticError("no")


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path) as heed:
        has_two_series(heed)
        yield heed


def test_single_events_get_the_detector_for_counts_and_the_reason_is_kept(heed: Heed) -> None:
    compare_and_train(heed)
    assert detectors(heed) == {1: "seasonal", 2: "counts"}
    assert reasons(heed)[1].startswith("the default: ")
    assert reasons(heed)[2].startswith("single events")


def test_a_series_is_compared_again_only_after_weeks(heed: Heed) -> None:
    compare_and_train(heed)
    now = heed.clock.now()
    assert choose_detectors(heed.committer, now=now + timedelta(days=1), budget_ms=0) == 0
    assert choose_detectors(heed.committer, now=now + timedelta(days=AGAIN_AFTER_DAYS), budget_ms=0) == 2


def test_a_series_is_not_compared_before_it_has_learned(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        Shop(heed).has_history(weeks=1)
        assert compare_and_train(heed) == 0
        assert reasons(heed) == {}


def test_what_was_chosen_outlives_a_restart(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        has_two_series(heed)
        compare_and_train(heed)
    with running(database_url, tmp_path) as heed:
        assert detectors(heed) == {1: "seasonal", 2: "counts"}
        train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
        assert detectors(heed) == {1: "seasonal", 2: "counts"}
        assert choose_detectors(heed.committer, now=heed.clock.now(), budget_ms=0) == 0


def test_a_series_that_cannot_be_trained_falls_back_with_the_reason_until_it_can(heed: Heed) -> None:
    """Guarantee 10."""
    model = heed.committer.partitions[0].models[0]
    well, model.detector = model.detector, Faulty()
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    assert detectors(heed)[1] == "basic"
    assert reasons(heed)[1] == "seasonal could not be trained: ArithmeticError"
    model.detector = well
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    assert detectors(heed)[1] == "seasonal"
    assert "could not" not in reasons(heed)[1]


def test_a_night_compares_so_many_series_and_spends_its_budget_once_and_only_on_what_was_tried(tmp_path: Path) -> None:
    """Half-hourly refunds come first and try nothing dear; of two series that earn it, the budget pays for one."""
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        for number, cadence in enumerate((HOUR // 2, HOUR, 2 * HOUR)):
            times = MONDAY + cadence * np.arange(3 * WEEK // cadence)
            noise = np.random.default_rng(number)
            tide = 100 + 20 * np.sin(2 * np.pi * times / (31 * HOUR)) + noise.normal(0, 1, times.size)
            values = tide if number else noise.poisson(0.5, times.size).astype(float)
            heed.committer.submit(posted(f"metric {number}", times, values), None, Delivery.SILENT).result()
        later = heed.clock.now() + timedelta(days=AGAIN_AFTER_DAYS)
        assert choose_detectors(heed.committer, now=later, budget_ms=2 * choice.COST_MS["decomposed"]) == 3
        with heed.database.reading() as session:
            chosen = choices.judges(session, [1, 2, 3], fall_back="")
        assert sorted(chosen.values()) == ["counts", "decomposed", "seasonal"]
        later += timedelta(days=AGAIN_AFTER_DAYS)
        assert choose_detectors(heed.committer, now=later, budget_ms=0, most=2) == 2
        assert choose_detectors(heed.committer, now=later, budget_ms=0, most=2) == 1


def test_the_night_compares_by_itself(heed: Heed) -> None:
    times = MONDAY + HOUR * np.arange(4 * 168, 4 * 168 + 30)
    heed.committer.submit(posted("orders", times, np.full(30, 100.0)), None, Delivery.SILENT).result()
    heed.committer.call(lambda: None)
    assert detectors(heed)[2] == "counts"


def has_two_series(heed: Heed) -> None:
    """Four weeks of orders with a season, and of refunds that come singly."""
    Shop(heed).has_history(weeks=4)
    times = MONDAY + HOUR * np.arange(4 * 168)
    refunds = np.random.default_rng(2).poisson(0.5, times.size).astype(float)
    heed.committer.submit(posted("refunds", times, refunds), None, Delivery.SILENT).result()


def compare_and_train(heed: Heed) -> int:
    now = heed.clock.now()
    compared = choose_detectors(heed.committer, now=now, budget_ms=0)
    train(heed.committer, now=now, reason="test", wanted=everything)
    return compared


def detectors(heed: Heed) -> dict[int, str]:
    return {series_id: watch.detector for series_id, watch in watches(heed.committer, [1, 2]).items()}


def reasons(heed: Heed) -> dict[int, str]:
    with heed.database.reading() as session:
        return choices.reasons(session, [1, 2])
