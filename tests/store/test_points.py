from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.store.database import Database
from app.store.points import (
    PointBatch,
    append_log,
    drop_before,
    erase_series,
    fold,
    read_grids,
    read_log,
    read_points,
    stored_values,
)
from app.store.tables import Tile
from tests.store.factories import NOW, PARTITION, Point, append, batch_of, new_series

START = 1_767_225_600  # 2026-01-01
HOUR = 3600
EVER = (0, 1 << 40)
NAN = math.nan

values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.just(NAN), st.sampled_from([0.0, -0.0, 5e-324, 1e308, 12.34])
)
times = st.one_of(
    st.integers(0, 400).map(lambda step: START + step * HOUR),  # on the grid, over several tiles
    st.integers(0, 3 * HOUR).map(lambda second: START + second),  # off it, often several in a step
    st.sampled_from([0, 1, 4_102_444_800]),  # 1970 and 2100
)
steps = st.one_of(
    st.lists(st.tuples(st.integers(0, 2), times, values), min_size=1, max_size=12),  # a batch
    st.dictionaries(st.integers(0, 2), st.sampled_from([60, 300, HOUR, 86_400]), max_size=3),  # a fold, with cadences
)
on_any_database = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@on_any_database
@given(stream=st.lists(steps, min_size=1, max_size=12))
def test_whatever_order_points_come_in_the_last_of_each_time_counts(
    database: Database, stream: list[list[tuple[int, int, float]] | dict[int, int]]
) -> None:
    """Guarantee 5: against a plain dict, with folds and changes of cadence at any moment."""
    model: dict[tuple[int, int], float] = {}
    with Session(database.engine) as session:
        ids = new_series(session, 3)
        for step in stream:
            if isinstance(step, dict):
                fold(session, PARTITION, {ids[number]: seconds for number, seconds in step.items()})
            else:
                points = [(ids[number], time, value) for number, time, value in step]
                append(session, batch_of(points))
                model |= {(series_id, time): value for series_id, time, value in points}

        stored = read_points(session, ids, *EVER)
        assert list(zip(stored.series, stored.timestamp, strict=True)) == sorted(model)
        np.testing.assert_array_equal(bits(stored.value), bits([model[key] for key in sorted(model)]))

        asked = [*model, *((series_id, time + 1) for series_id, time in model)]
        asked_series, asked_times = np.array(asked, np.int64).reshape(-1, 2).T
        found, exists = stored_values(session, asked_series, asked_times)
        assert exists.tolist() == [key in model for key in asked]
        np.testing.assert_array_equal(bits(found), bits([model.get(key, NAN) for key in asked]))


