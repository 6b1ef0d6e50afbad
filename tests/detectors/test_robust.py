"""Medians and scales are what `numpy` makes of them, only sooner."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.contract import Floats
from detectors.robust import FEW, center_and_unit, median


def values(count: int, missing: float) -> Floats:
    rng = np.random.default_rng(count)
    found = rng.standard_normal((6, count, 4))
    found[rng.random(found.shape) < missing] = np.nan
    found[:, 0] = 1.0
    return np.asarray(found)


@pytest.mark.parametrize("count", [1, 2, 5, FEW, FEW + 1, 40])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_a_median_skips_what_is_missing_along_any_axis(count: int, missing: float) -> None:
    one = values(count, missing)
    for found in (median(one, 1), median(np.moveaxis(one, 1, 2), 2)):
        assert found == pytest.approx(np.nanmedian(one, axis=1))


def test_there_is_no_median_of_nothing() -> None:
    assert np.isnan(median(np.full((2, 3), np.nan), 1)).all()


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("count", [20, 21])
def test_the_unit_is_the_median_distance_from_the_median(count: int, missing: float) -> None:
    one = values(count, missing)[..., 0]
    center, unit = center_and_unit(one)
    middle = np.nanmedian(one, axis=1)
    assert center == pytest.approx(middle)
    assert unit == pytest.approx(1.4826 * np.nanmedian(np.abs(one - middle[:, None]), axis=1))
