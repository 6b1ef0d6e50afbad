"""From a POST to the commit, on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.main import Heed
from app.pipeline.train import fold
from app.security import Bearer, Scope
from app.store import tokens
from app.store.points import read_points
from app.store.tables import LogBatch, Series
from tests.running import HOUR, MONDAY, Shop, alerts, anomalies, notification_reasons, posted, running

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        yield heed


def test_the_same_points_again_are_duplicates_and_another_value_is_a_correction(heed: Heed) -> None:
    """Guarantee 5, before and after a fold."""
    times = MONDAY + HOUR * np.arange(4)
    first = heed.committer.submit(posted("orders", times, [1.0, 2.0, np.nan, 4.0])).result()
    again = heed.committer.submit(posted("orders", times, [1.0, 2.0, np.nan, 5.0])).result()
    fold(heed.committer, 0)
    folded = heed.committer.submit(posted("orders", times, [1.0, 7.0, np.nan, 5.0])).result()
    assert (first.accepted, first.duplicates) == (4, 0)
    assert (again.accepted, again.duplicates) == (1, 3)
    assert (folded.accepted, folded.duplicates) == (1, 3)
    assert stored_values(heed) == [1.0, 7.0, None, 5.0]


def test_of_one_time_twice_in_a_post_the_last_value_counts(heed: Heed) -> None:
    times = MONDAY + HOUR * np.array([0, 1, 0, 1])
    outcome = heed.committer.submit(posted("orders", times, [1.0, 2.0, 3.0, 2.0])).result()
    assert (outcome.accepted, outcome.duplicates) == (3, 1)
    assert stored_values(heed) == [3.0, 2.0]


def test_points_sent_late_and_out_of_order_are_stored_where_they_belong(heed: Heed) -> None:
    """Guarantee 5."""
    for hour in (3, 1, 2, 0):
        heed.committer.submit(posted("orders", np.array([MONDAY + HOUR * hour]), [float(hour)])).result()
    assert stored_values(heed) == [0.0, 1.0, 2.0, 3.0]


def test_a_flood_of_new_series_meets_the_quota_of_its_token_and_harms_nobody_else(heed: Heed) -> None:
    """Guarantee 8."""
    with heed.database.writing() as session:
        token, _ = tokens.issue(session, name="p", scope=Scope.INGEST, new_series_limit=2, now=wall_now())
    flooding = Bearer(token.id, "p", Scope.INGEST, 2)
    outcomes = [
        heed.committer.submit(posted("m", np.array([MONDAY]), [1.0], user=str(user)), flooding) for user in range(4)
    ]
    other = heed.committer.submit(posted("orders", np.array([MONDAY]), [1.0])).result()
    assert [len(o.result().rejected) for o in outcomes] == [0, 0, 1, 1]
    assert "no more new series" in outcomes[3].result().rejected[0].reason
    assert other.accepted == 1
    with heed.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Series)) == 3


def test_a_drop_opens_one_alert_that_is_told_and_then_resolved(heed: Heed) -> None:
    shop = Shop(heed)
    shop.has_history()
    shop.send(30)
    assert alerts(heed) == []
    shop.send(4, factor=0.4)
    (alert,) = alerts(heed)
    assert (alert.status, alert.delivery, alert.title) == ("firing", "live", "orders (country DE) is unusually low")
    shop.send(10)
    (alert,) = alerts(heed)
    assert alert.status == "resolved"
    assert notification_reasons(heed) == ["firing", "resolved"]


def test_what_the_producer_calls_silent_is_recorded_and_not_told(heed: Heed) -> None:
    shop = Shop(heed)
    shop.has_history()
    shop.send(4, factor=0.4, delivery=Delivery.SILENT)
    assert [(a.status, a.delivery) for a in alerts(heed)] == [("firing", "silent")]
    assert notification_reasons(heed) == []


def test_an_anomaly_that_began_in_silence_is_told_once_it_goes_on_live(heed: Heed) -> None:
    shop = Shop(heed)
    shop.has_history()
    shop.send(3, factor=0.4, delivery=Delivery.SILENT)
    shop.send(2, factor=0.4)
    assert [(a.status, a.delivery) for a in alerts(heed)] == [("firing", "live")]
    assert notification_reasons(heed) == ["firing"]


def test_old_points_are_recorded_and_not_shouted(database_url: str, tmp_path: Path) -> None:
    """With the wall clock, these points are weeks old."""
    with running(database_url, tmp_path, clock="wall", **WEBHOOK) as heed:
        shop = Shop(heed)
        shop.has_history()
        heed.schedule.fire(job_named(heed, "train-young"))
        shop.send(6, factor=0.3)
        assert [a.delivery for a in alerts(heed)] == ["stale"]
        assert notification_reasons(heed) == []


def test_runs_that_fell_short_are_kept_with_the_reason(heed: Heed) -> None:
    shop = Shop(heed)
    shop.send(30, at_once=True)
    shop.send(3, factor=0.3)
    shop.send(5)
    assert alerts(heed) == []
    assert {a.outcome for a in anomalies(heed)} <= {"warming_up", "below_threshold"}


def test_a_commit_that_fails_leaves_no_trace_in_memory(tmp_path: Path, sqlite_template: Path) -> None:
    url = f"sqlite:///{tmp_path / 'heed.db'}"
    with running(url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history()
        refuse_log_rows(heed)
        with pytest.raises(sa.exc.IntegrityError):
            shop.send(1, factor=0.2)
        newcomer = heed.committer.submit(posted("signups", np.array([MONDAY]), [1.0]))
        with pytest.raises(sa.exc.IntegrityError):
            newcomer.result()
        allow_log_rows(heed)
        shop.clock -= 1
        shop.send(2, factor=0.2)
        assert len(alerts(heed)) == 1
        assert heed.committer.submit(posted("signups", np.array([MONDAY]), [1.0])).result().accepted == 1


def test_one_faulty_post_does_not_take_the_others_of_its_group_down(heed: Heed) -> None:
    healthy = [heed.committer.submit(posted("a", np.array([MONDAY + HOUR * n]), [1.0])) for n in range(5)]
    broken = posted("b", np.array([MONDAY]), [1.0])
    broken.identity[0] = 7  # names a series that the request does not have
    faulty = heed.committer.submit(broken)
    assert [each.result().accepted for each in healthy] == [1] * 5
    with pytest.raises(IndexError):
        faulty.result()


def test_waiting_posts_share_a_commit(heed: Heed) -> None:
    posts = [posted("orders", np.array([MONDAY + HOUR * n]), [1.0]) for n in range(50)]
    held = heed.committer.call(lambda: [heed.committer.submit(each) for each in posts])
    assert sum(each.result().accepted for each in held) == 50
    with heed.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(LogBatch)) == 1


def stored_values(heed: Heed) -> list[float | None]:
    with heed.database.reading() as session:
        (series_id,) = session.scalars(sa.select(Series.id))
        batch = read_points(session, [series_id], MONDAY, MONDAY + 30 * 24 * HOUR)
    return [None if np.isnan(value) else value for value in batch.value.tolist()]


def job_named(heed: Heed, name: str):  # type: ignore[no-untyped-def]
    return next(job for job in heed.jobs if job.name == name)


def refuse_log_rows(heed: Heed) -> None:
    """The disk is full, as far as the log can tell."""
    with heed.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON log_batch BEGIN SELECT RAISE(ABORT, 'full'); END"
        )


def allow_log_rows(heed: Heed) -> None:
    with heed.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")
