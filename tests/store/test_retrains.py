"""Retrains in the store: claimed by one, cancelled, resumed, and forgotten with their series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.store import retrains
from app.store.database import Database
from app.store.packing import Packed, pack
from app.store.retrains import Counts
from app.store.tables import Retrain, RetrainPart, Series

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def asked(database: Database, **changed: object) -> Retrain:
    fields: dict[str, object] = {
        "metric": "*",
        "dimensions": {},
        "without": [],
        "reason": "a test",
        "author": "ops",
        "force": False,
        "due_at": NOW,
        "status": retrains.SCHEDULED,
        "created_at": NOW,
    }
    retrain = Retrain(**fields | changed)
    with database.writing() as session:
        session.add(retrain)
        session.flush()
    return retrain


def part_of(retrain: Retrain, ids: list[int]) -> RetrainPart:
    series = np.array(ids)
    packed = pack({"series": series, "reason": np.zeros(len(ids), np.uint16)})
    return RetrainPart(
        retrain_id=retrain.id,
        number=0,
        partition=0,
        first_series=min(ids),
        last_series=max(ids),
        decided_at=NOW,
        decisions=packed,
        before=packed,
        rolled_back=pack({"restored": series, "kept": series[:0]}),
    )


def test_a_due_retrain_is_claimed_by_one_only(database: Database) -> None:
    due, later = asked(database), asked(database, due_at=NOW + timedelta(hours=1))
    with database.writing() as session:
        assert [each.id for each in retrains.due(session, NOW)] == [due.id]
        assert [retrains.claim(session, due.id, NOW) for _ in range(2)] == [True, False]
        assert retrains.due(session, NOW) == []
        assert retrains.resume(session) == 1
        assert [each.id for each in retrains.due(session, NOW + timedelta(hours=1))] == [due.id, later.id]


def test_a_slot_of_a_cron_is_taken_once(database: Database) -> None:
    cron = asked(database, cron="0 3 * * *", timezone="UTC")
    with database.writing() as session:
        taken = [retrains.claim_slot(session, cron, NOW + timedelta(days=1)) for _ in range(2)]
    assert taken == [True, False]


def test_what_is_cancelled_does_not_go_on_and_is_not_finished(database: Database) -> None:
    retrain = asked(database)
    with database.writing() as session:
        retrains.claim(session, retrain.id, NOW)
        assert retrains.is_running(session, retrain.id)
        assert retrains.cancel(session, retrain.id, by="ops", now=NOW)
        assert not retrains.is_running(session, retrain.id)
        assert not retrains.cancel(session, retrain.id, by="ops", now=NOW)
        retrains.finish(session, retrain.id, status=retrains.DONE, now=NOW)
        found = retrains.get(session, retrain.id)
        assert found is not None
        assert found.status == retrains.CANCELLED


@pytest.mark.parametrize("others", [[], [1, 3]])
def test_a_series_that_is_erased_is_in_no_part_of_a_retrain(database: Database, others: list[int]) -> None:
    retrain = asked(database)
    alone = asked(database, series_id=2)
    series = Series(id=2, partition=0)
    with database.writing() as session:
        retrains.add_part(session, part_of(retrain, [2, *others]), Counts(promoted=1), 1)
        retrains.add_part(session, part_of(alone, [2]), Counts(promoted=1), 1)
    with database.writing() as session:
        retrains.forget_series(session, series)
    with database.reading() as session:
        assert retrains.get(session, alone.id) is None
        assert retrains.of_series(session, series, limit=9, before_id=9) == []
        assert retrains.decided_ids(session, retrain.id).tolist() == others
        for number in retrains.part_numbers(session, retrain.id):
            part = retrains.part(session, retrain.id, number)
            assert Packed(part.before or b"")["series"].tolist() == others
            assert retrains.rolled_back_ids(part)[0].tolist() == others


def test_what_was_before_is_kept_for_a_while_only(database: Database) -> None:
    retrain = asked(database)
    with database.writing() as session:
        retrains.add_part(session, part_of(retrain, [1]), Counts(promoted=1), 1)
        retrains.claim(session, retrain.id, NOW)
        retrains.finish(session, retrain.id, status=retrains.DONE, now=NOW)
        assert retrains.forget_snapshots(session, NOW) == 0
        assert retrains.forget_snapshots(session, NOW + timedelta(seconds=1)) == 1
        assert retrains.part_numbers(session, retrain.id) == []
        assert retrains.decided_ids(session, retrain.id).tolist() == [1]


def test_nights_are_listed_apart_from_what_was_asked_for_and_forgotten_whole(database: Database) -> None:
    others = [asked(database), asked(database, once_key="1: night")]
    night = asked(database, once_key=f"{retrains.NIGHT}{NOW.isoformat()}")
    with database.writing() as session:
        retrains.add_part(session, part_of(night, [1]), Counts(promoted=1), 1)
        retrains.claim(session, night.id, NOW)
        retrains.finish(session, night.id, status=retrains.DONE, now=NOW)
        listed = [
            [each.id for each in retrains.find(session, limit=9, before_id=9, nights=one)] for one in (False, True)
        ]
        assert listed == [[each.id for each in reversed(others)], [night.id]]
        assert retrains.forget_nights(session, NOW) == 0
        assert retrains.forget_nights(session, NOW + timedelta(seconds=1)) == 1
        assert retrains.get(session, night.id) is None
        assert [retrains.is_of_a_night(each) for each in retrains.find(session, limit=9, before_id=9)] == [False, False]