def bits(numbers: object) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Equal only if every bit is, but one NaN is as good as another."""
    array = np.array(numbers, np.float64)
    array[np.isnan(array)] = NAN
    return array.view(np.int64)


@on_any_database
@given(points=st.lists(st.tuples(st.integers(0, 2), times, values), min_size=1, max_size=30), twice=st.booleans())
def test_ingesting_twice_equals_once(database: Database, points: list[Point], twice: bool) -> None:
    with Session(database.engine) as session:
        ids = new_series(session, 3)
        batch = batch_of([(ids[number], time, value) for number, time, value in points])
        append(session, batch)
        once = read_points(session, ids, *EVER)
        if twice:
            fold(session, PARTITION, {})
        append(session, batch)
        assert_same(read_points(session, ids, *EVER), once)
        fold(session, PARTITION, {})
        assert_same(read_points(session, ids, *EVER), once)


def assert_same(one: PointBatch, other: PointBatch) -> None:
    assert one.series.tolist() == other.series.tolist()
    assert one.timestamp.tolist() == other.timestamp.tolist()
    np.testing.assert_array_equal(bits(one.value), bits(other.value))


@pytest.fixture(params=["in the log", "in tiles", "corrected in the log"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def put(session: Session, where: str, batch: PointBatch) -> None:
    if where == "corrected in the log":
        wrong = PointBatch(batch.series, batch.timestamp, np.full(len(batch), 77.0))
        put(session, "in tiles", wrong)
    append(session, batch)
    if where == "in tiles":
        fold(session, PARTITION, {})


def test_missing_is_not_absent_and_neither_is_zero(database: Database, where: str) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        put(session, where, batch_of([(series_id, START, 0.0), (series_id, START + 2 * HOUR, NAN)]))

        stored = read_points(session, [series_id], *EVER)
        asked = START + np.arange(4) * HOUR
        value, exists = stored_values(session, np.full(4, series_id), asked)

    assert stored.timestamp.tolist() == [START, START + 2 * HOUR]
    np.testing.assert_array_equal(stored.value, [0.0, NAN])
    np.testing.assert_array_equal(value, [0.0, NAN, NAN, NAN])
    assert exists.tolist() == [True, False, True, False]


def test_points_off_the_grid_keep_their_time_and_are_all_kept(database: Database, where: str) -> None:
    offsets = [0, 7, 1800, 3599, 3600 + 59]
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        put(session, where, batch_of([(series_id, START + offset, float(offset)) for offset in reversed(offsets)]))
        stored = read_points(session, [series_id], *EVER)
    assert (stored.timestamp - START).tolist() == offsets
    assert stored.value.tolist() == offsets


def test_scores_are_stored_as_judged_and_corrected_with_their_point(database: Database, where: str) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        points = [(series_id, START + offset, 1.0) for offset in (0, 7, HOUR)]
        put(session, where, batch_of(points, expected=[10, 20, NAN], lower=[5, 6, NAN], rarity=[0.5, NAN, NAN]))
        before = read_points(session, [series_id], *EVER)
        append(session, batch_of(points[:1], expected=[11]))
        append(session, batch_of(points[1:2]))
        fold(session, PARTITION, {})
        after = read_points(session, [series_id], *EVER)

    np.testing.assert_array_equal(before.expected, [10, 20, NAN])
    np.testing.assert_array_equal(before.lower, [5, 6, NAN])
    np.testing.assert_array_equal(before.upper, [NAN, NAN, NAN])
    np.testing.assert_array_equal(before.rarity, [0.5, NAN, NAN])
    np.testing.assert_array_equal(after.expected, [11, NAN, NAN])
    np.testing.assert_array_equal(after.rarity, [NAN, NAN, NAN])


def test_only_the_series_and_the_time_asked_for_are_read(database: Database, where: str) -> None:
    with database.writing() as session:
        ids = new_series(session, 3)
        put(session, where, batch_of([(each, START + step * HOUR, step) for step in range(300) for each in ids]))
        stored = read_points(session, [ids[2], ids[0]], START + 10 * HOUR, START + 12 * HOUR)
    assert stored.series.tolist() == [ids[0], ids[0], ids[2], ids[2]]
    assert stored.value.tolist() == [10, 11, 10, 11]


def test_a_fold_empties_the_log_of_its_partition_and_says_what_it_did(database: Database) -> None:
    with database.writing() as session:
        ids = new_series(session, 300)  # more than a tile has rows
        for step in (0, 1):
            append(session, batch_of([(each, START + step * HOUR, 1.0) for each in ids]))
        other = batch_of([(ids[0], START, 9.0)])
        append_log(session, partition=5, batch_id="other", received_at=NOW, batch=other)
        report = fold(session, PARTITION, {})
        assert list(read_log(session, PARTITION)) == []
        assert len(list(read_log(session, 5))) == 1
    assert (report.log_rows, report.points, report.tiles, report.series_moved) == (2, 600, 2, 0)


def test_the_log_is_read_back_in_the_order_written(database: Database) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        written = [append(session, batch_of([(series_id, START, float(n))], rarity=[n])) for n in range(5)]
    with database.reading() as session:
        rows = list(read_log(session, PARTITION))
    assert [row_id for row_id, _ in rows] == written == sorted(written)
    assert [batch.value.tolist() for _, batch in rows] == [[n] for n in range(5)]
    assert [batch.rarity.tolist() for _, batch in rows] == [[n] for n in range(5)]


def test_a_batch_delivered_again_is_refused_by_its_id(database: Database) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
    batch = batch_of([(series_id, START, 1.0)])
    for attempt in range(2):
        with database.writing() as session:
            if attempt:
                with pytest.raises(IntegrityError), session.begin_nested():
                    append_log(session, partition=0, batch_id="same", received_at=NOW, batch=batch)
            else:
                append_log(session, partition=0, batch_id="same", received_at=NOW, batch=batch)


def test_a_grid_holds_what_training_wants(database: Database) -> None:
    with database.writing() as session:
        ids = new_series(session, 3)
        points = [(each, START + step * HOUR, float(step)) for each in ids for step in range(400)]
        points[5] = (ids[0], START + 5 * HOUR, NAN)
        append(session, batch_of(points))
        append(session, batch_of([(ids[1], START + 500 * HOUR + 60, 8.0), (ids[1], START + 500 * HOUR + 59, 7.0)]))
        fold(session, PARTITION, {ids[2]: 1800})

        half_hourly, hourly = read_grids(session, PARTITION, START, START + 600 * HOUR)
        (only,) = read_grids(session, PARTITION, START + 3 * HOUR, START + 6 * HOUR, series_ids=[ids[1]])

    assert hourly.series_ids.tolist() == ids[:2]
    assert hourly.cadence == HOUR
    assert hourly.timestamp.tolist() == [START + step * HOUR for step in range(600)]
    expected = np.r_[np.arange(400.0), np.full(200, NAN)]
    expected[500] = 7
    np.testing.assert_array_equal(hourly.values[1], expected)
    assert np.isnan(hourly.values[0, 5])
    assert hourly.offset is not None
    assert hourly.offset[1, 500] == 59
    assert hourly.offset.sum() == 59
    assert half_hourly.offset is None
    np.testing.assert_array_equal(half_hourly.values[0, ::2][:400], np.arange(400))
    assert np.isnan(half_hourly.values[0, 1::2]).all()
    np.testing.assert_array_equal(only.values, [[3, 4, 5]])


@pytest.mark.parametrize("step", [60, 61, 86_400])
def test_a_series_of_unknown_cadence_gets_the_one_its_points_show(database: Database, step: int) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        append(session, batch_of([(series_id, START + n * step, 1.0) for n in range(10)]))
        fold(session, PARTITION, {})
        (grid,) = read_grids(session, PARTITION, START, START + 10 * step)
    assert grid.cadence == {61: 60}.get(step, step)


def test_a_series_whose_cadence_changes_takes_all_its_points_along(database: Database) -> None:
    with database.writing() as session:
        ids = new_series(session, 2)
        append(session, batch_of([(each, START + n * HOUR, float(n)) for each in ids for n in range(200)]))
        fold(session, PARTITION, dict.fromkeys(ids, HOUR))
        append(session, batch_of([(each, START + 300 * HOUR + n * 60, float(n)) for each in ids for n in range(9)]))
        report = fold(session, PARTITION, {ids[0]: 60, ids[1]: HOUR})
        grids = {grid.cadence: grid for grid in read_grids(session, PARTITION, START, START + 400 * HOUR)}
        assert len(read_points(session, ids[:1], *EVER)) == 209
    assert report.series_moved == 1
    assert {cadence: grid.series_ids.tolist() for cadence, grid in grids.items()} == {60: ids[:1], HOUR: ids[1:]}
    assert np.isfinite(grids[60].values).sum() == 209


def test_an_erased_series_leaves_no_point_behind_in_tiles_or_log(database: Database) -> None:
    """Guarantee 29, the points of it."""
    with database.writing() as session:
        ids = new_series(session, 3)
        points = [(each, START + n * 1800, 123.0) for n in range(400) for each in ids]
        append(session, batch_of(points, rarity=[1.0] * len(points)))
        fold(session, PARTITION, dict.fromkeys(ids, HOUR))
        append(session, batch_of(points[:3]))
        append(session, batch_of(points[:1]))
        erase_series(session, ids[:1])
        assert len(read_points(session, ids, *EVER)) == 800
        assert len(read_points(session, ids[:1], *EVER)) == 0
        append(session, batch_of([(ids[0], START, 5.0)]))
        fold(session, PARTITION, {})
        again = read_points(session, ids[:1], *EVER)
    assert again.value.tolist() == [5.0]
    assert np.isnan(again.rarity).all()


def test_old_tiles_are_dropped_and_recent_points_stay(database: Database) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        append(session, batch_of([(series_id, START + n * HOUR, 1.0) for n in range(1000)]))
        fold(session, PARTITION, {})
        before = session.query(Tile).count()
        drop_before(session, START + 500 * HOUR)
        stored = read_points(session, [series_id], *EVER)
        after = session.query(Tile).count()
    assert after < before
    assert START < stored.timestamp[0] <= START + 500 * HOUR
    assert stored.timestamp[-1] == START + 999 * HOUR


def test_a_grid_lists_its_series_by_id_whatever_rows_they_have(database: Database) -> None:
    with database.writing() as session:
        ids = new_series(session, 4)
        append(session, batch_of([(each, START + n * HOUR, float(each)) for each in ids for n in range(5)]))
        fold(session, PARTITION, dict.fromkeys(ids, HOUR))
        for cadence in (60, HOUR):  # there and back, so that its row is given to it again or to another
            append(session, batch_of([(ids[0], START, float(ids[0])), (ids[1], START, float(ids[1]))]))
            fold(session, PARTITION, {ids[0]: HOUR, ids[1]: cadence} if cadence == 60 else {ids[0]: 60, ids[1]: HOUR})
        grids = list(read_grids(session, PARTITION, START, START + 5 * HOUR))
    for grid in grids:
        assert grid.series_ids.tolist() == sorted(grid.series_ids.tolist())
        np.testing.assert_array_equal(np.nanmax(grid.values, axis=1), grid.series_ids)
