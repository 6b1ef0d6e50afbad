"""Erasing a series, and dropping what is older than anybody wants to keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.errors import NotFound
from app.main import Heed
from app.pipeline.creations import NOTHING_SAID, Wanted
from app.pipeline.erase import drop_old_points, erase_series
from app.pipeline.learn import label_alert, revoke_label
from app.pipeline.train import everything, fold, train
from app.store import audit, happenings, labels, points
from app.store.database import Database
from app.store.series import Matcher
from app.store.tables import Base, Event, Gap
from detectors.contract import Fields, take
from tests.pipeline.world import NOW, World, a_series, an_alert, an_anomaly
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


@pytest.fixture
def three(database: Database, tmp_path: Path) -> Iterator[Heed]:
    """An alert of two series, the first of which is to be forgotten, and one of a third, all over."""
    world = World(database)
    to_forget, french, british = (a_series(world, country) for country in (MARK, "FR", "GB"))
    together = an_alert(world, to_forget, rarity=3.0, is_open=False)
    with database.writing() as session:
        an_anomaly(session, french, rarity=2.0, is_open=False, alert_id=together, outcome="told", days_ago=0)
    an_alert(world, british, is_open=False)
    with running(database.url.render_as_string(hide_password=False), tmp_path, **WEBHOOK) as heed:
        yield heed


def say(heed: Heed, alert_id: int, verdict: str, wanted: Wanted = NOTHING_SAID) -> int:
    signed: dict[str, Any] = {"author": "ana", "source": "api", "now": NOW, "confirmed": True}
    label_id = label_alert(heed, alert_id, verdict, wanted=wanted, **signed).label_id
    assert label_id is not None
    return label_id


@pytest.mark.parametrize(("verdict", "after"), [("real", "resolved"), ("event", "closed"), ("bad_data", "withdrawn")])
def test_a_label_on_an_alert_of_several_series_stands_for_those_that_are_left(
    three: Heed, verdict: str, after: str
) -> None:
    """Guarantee 29."""
    label_id = say(three, 1, verdict)
    with three.database.reading() as session:
        before = [each for each in labels.standing_evidence(session) if each.series_id == 2]
    erase_series(three.committer, 1, by="root")
    assert MARK not in texts(three)
    with three.database.reading() as session:
        (evidence,) = labels.standing_evidence(session)
        assert [replace(evidence, share=0.5)] == before
        assert labels.labelled_and_open_spans(session).series_id.tolist() == [2]
        kept: list[Event | Gap] = [*happenings.standing(session, Event), *happenings.standing(session, Gap)]
        assert [(each.label_id, each.series_id) for each in kept] == [(label_id, 2)] * (verdict != "real")
    assert alerts(three)[0].status == after
    revoke_label(three, label_id, by="ana", now=NOW)
    assert alerts(three)[0].status == "resolved"


@pytest.mark.parametrize(("verdict", "after"), [("event", "closed"), ("bad_data", "withdrawn")])
def test_what_a_label_made_of_others_too_goes_with_the_one_series_that_it_was_about(
    three: Heed, verdict: str, after: str
) -> None:
    """Guarantee 29."""
    said = Wanted("the big sale", NOW - timedelta(hours=6), NOW, matcher=Matcher("orders"))
    say(three, 2, verdict, said)
    assert [each.status for each in alerts(three)] == [after, after]
    erase_series(three.committer, 3, by="root")
    assert [(each.status, each.event_id, each.gap_id) for each in alerts(three)] == [("resolved", None, None)]
    assert "the big sale" not in texts(three)
