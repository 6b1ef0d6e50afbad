"""Late points and corrections are scored again, as if all points had come in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.learn import label_alert
from app.pipeline.rescore import _begin, _finish, _slice, score_again
from app.pipeline.train import everything, fold, train
from app.store.points import read_points
from app.store.tables import Alert, Anomaly, Series
from tests.pipeline.test_recover import fields_of
from tests.running import HOUR, MONDAY, Shop, alerts, anomalies, notification_reasons, posted, running

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}
WEEKS = 3
DAY_HOURS = 22
FIRST = WEEKS * 168 + 5  # a day that has no nightly training within


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        yield heed


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[int], list[list[int]], int, float]:
    """The hours of a strange stretch, all hours in any order and grouping, and which one is first sent wrong."""
    start = draw(st.integers(2, DAY_HOURS - 8))
    strange = list(range(start, start + draw(st.integers(0, 6))))
    order = draw(st.permutations(range(DAY_HOURS)))
    cuts = sorted(draw(st.sets(st.integers(1, DAY_HOURS - 1), max_size=6)))
    groups = [order[i:j] for i, j in zip([0, *cuts], [*cuts, DAY_HOURS], strict=True)]
    return strange, groups, draw(st.integers(0, DAY_HOURS - 1)), draw(st.sampled_from([0.2, 1.0, 3.0]))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals())
@pytest.mark.any_database
def test_any_order_of_arrival_ends_as_the_sorted_one(
    heed: Heed, given_arrivals: tuple[list[int], list[list[int]], int, float]
) -> None:
    """Guarantee 5: state, stored scores, anomalies and alerts."""
    strange, groups, corrected, wrong = given_arrivals
    with heed.database.reading() as session:
        number = session.scalar(sa.select(sa.func.count()).select_from(Series)) or 0
    sorted_shop, shuffled = (Shop(heed, country=f"{way}{number}") for way in ("sorted", "shuffled"))
    for shop in (sorted_shop, shuffled):
        shop.send(FIRST, at_once=True, delivery=Delivery.SILENT)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=lambda p: np.array([number, number + 1]))
    value = np.where(np.isin(np.arange(DAY_HOURS), strange), 0.3, 1.0)
    for hour in range(DAY_HOURS):
        send(sorted_shop, [hour], value)
    send(shuffled, [corrected], value * wrong)
    for group in groups:
        send(shuffled, group, value)
    score_again(heed.committer, heed.clock.now())
    ours, theirs = outcome(heed, number), outcome(heed, number + 1)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9, err_msg=name)
    assert told(heed, number) == told(heed, number + 1)


def test_a_gap_that_fills_withdraws_the_alert_that_it_caused(heed: Heed) -> None:
    shop = trained_shop(heed)
    shop.send(12)
    shop.send(3, factor=0.4)
    shop.clock -= 3
    shop.send(3, at_once=True)
    score_again(heed.committer, heed.clock.now())
    (alert,) = alerts(heed)
    assert (alert.status, notification_reasons(heed)) == ("withdrawn", ["firing", "withdrawn"])
    with heed.database.reading() as session:
        assert session.scalars(sa.select(Anomaly.outcome).where(Anomaly.alert_id == alert.id)).all() == ["withdrawn"]


def test_a_correction_that_makes_a_point_strange_is_told_while_it_is_fresh(heed: Heed) -> None:
    shop = trained_shop(heed)
    shop.send(12)
    shop.clock -= 2
    shop.send(2, factor=0.3, at_once=True)
    score_again(heed.committer, heed.clock.now())
    assert [(a.status, a.delivery) for a in alerts(heed)] == [("firing", "live")]
    assert notification_reasons(heed) == ["firing"]


def test_what_late_points_show_of_long_ago_is_recorded_and_not_shouted(heed: Heed) -> None:
    shop = trained_shop(heed)
    shop.send(18)
    shop.clock -= 16
    shop.send(3, factor=0.3, at_once=True)
    score_again(heed.committer, heed.clock.now())
    assert [(a.status, a.delivery) for a in alerts(heed)] == [("resolved", "stale")]
    assert notification_reasons(heed) == []


def test_scores_of_late_points_are_stored(heed: Heed) -> None:
    shop = trained_shop(heed)
    shop.clock += 1
    shop.send(4)
    shop.clock -= 5
    shop.send(1)
    assert np.isnan(scores(heed, 1)[0][0])
    score_again(heed.committer, heed.clock.now())
    assert not np.isnan(scores(heed, 1)).any()
    fold(heed.committer, 0)
    assert not np.isnan(scores(heed, 1)).any()


def test_a_verdict_that_closed_an_alert_outlives_a_scoring_again(heed: Heed) -> None:
    shop = trained_shop(heed)
    shop.send(12)
    shop.send(3, factor=0.4)
    (alert,) = alerts(heed)
    label_alert(heed, alert.id, "false_alarm", author="ana", source="api", now=heed.clock.now())
    shop.clock -= 10
    shop.send(1, factor=1.01)
    score_again(heed.committer, heed.clock.now())
    assert [a.status for a in alerts(heed)] == ["closed"]
    assert [a.outcome for a in anomalies(heed)] == ["told"]
    assert not heed.committer.partitions[0].life["frozen"][0]


def test_a_series_with_nothing_late_is_left_alone(heed: Heed) -> None:
    shop = Shop(heed)
    shop.has_history()
    shop.send(10)
    assert score_again(heed.committer, heed.clock.now()) == 0


def test_late_points_are_scored_by_themselves_within_a_minute(heed: Heed) -> None:
    shop = trained_shop(heed)
    shop.clock += 1
    shop.send(1)
    shop.clock -= 2
    shop.send(1)
    shop.clock += 1
    shop.send(1)
    heed.committer.call(lambda: None)
    assert not np.isnan(scores(heed, 1)).any()


def test_what_was_scored_again_is_the_same_after_a_restart(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        shop = trained_shop(heed)
        shop.clock += 2
        shop.send(5)
        shop.clock -= 7
        shop.send(2, factor=0.5)
        score_again(heed.committer, heed.clock.now())
        shop.clock += 5
        shop.send(3)
        before = fields_of(heed.committer.partitions[0])
    with running(database_url, tmp_path) as heed:
        after = fields_of(heed.committer.partitions[0])
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def send(shop: Shop, hours: list[int], factor: Any) -> None:
    at = FIRST + np.array(hours)
    values = shop.values(at) * factor[hours]
    points = posted(shop.metric, MONDAY + HOUR * at, values, country=shop.country)
    shop.heed.committer.submit(points, None, None).result()


def trained_shop(heed: Heed) -> Shop:
    """Three weeks of history, trained on at five in the morning, so that no night lies between that and the points."""
    shop = Shop(heed)
    shop.send(FIRST, at_once=True, delivery=Delivery.SILENT)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    return shop


def scores(heed: Heed, series_id: int) -> np.ndarray:
    with heed.database.reading() as session:
        batch = read_points(session, [series_id], MONDAY + HOUR * FIRST, MONDAY + HOUR * 2 * FIRST)
    return np.array([batch.rarity, batch.expected])


def outcome(heed: Heed, slot: int) -> dict[str, np.ndarray]:
    """Everything numeric that is known of a series: columns, run, detector's state and stored scores."""
    partition = heed.committer.partitions[0]
    skipped = ("series_id", "metric", "row", "seen_log", "chosen_at")
    found = {n: a[slot].astype(float) for n, a in partition.columns.items() if n not in skipped}
    found |= {f"life {n}": np.asarray(a[slot], float) for n, a in partition.life.items()}
    model = partition.models[int(partition.columns["model"][slot])]
    row = int(partition.columns["row"][slot])
    found |= {f"state {n}": np.asarray(a[row], float) for n, a in model.state.items()}
    with heed.database.reading() as session:
        batch = read_points(session, [slot + 1], MONDAY + HOUR * FIRST, MONDAY + HOUR * (FIRST + DAY_HOURS))
    return found | {n: getattr(batch, n) for n in ("value", "expected", "lower", "upper", "rarity")}


