"""Medians that skip missing values, along one axis of many series at once."""

from __future__ import annotations

import numpy as np

from detectors.contract import Floats


def median(values: Floats, axis: int) -> Floats:
    """Median along `axis`, NaN skipped; NaN where there is nothing. Several times faster than `numpy.nanmedian`."""
    ordered = np.sort(values, axis=axis)
    count = np.expand_dims((~np.isnan(values)).sum(axis=axis), axis)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[axis] - 1), axis=axis)
    return np.asarray(np.squeeze(low + (high - low) / 2, axis=axis))


def mean(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Mean along `axis`, NaN skipped; 0 where there is nothing."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1))


def center_and_unit(values: Floats) -> tuple[Floats, Floats]:
    """Median and robust scale of each series (S, N), the scale never 0: 1 % of the size where nothing varies."""
    center = median(values, 1)
    distance = np.abs(values - center[:, None])
    unit = 1.4826 * median(distance, 1)
    unit = np.where(unit > 0, unit, mean(distance, 1))
    usable = (unit > 0) & np.isfinite(unit)
    return center, np.where(usable, unit, np.maximum(np.abs(center) * 0.01, 1e-12))


def spread(deviation: Floats) -> Floats:
    """Scale of (S, N) deviations about zero, as the standard deviation of a normal would be: clipped mean |deviation|.

    The fixed point of s = 1.2533 mean(min(|d|, 3 s)), which is also what `seasonal` follows online.
    """
    size = np.abs(deviation)
    scale = np.nan_to_num(1.4826 * median(size, 1))
    scale = np.where(scale > 0, scale, 1.2533 * mean(size, 1))
    for _ in range(3):
        scale = 1.2533 * mean(np.minimum(size, 3.0 * scale[:, None]), 1)
    return scale
