"""After a stop of any kind a partition is what it was after its last commit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from app.errors import Conflict
from app.main import Heed
from app.partitions import checkpoint
from app.partitions.partition import Partition
from app.pipeline.train import everything, fold, train
from app.store import states
from app.store.database import Database
from app.store.tables import LogBatch
from detectors.contract import Fields
from tests.running import HOUR, MONDAY, Shop, alerts, notification_reasons, running, settings_of


def test_checkpoint_and_replay_rebuild_the_very_same_state(database_url: str, tmp_path: Path) -> None:
    """Folds and trainings lie between the points, and an anomaly is open when the service stops."""
    with running(database_url, tmp_path) as heed:
        shops = [Shop(heed, country, seed=seed) for seed, country in enumerate(("DE", "FR", "GB"))]
        for shop in shops:
            shop.has_history(weeks=3)
            shop.send(30)
        shops[0].send(3, factor=0.4)
        before = fields_of(heed.committer.partitions[0])
        assert len(alerts(heed)) == 1
    with running(database_url, tmp_path) as heed:
        after = fields_of(heed.committer.partitions[0])
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_a_replay_tells_nobody_again(database_url: str, tmp_path: Path) -> None:
    webhook = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}
    with running(database_url, tmp_path, **webhook) as heed:
        shop = Shop(heed)
        shop.has_history()
        shop.send(3, factor=0.4)
        assert stored_log_rows(heed) > 0
    with running(database_url, tmp_path, **webhook) as heed:
        shop.heed = heed
        shop.clock -= 1
        assert [outcome.duplicates for outcome in shop.send(1, factor=0.4)] == [1]
        shop.send(1, factor=0.4)
        assert len(alerts(heed)) == 1
        assert notification_reasons(heed) == ["firing"]


def test_ids_of_the_log_are_never_given_again(database_url: str, tmp_path: Path) -> None:
    """A fold empties the log; what came after it must still be told from what came before."""
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.send(5)
        fold(heed.committer, 0)
        shop.send(1)
        newest = heed.committer.partitions[0].newest_log
    with running(database_url, tmp_path) as heed:
        assert newest == 6
        assert heed.committer.partitions[0].newest == shop_time(shop)


def test_a_series_that_fell_back_to_the_basic_detector_is_judged_by_it_after_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    with running(database_url, tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history(weeks=3)
        partition = heed.committer.partitions[0]
        heed.committer.call(lambda: partition.move(np.array([0]), "basic"))
        shop.send(1)
        fold(heed.committer, 0)
        code = int(partition.columns["model"][0])
    with running(database_url, tmp_path) as heed:
        partition = heed.committer.partitions[0]
        assert partition.models[int(partition.columns["model"][0])].detector.name == "basic"
        assert int(partition.columns["model"][0]) == code


def test_two_services_on_one_database_are_refused(database_url: str, tmp_path: Path) -> None:
    with (
        running(database_url, tmp_path),
        pytest.raises(Conflict, match="Another Heed runs on this database"),
        Heed(settings_of(database_url, tmp_path)),
    ):
        pass


def test_a_training_that_cannot_be_committed_leaves_the_old_baseline(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        shop = Shop(heed)
        shop.has_history(weeks=3)
        shop.send(2)
        before = fields_of(heed.committer.partitions[0])
        with heed.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON baseline_version BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        with pytest.raises(sa.exc.IntegrityError):
            train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
        after = fields_of(heed.committer.partitions[0])
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array, err_msg=name)


def fields_of(partition: Partition) -> Fields:
    """Every array of a partition, by name."""
    fields = {f"column {name}": array[: partition.count].copy() for name, array in partition.columns.items()}
    fields |= {f"life {name}": array[: partition.count].copy() for name, array in partition.life.items()}
    for model in partition.models:
        name = model.detector.name
        fields |= {f"{name} baseline {n}": array[: model.count].copy() for n, array in model.baseline.items()}
        fields |= {f"{name} state {n}": array[: model.count].copy() for n, array in model.state.items()}
    return fields


def stored_log_rows(heed: Heed) -> int:
    with heed.database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(LogBatch)) or 0


def shop_time(shop: Shop) -> int:
    return MONDAY + HOUR * (shop.clock - 1)


def test_a_series_saved_before_it_was_noted_since_when_it_is_live_counts_from_its_first_point(
    database_url: str, tmp_path: Path
) -> None:
    with running(database_url, tmp_path) as heed:
        Shop(heed).has_history(weeks=1)
    database = Database(database_url)
    with database.writing() as session:
        fields = checkpoint.decode(states.blocks_of(session, 0, kind="series")["series", 0])
        del fields["arrival.live_since"]
        states.put_block(session, 0, "series", 0, checkpoint.encode(fields))
    database.close()
    with running(database_url, tmp_path) as heed:
        assert heed.committer.partitions[0].arrivals.columns["live_since"][0] == MONDAY
