"""Additive or multiplicative: a series whose noise and season grow with its level is judged in shares of its level.

Its season and growth are learned from logarithms, where they add up. A deviation is then a share of what was expected,
as noise of so many per cent is even in shares; only where logarithms make the noise even, as with the lognormal, is it
judged as a difference of logarithms. Everything else is judged as it is.
"""

from __future__ import annotations

import numpy as np

from detectors.contract import Bools, Fields, Floats, History
from detectors.profile import DAY, slots_of_day
from detectors.robust import mean, median

FEWEST_WEEKS = 2
FEWEST_CELLS = 12
LEAST_RANGE = 0.08
"""Standard deviation of the logarithm of the level between phases and weeks; where it varies less, nothing is seen."""
LEAST_POWER, MOST_POWER = 0.7, 1.5
"""Noise that grows as a power of the level: 0 is additive, 1 multiplicative."""
SURE = 4.0  # standard errors of that power
LOWEST_SHARE = 0.05  # of the usual value: what is less counts as that where a logarithm is taken
LARGEST_LOG = 20.0
NOISE_AT = (0.05, 0.5, 0.95, 0.995)
"""Shares of the points, by whose deviations noise is told to be even in logarithms."""
EVEN, LEANING, PLAIN_TAIL = 0.15, 0.25, 1.9


def untransformed(count: int) -> Fields:
    """Baseline fields of series that are judged as they are.

    log_floor: 0, or the least value whose logarithm is taken. log_noise: whether deviations are differences of
    logarithms and not shares.
    """
    return {"log_floor": np.zeros(count), "log_noise": np.zeros(count, bool)}


def fit_transform(values: Floats, history: History, size: Floats | None = None) -> Fields:
    """Which of the values (S, N) of a history are multiplicative, NaN where missing.

    Ratios with weights and series that reach zero never are. size: (S,), their medians without sign, if known already.
    """
    fields = untransformed(len(values))
    if not history.cadence or DAY % history.cadence:
        return fields
    lowest = np.fmin.reduce(values, axis=1, initial=np.inf)
    weighted = np.zeros(len(values), bool) if history.weights is None else ~np.isnan(history.weights).all(axis=1)
    positive = np.flatnonzero((lowest > 0) & np.isfinite(lowest) & ~weighted)
    if positive.size:
        found = positive[_is_multiplicative(values[positive], history.cadence)]
        usual = median(values[found], 1) if size is None else size[found]
        fields["log_floor"][found] = np.minimum(lowest[found], LOWEST_SHARE * usual)
    return fields


def _is_multiplicative(values: Floats, cadence: int) -> Bools:
    """Whether the change from day to day grows with the level, over phases of the day and weeks, for (S, N) values."""
    slots, per_week = slots_of_day(cadence), 7 * DAY // cadence
    weeks = values.shape[1] // per_week
    if weeks < FEWEST_WEEKS:
        return np.zeros(len(values), bool)
    recent = values[:, values.shape[1] - weeks * per_week :]
    cells = recent.reshape(len(values), weeks, 7, slots, -1)
    cells = np.nan_to_num(cells[..., 0]) if cells.shape[4] == 1 else mean(cells, 4)
    level = median(cells, 2).reshape(len(values), -1)
    change = median(np.abs(np.diff(cells, axis=2)), 2).reshape(len(values), -1)
    x, y = np.log(level), np.log(np.maximum(change, 1e-3 * level))
    known = np.isfinite(x) & np.isfinite(y)
    x, y = (np.where(known, each, np.nan) for each in (x, y))
    x, y = x - mean(x, 1)[:, None], y - mean(y, 1)[:, None]
    varied, together = mean(x * x, 1), mean(x * y, 1)
    power = together / varied
    count = known.sum(axis=1)
    error = np.sqrt(np.maximum(mean(y * y, 1) - power * together, 0.0) / varied / np.maximum(count - 2, 1))
    usable = (count >= FEWEST_CELLS) & (np.sqrt(varied) > LEAST_RANGE)
    return np.asarray(usable & (power > LEAST_POWER) & (power < MOST_POWER) & (power > SURE * error))


def transformed(values: Floats, log_floor: Floats) -> Floats:
    """The logarithm of values where `log_floor`, which broadcasts against them, is not 0."""
    logged = log_floor > 0
    if not logged.any():
        return values
    return np.where(logged, np.log(np.where(logged, np.maximum(values, log_floor), 1.0)), values)


def back(values: Floats, log_floor: Floats) -> Floats:
    """The inverse of `transformed`."""
    logged = log_floor > 0
    if not logged.any():
        return values
    return np.where(logged, np.exp(np.minimum(values, 700.0)), values)


def as_shares(deviation: Floats, unit: Floats, fields: Fields) -> Floats:
    """Deviations in logarithms, in robust units, as shares of what was expected where those are even."""
    shared = _is_shared(fields)
    if not shared.any():
        return deviation
    return np.where(shared, np.expm1(np.minimum(deviation * unit, LARGEST_LOG)) / unit, deviation)


def from_shares(deviation: Floats, unit: Floats, fields: Fields) -> Floats:
    """The inverse of `as_shares`."""
    shared = _is_shared(fields)
    if not shared.any():
        return deviation
    return np.where(shared, np.log(np.maximum(1.0 + deviation * unit, np.exp(-LARGEST_LOG))) / unit, deviation)


def _is_shared(fields: Fields) -> Bools:
    return np.asarray((fields["log_floor"] > 0) & ~fields["log_noise"])


def is_even_in_logs(noise: Floats, log_floor: Floats) -> Bools:
    """Whether residuals, in logarithms, are as even and as short-tailed as those of a lognormal series are.

    noise: (S, 4), their quantiles of `NOISE_AT`.
    """
    low, middle, high, far = noise.T
    lean = np.log((high - middle) / (middle - low))
    lean_of_shares = np.log(np.expm1(high - middle) / -np.expm1(low - middle))
    short = far - middle < PLAIN_TAIL * (high - middle)
    return np.asarray((log_floor > 0) & (np.abs(lean) < EVEN) & (np.abs(lean_of_shares) > LEANING) & short)
