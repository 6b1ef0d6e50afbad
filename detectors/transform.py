"""Additive or multiplicative: where a series swings and errs in proportion to its level, it is judged by its logarithm."""

from __future__ import annotations

import numpy as np

from detectors.contract import Bools, Fields, Floats, History
from detectors.robust import mean, median

DAY, HOUR = 86_400, 3_600
FEWEST_DAYS = 10
LEAST_RANGE = 0.08
MULTIPLICATIVE = 0.7


def linear(count: int) -> Fields:
    """Fields of series that are judged as they are."""
    return {"log_floor": np.zeros(count), "skewed": np.zeros(count, bool)}


def fit_transform(history: History) -> Fields:
    fields = linear(len(history.values))
    if history.weights is not None or not history.cadence:
        return fields
    values = np.where(np.isfinite(history.values), history.values, np.nan)
    lowest = np.nanmin(np.where(np.isnan(values), np.inf, values), axis=1)
    usual = median(values, 1)
    logged = (lowest > 0) & is_multiplicative(values, history.cadence)
    fields["log_floor"][logged] = np.minimum(lowest, usual * 0.05)[logged]
    return fields


def is_multiplicative(values: Floats, cadence: int) -> Bools:
    slots = int(np.clip(DAY // cadence, 1, 24))
    width = DAY // slots // cadence
    if width < 1 or DAY % cadence:
        return np.zeros(len(values), bool)
    per_day = DAY // cadence
    days = values.shape[1] // per_day
    if days < FEWEST_DAYS:
        return np.zeros(len(values), bool)
    recent = values[:, values.shape[1] - days * per_day :].reshape(len(values), days, per_day)
    by_slot = recent[:, :, : slots * width].reshape(len(values), days, slots, width).mean(axis=3)
    weeks = days // 7 or 1
    used = by_slot[:, days - 7 * weeks :] if days >= 7 else by_slot
    cells = used.reshape(len(values), weeks, -1, slots)
    level = median(np.moveaxis(cells, 2, -1).reshape(-1, cells.shape[2]), 1).reshape(len(values), -1)
    change = np.diff(cells, axis=2)
    size = median(np.abs(np.moveaxis(change, 2, -1)).reshape(-1, change.shape[2]), 1).reshape(len(values), -1)
    x, y = np.log(level), np.log(np.maximum(size, 1e-3 * level))
    good = np.isfinite(x) & np.isfinite(y)
    n = good.sum(axis=1)
    x0, y0 = np.where(good, x, np.nan), np.where(good, y, np.nan)
    x0 = x0 - mean(x0, 1)[:, None]
    y0 = y0 - mean(y0, 1)[:, None]
    xx, xy, yy = mean(x0 * x0, 1), mean(x0 * y0, 1), mean(y0 * y0, 1)
    slope = xy / xx
    error = np.sqrt(np.maximum(yy - slope * xy, 1e-12) / xx / np.maximum(n - 2, 1))
    with np.errstate(all="ignore"):
        found = (np.sqrt(xx) > LEAST_RANGE) & (slope > MULTIPLICATIVE) & (slope < 1.5) & (slope > 4 * error)
    return np.asarray(found & (n >= 12))


def forth(values: Floats, log_floor: Floats) -> Floats:
    logged = log_floor > 0
    if not logged.any():
        return values
    return np.where(logged, np.log(np.maximum(values, log_floor)), values)


def back(values: Floats, log_floor: Floats) -> Floats:
    logged = log_floor > 0
    if not logged.any():
        return values
    return np.where(logged, np.exp(np.minimum(values, 700.0)), values)


def softened(deviation: Floats, unit: Floats, rows: Fields) -> Floats:
    share = (rows["log_floor"] > 0) & ~rows["skewed"]
    if not share.any():
        return deviation
    return np.where(share, np.expm1(np.minimum(deviation * unit, 20.0)) / unit, deviation)


def hardened(deviation: Floats, unit: Floats, rows: Fields) -> Floats:
    share = (rows["log_floor"] > 0) & ~rows["skewed"]
    if not share.any():
        return deviation
    return np.where(share, np.log(np.maximum(1 + deviation * unit, 1e-9)) / unit, deviation)


def is_skewed(deviation: Floats, unit: Floats, log_floor: Floats) -> Bools:
    """Whether the logarithm makes residuals (S, N) even that as shares reach further up than down."""
    skewed = np.zeros(len(deviation), bool)
    for row in np.flatnonzero(log_floor > 0):
        known = deviation[row][~np.isnan(deviation[row])] * unit[row]
        low, middle, high, far = np.quantile(known, (0.05, 0.5, 0.95, 0.995)) if known.size else (0, 0, 0, 0)
        even = np.log((high - middle) / (middle - low))
        lean = np.log((np.exp(high) - np.exp(middle)) / (np.exp(middle) - np.exp(low)))
        skewed[row] = abs(even) < 0.15 and abs(lean) > 0.25 and (far - middle) < 1.9 * (high - middle)
        print("SKEW", len(deviation), round(even, 2), round(lean, 2), round((far - middle) / (high - middle), 2), skewed[row]) if TALK else 0
    return skewed
TALK = 0
