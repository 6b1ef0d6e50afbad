"""Medians that skip missing values, along one axis of many series at once."""

from __future__ import annotations

import numpy as np

from detectors.contract import Floats

FEW = 8
"""Up to so many values are put in order by comparing whole lines: a fourth of the time of `numpy.sort`."""


def median(values: Floats, axis: int) -> Floats:
    """Median along `axis`, NaN skipped; NaN where there is nothing. Several times faster than `numpy.nanmedian`."""
    return middle(_ordered(values, axis))


def middle(ordered: Floats) -> Floats:
    """The same along the first axis of what is in ascending order already, NaN last."""
    count = len(ordered)
    if count and not np.isnan(ordered[-1]).any():
        low, high = ordered[(count - 1) // 2], ordered[count // 2]
    else:
        known = np.count_nonzero(~np.isnan(ordered), axis=0)[None]
        low = np.take_along_axis(ordered, np.maximum(known - 1, 0) // 2, axis=0)[0]
        high = np.take_along_axis(ordered, np.minimum(known // 2, count - 1), axis=0)[0]
    return np.asarray(low + (high - low) / 2)


def _ordered(values: Floats, axis: int) -> Floats:
    """The values in ascending order along `axis`, which comes first, NaN last."""
    if values.shape[axis] > FEW:
        ordered = np.array(np.moveaxis(values, axis, -1), order="C")
        ordered.sort(axis=-1)
        return np.moveaxis(ordered, -1, 0)
    lines = list(np.ascontiguousarray(np.moveaxis(values, axis, 0)))
    for turn in range(len(lines)):
        for place in range(turn % 2, len(lines) - 1, 2):
            one, other = lines[place : place + 2]
            lines[place], lines[place + 1] = np.fmin(one, other), np.maximum(one, other)
    return np.array(lines)


def mean(values: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Mean along `axis`, NaN skipped; 0 where there is nothing."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1))


def center_and_unit(values: Floats) -> tuple[Floats, Floats]:
    """Median and robust scale of each series (S, N), the scale never 0: 1 % of the size where nothing varies."""
    return center_and_unit_of(np.sort(values, axis=1))


def center_and_unit_of(ordered: Floats) -> tuple[Floats, Floats]:
    """The same of values that are in ascending order already, NaN last."""
    center = middle(ordered.T)
    unit = 1.4826 * _median_distance(ordered, center)
    unit = np.where(unit > 0, unit, mean(np.abs(ordered - center[:, None]), 1))
    usable = (unit > 0) & np.isfinite(unit)
    return center, np.where(usable, unit, np.maximum(np.abs(center) * 0.01, 1e-12))


def _median_distance(ordered: Floats, center: Floats) -> Floats:
    """Median distance from the center of (S, N) values in ascending order, NaN last."""
    count = ordered.shape[1]
    if not count or np.isnan(ordered[:, -1]).any():
        return median(np.abs(ordered - center[:, None]), 1)

    def nearest(number: int) -> Floats:
        """How far the nearest so many reach: they lie side by side."""
        first, last = ordered[:, : count - number + 1], ordered[:, number - 1 :]
        return np.asarray(np.maximum(center[:, None] - first, last - center[:, None]).min(axis=1))

    low, high = nearest((count + 1) // 2), nearest(count // 2 + 1)
    return low + (high - low) / 2


def spread(deviation: Floats) -> Floats:
    """Scale of (S, N) deviations about zero, as the standard deviation of a normal would be: clipped mean |deviation|.

    The fixed point of s = 1.2533 mean(min(|d|, 3 s)), which is also what `seasonal` follows online.
    """
    size = np.abs(deviation)
    scale = np.nan_to_num(1.4826 * median(size, 1))
    known = ~np.isnan(size)
    size, count = np.where(known, size, 0.0), np.maximum(known.sum(axis=1), 1)
    scale = np.where(scale > 0, scale, 1.2533 * (size.sum(axis=1) / count))
    for _ in range(3):
        scale = 1.2533 * (np.minimum(size, 3.0 * scale[:, None]).sum(axis=1) / count)
    return scale