def told(heed: Heed, slot: int) -> list[tuple[Any, ...]]:
    """Anomalies that stand, each with the status of its alert, if that stands too."""
    with heed.database.reading() as session:
        rows = session.execute(
            sa.select(Anomaly, Alert.status)
            .outerjoin(Alert, (Alert.id == Anomaly.alert_id) & (Alert.status != "withdrawn"))
            .where(Anomaly.series_id == slot + 1, Anomaly.outcome != "withdrawn")
            .order_by(Anomaly.started_at)
        ).all()
    return [
        (a.started_at, a.last_abnormal_at, a.ended_at, a.direction, round(a.rarity, 9), a.outcome, status)
        for a, status in rows
    ]


@pytest.mark.any_database
def test_late_points_of_a_series_with_thousands_since_its_training_are_scored_in_slices(heed: Heed) -> None:
    """The same state and scores as of a twin whose points came in order, with an anomaly over the end of a slice."""
    sorted_shop, late = (Shop(heed, country=way) for way in ("sorted", "late"))
    for shop in (sorted_shop, late):
        shop.send(FIRST, at_once=True, delivery=Delivery.SILENT)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    rng = np.random.default_rng(5)
    at = MONDAY + HOUR * FIRST + 10 * np.arange(4_000)  # less than a day, so that no night trains in between
    values = sorted_shop.values((at - MONDAY) // HOUR) + rng.normal(0, 2, at.size)
    values[2_960:3_040] *= 0.3
    rows = np.arange(at.size)
    for part in np.split(rows, 4):
        heed.committer.submit(posted("orders", at[part], values[part], country="sorted")).result()
    for part in np.split(rows[rows % 50 > 0], 4):
        heed.committer.submit(posted("orders", at[part], values[part], country="late")).result()
    heed.committer.submit(posted("orders", at[::50], values[::50], country="late")).result()
    assert score_again(heed.committer, heed.clock.now()) == 1
    ours, theirs = outcome(heed, 0), outcome(heed, 1)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.any_database
def test_what_comes_late_while_slices_are_scored_is_scored_after_them(heed: Heed) -> None:
    partition = heed.committer.partitions[0]
    shop = trained_shop(heed)
    at = MONDAY + HOUR * FIRST + 10 * np.arange(1, 4_000)
    values = shop.values((at - MONDAY) // HOUR)
    heed.committer.submit(posted("orders", at[10:], values[10:], country="DE")).result()
    heed.committer.submit(posted("orders", at[5:10], values[5:10], country="DE")).result()
    work = heed.committer.call(lambda: _begin(partition, np.array([0])))
    assert heed.committer.call(lambda: _slice(heed.committer, 0, work))
    heed.committer.submit(posted("orders", at[:5], values[:5], country="DE")).result()
    heed.committer.call(lambda: _finish(heed.committer, 0, work, heed.clock.now(), None))
    assert partition.columns["late_at"][0] == at[0]
    assert score_again(heed.committer, heed.clock.now()) == 1
    assert partition.columns["late_at"][0] == 0
    assert partition.columns["since_anchor"][0] == at.size
