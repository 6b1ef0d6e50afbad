"""Guarantee 10: where a detector fails on one series, `basic` judges it from the same points on, and nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.main import Heed
from app.pipeline.attempts import MOST_OVERRUNS, Attempts, UnusableError
from app.pipeline.rescore import score_again
from app.pipeline.retrain import outcome, run_night
from app.pipeline.train import everything, train
from app.pipeline.watch import watches
from app.store import choices
from detectors import registry
from detectors.contract import Fields, Ints, Points, Scores
from detectors.seasonal import Seasonal
from tests.running import HOUR, MONDAY, Shop, alerts, anomalies, posted, running

UNLUCKY = 666.0
WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}
COUNTRIES = ("DE", "FR", "GB")


class Fragile(Seasonal):
    """A detector with a fault that one value brings out."""

    name = "fragile"
    fault: Callable[[Scores, Ints], Scores]

    def __init__(self, fault: Callable[[Scores, Ints], Scores]) -> None:
        self.fault = fault

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        scores, state = super().score(points, baseline, state)
        return self._spoiled(scores, points), state

    def score_in_turn(self, points: Points, steps: int, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        scores, states = super().score_in_turn(points, steps, baseline, state)
        return self._spoiled(scores, points), states

    def _spoiled(self, scores: Scores, points: Points) -> Scores:
        unlucky = np.flatnonzero(points.value == UNLUCKY)
        return self.fault(scores, unlucky) if unlucky.size else scores


def raises(_scores: Scores, _unlucky: Ints) -> Scores:
    raise FloatingPointError("unlucky")


def loops(_scores: Scores, _unlucky: Ints) -> Scores:
    while True:
        pass


UNHUNG = threading.Event()
"""That whatever hangs goes on."""


def hangs(scores: Scores, _unlucky: Ints) -> Scores:
    UNHUNG.wait(120)
    return scores


def says_nan(scores: Scores, unlucky: Ints) -> Scores:
    rarity = scores.rarity.copy()
    rarity[unlucky] = np.nan
    return replace(scores, rarity=rarity)


def says_infinite(scores: Scores, unlucky: Ints) -> Scores:
    expected = scores.expected.copy()
    expected[unlucky] = np.inf
    return replace(scores, expected=expected)


FAULTS = {
    raises: "fragile cannot judge it: FloatingPointError",
    loops: "fragile takes too long",
    hangs: "fragile takes too long",
    says_nan: "fragile gives no usable numbers",
    says_infinite: "fragile gives no usable numbers",
}


@pytest.fixture
def fragile() -> Iterator[Callable[[Callable[[Scores, Ints], Scores]], None]]:
    """Registers a detector with that fault."""
    UNHUNG.clear()
    yield lambda fault: registry.DETECTORS.__setitem__("fragile", Fragile(fault))
    UNHUNG.set()
    registry.DETECTORS.pop("fragile", None)


def watched_by_the_fragile(heed: Heed) -> list[Shop]:
    """Three shops with history, trained by the detector with the fault."""
    shops = [Shop(heed, country, seed=seed) for seed, country in enumerate(COUNTRIES)]
    for shop in shops:
        shop.has_history()
    chosen = dict.fromkeys((1, 2, 3), ("fragile", "it was put there"))
    with heed.database.writing() as session:
        choices.record(session, chosen, heed.clock.now())
    (partition,) = heed.committer.partitions
    partition.choose(np.arange(3), ["fragile"] * 3, partition.newest)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    assert detectors(heed) == ["fragile"] * 3
    return shops


def test_points_of_a_series_that_nobody_was_trained_on_yet_are_not_judged(tmp_path: Path) -> None:
    judged: list[int] = []

    class Watched(Seasonal):
        def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
            judged.append(len(points.row))
            return super().score(points, baseline, state)

    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        partition = heed.committer.partitions[0]
        partition.models[0].detector = Watched()
        shop = Shop(heed)
        shop.has_history()
        assert judged == []
        train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
        shop.send(3)
        assert judged == [1, 1, 1]


def detectors(heed: Heed) -> list[str]:
    return [watch.detector for _, watch in sorted(watches(heed.committer, [1, 2, 3]).items())]


def send(heed: Heed, hour: int, **value_of: float) -> None:
    """One point each of these countries at that hour, in one group."""
    at = np.array([MONDAY + HOUR * hour])
    points = [posted("orders", at, [value], country=country) for country, value in value_of.items()]
    waiting = heed.committer.call(lambda: [heed.committer.submit(each) for each in points])
    assert [each.result(30).accepted for each in waiting] == [1] * len(points)


def reason(heed: Heed) -> str | None:
    with heed.database.reading() as session:
        return choices.reasons(session, [1]).get(1)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
def test_a_series_on_which_its_detector_fails_is_judged_by_basic_and_the_others_on_time(
    fragile: Callable[[object], None], fault: Callable[[Scores, Ints], Scores], tmp_path: Path
) -> None:
    """Guarantee 10: it raises, loops, hangs, or returns NaN or infinity."""
    fragile(fault)
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, **WEBHOOK) as heed:
        shops = watched_by_the_fragile(heed)
        send(heed, shops[0].clock, DE=UNLUCKY, FR=1.0, GB=float(shops[2].values(np.array([shops[2].clock]))[0]))
        assert sorted(alert.title for alert in alerts(heed)) == [
            "orders (country DE) is unusually high",
            "orders (country FR) is unusually low",
        ]
        assert {anomaly.series_id: anomaly.detector for anomaly in anomalies(heed)} == {1: "basic", 2: "fragile"}
        assert detectors(heed) == ["basic", "fragile", "fragile"]
        assert reason(heed) == FAULTS[fault]


@pytest.mark.any_database
def test_a_series_that_fell_back_goes_on_after_a_restart_and_recovers_at_the_next_training(
    fragile: Callable[[object], None], database_url: str, tmp_path: Path
) -> None:
    """Guarantee 10."""
    fragile(raises)
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        hour = watched_by_the_fragile(heed)[0].clock
        send(heed, hour, DE=UNLUCKY)
        before = heed.committer.partitions[0].columns
        before = {name: array[:3].copy() for name, array in before.items()}
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        for name, array in heed.committer.partitions[0].columns.items():
            np.testing.assert_array_equal(array[:3], before[name], err_msg=name)
        assert detectors(heed) == ["basic", "fragile", "fragile"]
        send(heed, hour + 1, DE=UNLUCKY)
        assert [alert.status for alert in alerts(heed)] == ["firing"]
        train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
        assert detectors(heed) == ["fragile"] * 3
        assert reason(heed) == "it was put there"


def test_late_points_that_a_detector_fails_on_make_their_series_fall_back_too(
    fragile: Callable[[object], None], tmp_path: Path
) -> None:
    fragile(raises)
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, **WEBHOOK) as heed:
        shop = watched_by_the_fragile(heed)[0]
        missing = shop.clock
        shop.clock += 1
        shop.send(3)
        send(heed, missing, DE=UNLUCKY)
        assert score_again(heed.committer, heed.clock.now()) == 1
        assert detectors(heed) == ["basic", "fragile", "fragile"]
        assert heed.committer.partitions[0].columns["since_anchor"][0] == 4
        assert [anomaly.detector for anomaly in anomalies(heed)] == ["basic"]


def test_a_night_trains_the_others_where_a_detector_fails_on_one_series(
    fragile: Callable[[object], None], tmp_path: Path
) -> None:
    fragile(raises)
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, **WEBHOOK) as heed:
        shop = watched_by_the_fragile(heed)[0]
        send(heed, shop.clock, DE=UNLUCKY)
        shop.clock += 1
        shop.send(12, at_once=True)  # the anomaly has ended: what it was is learned from
        night = run_night(heed.committer, heed.clock.now())
        assert night is not None
        assert (night.status, night.promoted, night.failed) == ("done", 2, 1)
        assert outcome(night) == "2 trained, 1 kept their old baseline, 1 of them as its detector failed"
        assert detectors(heed) == ["basic", "fragile", "fragile"]


def test_what_fell_back_keeps_its_anchor_for_points_that_come_later_still(
    fragile: Callable[[object], None], tmp_path: Path
) -> None:
    """Scored again from where `basic` began, the state is what it would have been in order."""
    fragile(raises)
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, **WEBHOOK) as heed:
        hour = watched_by_the_fragile(heed)[0].clock
        send(heed, hour, DE=UNLUCKY)
        send(heed, hour + 2, DE=100.0)
        send(heed, hour + 1, DE=100.0)
        assert score_again(heed.committer, heed.clock.now()) == 1
        column = heed.committer.partitions[0].columns
        assert column["anchor_at"][0] == MONDAY + HOUR * (hour - 1)
        assert column["since_anchor"][0] == 3


def test_a_detector_that_hangs_on_every_series_is_given_up_after_a_few() -> None:
    unhung, tried = threading.Event(), []

    def hang(mine: Ints, _beat: Callable[[], None]) -> None:
        tried.append(mine)
        unhung.wait(120)

    slot = np.repeat(np.arange(100), 2)
    attempts = Attempts(hang, slot, "stuck")
    attempts.run(np.arange(200))
    unhung.set()
    assert len(tried) <= MOST_OVERRUNS
    assert attempts.failed == dict.fromkeys(range(100), "stuck takes too long")


def test_only_what_fails_is_left_out_and_every_other_row_is_judged_once() -> None:
    slot = np.random.default_rng(1).integers(0, 1_000, 3_000)
    bad, mute = slot[7], slot[11]

    def judge(mine: Ints, beat: Callable[[], None]) -> Ints:
        beat()
        if (slot[mine] == bad).any():
            raise ZeroDivisionError
        if (slot[mine] == mute).any():
            raise UnusableError(np.array([mute]))
        return mine

    attempts = Attempts(judge, slot, "picky")
    attempts.run(np.arange(slot.size))
    assert attempts.failed == {
        bad: "picky cannot judge it: ZeroDivisionError",
        mute: "picky gives no usable numbers",
    }
    judged = np.sort(np.concatenate(attempts.outcomes))
    np.testing.assert_array_equal(judged, np.flatnonzero(~np.isin(slot, [bad, mute])))
