"""Erasing a series, and dropping what is older than anybody wants to keep."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from app.errors import NotFound
from app.main import Heed
from app.pipeline.erase import drop_old_points, erase_series
from app.pipeline.learn import label_alert
from app.pipeline.train import everything, fold, train
from app.store import audit, points
from app.store.tables import Base
from detectors.contract import Fields, take
from tests.running import DAY, MONDAY, Shop, alerts, anomalies, running

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}
MARK = "a-name-to-forget"


def lived(heed: Heed) -> list[Shop]:
    """Two shops, both trained; the first had an anomaly that somebody answered, and has points in tiles and log."""
    shops = [Shop(heed, country, seed=seed) for seed, country in enumerate((MARK, "FR"), start=2)]
    for shop in shops:
        shop.has_history()
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    shops[0].send(4, factor=0.5)
    (alert,) = alerts(heed)
    label_alert(heed, alert.id, "false_alarm", author="ana", source="api", now=heed.clock.now())
    shops[1].send(4)
    fold(heed.committer, 0)
    for shop in shops:
        shop.send(3, at_once=True)
    return shops


def texts(heed: Heed) -> str:
    """All that the database says in words, and in JSON."""
    with heed.database.reading() as session:
        tables = Base.metadata.sorted_tables
        return repr([session.execute(sa.select(table)).all() for table in tables if table.name != "state_block"])


def state_of(heed: Heed, slot: int) -> Fields:
    partition = heed.committer.partitions[0]
    model = partition.models[int(partition.columns["model"][slot])]
    rows = partition.columns["row"][[slot]].astype(np.int64)
    return take(model.baseline, rows) | {f"state.{k}": v for k, v in take(model.state, rows).items()}


def test_an_erased_series_leaves_nothing_behind_but_an_audit_entry(database_url: str, tmp_path: Path) -> None:
    """Guarantee 29."""
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        lived(heed)
        assert MARK in texts(heed)
        assert state_of(heed, 0)["trained"][0]
        taught = heed.committer.partitions[0].tolerance_down[1]
        with heed.database.reading() as session:
            others = points.read_points(session, [2], 0, 1 << 40).value.tolist()
        erase_series(heed.committer, 1, by="root")

        assert MARK not in texts(heed)
        assert alerts(heed) == []
        assert [each.series_id for each in anomalies(heed) if each.series_id == 1] == []
        assert heed.committer.partitions[0].tolerance_down[1] < taught
        with heed.database.reading() as session:
            assert len(points.read_points(session, [1], 0, 1 << 40)) == 0
            assert points.read_points(session, [2], 0, 1 << 40).value.tolist() == others
            (entry,) = audit.find(session, limit=10, before_id=1 << 40)
        assert (entry.action, entry.actor) == ("series_erased", "root")
        assert entry.subject == {"series": 1, "labels": 1, "anomalies": entry.subject["anomalies"], "alerts": 1}
        for name, array in state_of(heed, 0).items():
            np.testing.assert_array_equal(array, heed_cold(heed, name), err_msg=name)
        with pytest.raises(NotFound):
            erase_series(heed.committer, 1, by="root")


def heed_cold(heed: Heed, name: str) -> np.ndarray:
    baseline, state = heed.committer.partitions[0].models[0].detector.cold(1)
    return state[name.removeprefix("state.")] if name.startswith("state.") else baseline[name]


def test_what_comes_again_after_an_erasure_is_a_new_series_and_survives_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        shops = lived(heed)
        erase_series(heed.committer, 1, by="root")
        shops[0].send(1)
        shops[1].send(1)
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        column = heed.committer.partitions[0].columns
        assert column["point_count"][:3].tolist() == [0, 5 * 168 + 4 + 3 + 1, 1]
        with heed.database.reading() as session:
            assert len(points.read_points(session, [3], 0, 1 << 40)) == 1
        shops[1].heed = heed
        shops[1].send(30)
        assert alerts(heed) == []


def test_points_older_than_the_retention_are_dropped_every_night(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'heed.db'}"
    with running(url, tmp_path, retention_days=70) as heed:
        Shop(heed).has_history(weeks=20)
        heed.committer.call(lambda: None)  # jobs run behind the answer
        assert 7 * 20 - 70 - 8 <= first_day(heed) <= 7 * 20 - 70 + 2


def test_retention_drops_whole_tiles_and_never_what_is_younger(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        Shop(heed).has_history(weeks=10)
        fold(heed.committer, 0)
        drop_old_points(heed.committer, heed.clock.now(), timedelta(days=30))
        assert 7 * 10 - 30 - 8 <= first_day(heed) <= 7 * 10 - 30


def first_day(heed: Heed) -> int:
    with heed.database.reading() as session:
        return int((points.read_points(session, [1], 0, 1 << 40).timestamp[0] - MONDAY) // DAY)
