"""Labels, restarts and faults in any order: nothing is told twice, nothing is lost, nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from app.clock import wall_now
from app.errors import Unavailable
from app.main import Heed
from app.pipeline.learn import label_alert, revoke_label
from app.pipeline.stale import end_silent
from app.security import Bearer, Scope
from app.store import tokens
from tests.running import DAY, HOUR, MONDAY, Shop, alerts, notification_reasons, posted, running

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}
Part = Callable[[Shop], object]


def lived(
    database_url: str, folder: Path, parts: list[Part], *, restarts: bool
) -> tuple[list[tuple[str, str]], list[str]]:
    """Alerts (start, status) and messages after these parts of a shop's life, with restarts between them or without."""
    clock = 0
    outcome: tuple[list[tuple[str, str]], list[str]] = ([], [])
    groups = [[part] for part in parts] if restarts else [parts]
    for group in groups:
        with running(database_url, folder, **WEBHOOK) as heed:
            shop = Shop(heed)
            shop.clock = clock
            for part in group:
                part(shop)
            clock = shop.clock
            outcome = (
                [(alert.started_at.isoformat(), alert.status) for alert in alerts(heed)],
                notification_reasons(heed),
            )
    return outcome


def begin(shop: Shop) -> None:
    shop.has_history()
    shop.send(32)


def answer_first(shop: Shop) -> None:
    (alert, *_) = alerts(shop.heed)
    label_alert(shop.heed, alert.id, "false_alarm", author="ana", source="api", now=shop.heed.clock.now())


def undo_first(shop: Shop) -> None:
    revoke_label(shop.heed, 1, by="ana", now=shop.heed.clock.now())


@pytest.mark.parametrize(
    "after_label",
    [
        [lambda shop: shop.send(3, factor=0.02), lambda shop: shop.send(30)],
        [lambda shop: shop.send(30), lambda shop: shop.send(4, factor=0.7), undo_first, lambda shop: shop.send(30)],
    ],
    ids=["the run goes on far stranger", "a tolerated twin goes on while the label is undone"],
)
def test_restarts_change_nothing_around_labels(sqlite_template: Path, tmp_path: Path, after_label: list[Part]) -> None:
    """Guarantee 2: a label, what follows it, and its undo, with a restart after each or with none."""
    parts: list[Part] = [
        begin,
        lambda shop: shop.send(4, factor=0.7),
        answer_first,
        *after_label,
    ]
    outcomes = []
    for restarts in (False, True):
        folder = tmp_path / str(restarts)
        folder.mkdir()
        outcomes.append(lived(f"sqlite:///{folder / 'heed.db'}", folder, parts, restarts=restarts))
    assert outcomes[0] == outcomes[1]


def test_a_label_counts_as_much_after_a_restart_by_the_event_clock(tmp_path: Path) -> None:
    """Labels of a replay of old points fade by the time of those points."""
    url = f"sqlite:///{tmp_path / 'heed.db'}"
    with running(url, tmp_path, **WEBHOOK) as heed:
        shop = Shop(heed)
        shop.has_history()
        shop.send(4, factor=0.5)
        answer_first(shop)
        before = heed.committer.partitions[0].tolerance_down[0]
    with running(url, tmp_path, **WEBHOOK) as heed:
        assert heed.committer.partitions[0].tolerance_down[0] == pytest.approx(before)
        assert before > 0


def test_a_long_anomaly_of_a_series_that_goes_silent_ends_too(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, **WEBHOOK) as heed:
        shop = Shop(heed)
        shop.has_history()
        shop.send(10, factor=0.3)
        assert end_silent(heed.committer, heed.clock.now() + timedelta(hours=30)) == 1
        assert [alert.status for alert in alerts(heed)] == ["resolved"]


def test_whoever_hangs_up_while_waiting_does_not_end_the_committer(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        gate = threading.Event()
        holding = threading.Thread(target=lambda: heed.committer.call(gate.wait))
        holding.start()
        abandoned = heed.committer.submit(posted("orders", np.array([MONDAY]), [1.0]))
        assert abandoned.cancel()
        gate.set()
        holding.join()
        assert heed.committer.submit(posted("orders", np.array([MONDAY + HOUR]), [1.0])).result().accepted == 1


def test_a_fault_after_a_commit_does_not_end_the_committer(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        heed.committer.submit(posted("orders", np.array([MONDAY]), [1.0])).result()
        with heed.database.writing() as session:
            session.execute(sa.text("ALTER TABLE job_slot RENAME TO gone"))
        for day in (2, 4):
            outcome = heed.committer.submit(posted("orders", np.array([MONDAY + day * DAY]), [1.0])).result()
            assert outcome.accepted == 1


def test_nobody_waits_for_a_service_that_has_stopped(tmp_path: Path) -> None:
    heed = stopped_heed(tmp_path)
    with pytest.raises(Unavailable):
        heed.committer.submit(posted("orders", np.array([MONDAY]), [1.0]))
    with pytest.raises(Unavailable):
        heed.committer.call(lambda: None)


def test_a_daily_series_is_known_as_daily_and_a_series_that_changes_its_pace_is_followed(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        for day in range(40):
            heed.committer.submit(posted("revenue", np.array([MONDAY + day * DAY]), [100.0 + day % 7])).result()
        assert heed.committer.partitions[0].columns["cadence"][0] == DAY

        start = MONDAY + 40 * DAY
        hourly = start + HOUR * np.arange(30 * 24)
        for part in np.split(hourly, 30):
            heed.committer.submit(posted("revenue", part, (100.0 + part % 7).tolist())).result()
        assert heed.committer.partitions[0].columns["cadence"][0] == HOUR


def test_one_point_of_long_ago_does_not_end_the_warm_up(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, **WEBHOOK) as heed:
        long_ago = np.array([MONDAY - 20 * 365 * DAY])
        heed.committer.submit(posted("orders", long_ago, [1.0], country="DE")).result()
        shop = Shop(heed)
        shop.send(30)
        shop.send(3, factor=0.1)
        assert alerts(heed) == []


def test_a_series_that_one_token_may_not_bring_in_is_taken_from_it_once_another_has(tmp_path: Path) -> None:
    """In one group of waiting POSTs, what is stored is not reported as rejected."""
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        with heed.database.writing() as session:
            bearers = [
                Bearer(
                    tokens.issue(session, name=str(n), scope=Scope.INGEST, new_series_limit=n, now=wall_now())[0].id,
                    str(n),
                    Scope.INGEST,
                    n,
                )
                for n in (0, 1)
            ]
        waiting = heed.committer.call(
            lambda: [
                heed.committer.submit(posted("orders", np.array([MONDAY + n * HOUR]), [1.0]), bearer)
                for n, bearer in enumerate(bearers)
            ]
        )
        outcomes = [each.result() for each in waiting]
        assert [(o.accepted, len(o.rejected)) for o in outcomes] == [(1, 0), (1, 0)]


def stopped_heed(folder: Path) -> Heed:
    with running(f"sqlite:///{folder / 'heed.db'}", folder) as heed:
        pass
    return heed
