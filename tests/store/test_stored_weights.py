"""Weights are kept with their points, in log and tiles, and cost nothing where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.store.database import Database
from app.store.points import erase_series, fold, read_grids, read_points
from tests.store.factories import PARTITION, append, batch_of, new_series

START = 1_767_225_600  # 2026-01-01
HOUR = 3_600
EVER = (0, 1 << 40)
NAN = float("nan")


def test_weights_outlive_folds_corrections_and_the_company_of_points_without(database: Database) -> None:
    with database.writing() as session:
        ids = new_series(session, 3)
        append(session, batch_of([(ids[0], START + n * HOUR, 1.0) for n in range(3)]))
        fold(session, PARTITION, dict.fromkeys(ids, HOUR))
        points = [(ids[0], START + HOUR, 2.0), (ids[1], START, 3.0), (ids[1], START + 90, 4.0)]  # the last off the grid
        append(session, batch_of(points, weight=[20.0, 30.0, 40.0]))
        in_log = read_points(session, ids, *EVER).weight.tolist()
        fold(session, PARTITION, {})
        append(session, batch_of([(ids[2], START, 5.0), (ids[1], START, 6.0)], weight=[NAN, 60.0]))
        fold(session, PARTITION, {})
        in_tiles = read_points(session, ids, *EVER)
        (grid,) = read_grids(session, PARTITION, START, START + 3 * HOUR)
        erase_series(session, [ids[1]])
        left = read_points(session, ids, *EVER).weight
    np.testing.assert_array_equal(in_log, [NAN, 20.0, NAN, 30.0, 40.0])
    np.testing.assert_array_equal(in_tiles.weight, [NAN, 20.0, NAN, 60.0, 40.0, NAN])
    assert in_tiles.value.tolist() == [1.0, 2.0, 1.0, 6.0, 4.0, 5.0]
    assert grid.weights is not None
    np.testing.assert_array_equal(grid.weights[:2], [[NAN, 20.0, NAN], [60.0, NAN, NAN]])
    np.testing.assert_array_equal(left, [NAN, 20.0, NAN, NAN])


def test_a_correction_without_a_weight_takes_it_away(database: Database) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        for value, weight in ((1.0, 20.0), (2.0, NAN)):
            append(session, batch_of([(series_id, START, value)], weight=[weight]))
            fold(session, PARTITION, {series_id: HOUR})
        assert np.isnan(read_points(session, [series_id], *EVER).weight).all()


def test_points_without_weights_are_stored_as_ever(database: Database) -> None:
    with database.writing() as session:
        (series_id,) = new_series(session, 1)
        plain = batch_of([(series_id, START, 1.0)])
        assert plain.to_stored().weight is None
        append(session, plain)
        fold(session, PARTITION, {})
        (grid,) = read_grids(session, PARTITION, START, START + HOUR)
    assert grid.weights is None


def test_what_the_log_holds_is_laid_over_a_grid_as_a_fold_would_do_it(database: Database) -> None:
    """Points off the grid, corrections, points known to be missing and the first weights of all."""
    later = batch_of(
        [(1, START + HOUR, 7.0), (2, START + HOUR + 90, 8.0), (2, START, NAN), (9, START, 1.0), (1, START - HOUR, 5.0)],
        weight=[70.0, NAN, NAN, 90.0, 50.0],
    )
    with database.writing() as session:
        ids = new_series(session, 2)
        append(session, batch_of([(each, START + n * HOUR, float(n)) for each in ids for n in (0, 1, 3)]))
        fold(session, PARTITION, dict.fromkeys(ids, HOUR))
        (stored,) = read_grids(session, PARTITION, START, START + 4 * HOUR)
    grid = replace(stored, series_ids=np.array([1, 2])).overlaid([later])

    np.testing.assert_array_equal(grid.values, [[0, 7, NAN, 3], [NAN, 8, NAN, 3]])
    assert grid.offset is not None
    assert grid.offset.tolist() == [[0, 0, 0, 0], [0, 90, 0, 0]]
    assert grid.weights is not None
    np.testing.assert_array_equal(grid.weights, [[NAN, 70, NAN, NAN], [NAN] * 4])
    np.testing.assert_array_equal(stored.values, [[0, 1, NAN, 3], [0, 1, NAN, 3]])
    without = stored.overlaid([])
    assert without.offset is None
    assert without.weights is None
