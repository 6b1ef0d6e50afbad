"""For complex series that earn the cost: statsmodels' MSTL for the seasons, exponential smoothing for the level.

Fitted one series at a time, some thousand times the cost of `seasonal`, so training uses it only where a backtest on
the series' own past says that it pays (`detectors.training.choose`). What it learns is the same kind of thing: hours
of the week, a rate at which the level follows, a scale, and the tails of its evidence.

Bandara, Hyndman and Bergmeir (2021), MSTL; Hyndman et al. (2008), chapter 2, for the smoothing.
"""

from __future__ import annotations

import warnings

import numpy as np

from detectors.calendar import DAY
from detectors.contract import HUGE, Bools, Fields, Floats, History, Ints, Points, Scores
from detectors.profile import WEEK_HOURS, by_week, fit_profile, hours_of_week, phase, slots_of_day
from detectors.rarity import DECADE, RAREST, evidence_at, rarity_of, tail_of_history
from detectors.robust import center_and_unit, mean, median, spread

LARGEST = 1e9
CYCLES = 4
"""The season is the mean of so many last cycles: MSTL lets it drift, and the drift is mostly noise."""
HELD_OUT = 0.25
MOST_STRETCH = 3.0
FEWEST_CYCLES = 2
CLEAN = 4.0  # deviations beyond so many scales are cut before decomposing: MSTL's own robustness costs 15 times as much
CLIP = 3.0
SUM_DECAY = 0.8
KINDS = 2


class Decomposed:
    """MSTL seasons, exponentially smoothed level, evidence of the point and of about five in a row."""

    name = "decomposed"
    version = 1
    evidence: tuple[str, ...] = ("point", "short")

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Fields of series of which nothing is known."""
        baseline: Fields = {
            "trained": np.zeros(count, bool),
            "center": np.zeros(count),
            "unit": np.ones(count),
            "profile": np.zeros((count, WEEK_HOURS), np.float32),
            "level_rate": np.full(count, 0.05),
            "scale": np.ones(count),
            "tail_level": np.full((count, KINDS), 3.0),
            "tail_excess": np.ones((count, KINDS)),
            "tail_log_rate": np.zeros((count, KINDS)),
            "joint_level": np.zeros(count),
            "joint_excess": np.full(count, 1.0 / DECADE),
            "joint_log_rate": np.zeros(count),
        }
        return baseline, _quiet_state(count)

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Decompose each series with at least two days of a daily, or two weeks of a weekly season."""
        baseline, state = self.cold(len(history.values))
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        with np.errstate(all="ignore"):
            learned = [_fit_one(values[row : row + 1], history) for row in range(len(values))]
        for row, fields in enumerate(learned):
            if fields is None:
                continue
            for whole, one in zip((baseline, state), fields, strict=True):
                for name, array in one.items():
                    whole[name][row] = array[0]
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Judge against season and level, then let the level follow (not where frozen)."""
        rows = {name: array[points.row] for name, array in baseline.items() if name != "profile"}
        with np.errstate(all="ignore"):
            return _score(points, baseline["profile"], rows, state)


def _score(points: Points, profile: np.ndarray, rows: Fields, state: Fields) -> tuple[Scores, Fields]:
    hour, following, weight = phase(points.local, points.cadence)
    usual = (1 - weight) * profile[points.row, hour] + weight * profile[points.row, following]
    center, unit = rows["center"], rows["unit"]
    value = np.where(np.isfinite(points.value), points.value, np.nan)
    deviation = np.clip(value / unit - center / unit, -LARGEST, LARGEST) - usual
    signed, after = _judge(deviation, ~points.frozen, rows, state)
    each = rarity_of(np.abs(signed), *(rows[f"tail_{name}"] for name in ("level", "excess", "log_rate")))
    joint = tuple(rows[f"joint_{name}"] for name in ("level", "excess", "log_rate"))
    trained: Bools = rows["trained"]
    known = trained & ~np.isnan(value)
    loudest = np.argmax(np.where(np.isnan(each), -np.inf, each), axis=1)
    sign = np.sign(np.take_along_axis(signed, loudest[:, None], axis=1)[:, 0])
    expected = center + unit * (usual + state["level"])
    point_tail = tuple(rows[f"tail_{name}"][:, 0] for name in ("level", "excess", "log_rate"))
    above, below = (
        unit * rows["scale"] * np.maximum(evidence_at(np.minimum(threshold, RAREST), *point_tail), 1.0)
        for threshold in (points.threshold_up, points.threshold_down)
    )
    return (
        Scores(
            expected=np.where(trained, np.clip(expected, -HUGE, HUGE), np.nan),
            lower=np.where(trained, np.clip(expected - below, -HUGE, HUGE), np.nan),
            upper=np.where(trained, np.clip(expected + above, -HUGE, HUGE), np.nan),
            rarity=np.where(known, rarity_of(each.max(axis=1), *joint), np.nan),
            direction=np.where(known, sign, 0).astype(np.int8),
            evidence=np.where(known[:, None], each, np.nan).astype(np.float32),
        ),
        after,
    )


def _judge(deviation: Floats, learn: Bools, rows: Fields, state: Fields) -> tuple[Floats, Fields]:
    """Signed evidence (B, 2) of deviations from the season, in robust units, and the state after them."""
    innovation = deviation - state["level"]
    standard = innovation / rows["scale"]
    summed = SUM_DECAY * state["sum"] + (1 - SUM_DECAY**2) ** 0.5 * np.clip(standard, -6.0, 6.0)
    known = ~np.isnan(deviation)
    cut = CLIP * rows["scale"]
    followed = state["level"] + rows["level_rate"] * np.clip(innovation, -cut, cut)
    after = {
        "level": np.where(known & learn, followed, state["level"]),
        "sum": np.where(known, summed, state["sum"]),
        "count": state["count"] + known,
    }
    return np.stack([standard, summed], axis=1), after


def _quiet_state(count: int) -> Fields:
    return {"level": np.zeros(count), "sum": np.zeros(count), "count": np.zeros(count, np.int64)}


def _fit_one(values: Floats, history: History) -> tuple[Fields, Fields] | None:
    """Baseline and state of one series (1, N); None where there is too little of it, or it does not decompose."""
    if (~np.isnan(values)).sum() < 2 or history.cadence > DAY:
        return None
    center, unit = center_and_unit(values)
    y = np.clip(values / unit[:, None] - (center / unit)[:, None], -LARGEST, LARGEST)
    rough = fit_profile(y, history.local, history.cadence)
    hour, following, weight = phase(history.local, history.cadence)
    usual = rough.hours[:, hour] * (1 - weight) + rough.hours[:, following] * weight
    bound = CLEAN * spread(y - usual)[:, None]
    clean = np.clip(y, usual - bound, usual + bound)
    decomposed = _decompose(clean, history.local, history.cadence)
    if decomposed is None:
        return None
    hours, level_rate = decomposed
    residual = y - (hours[hour] * (1 - weight) + hours[following] * weight)
    stretch = _stretch(clean, residual, level_rate, history)
    baseline, state = _calibrated(residual * stretch, hours, level_rate, center, unit, history.cadence)
    state["level"] = state["level"] / stretch
    return baseline, state


def _stretch(clean: Floats, residual: Floats, level_rate: float, history: History) -> float:
    """How much larger errors are on days that were not decomposed: measured on the last quarter, held out once."""
    held = int(len(history.local) * (1 - HELD_OUT))
    earlier = _decompose(clean[:, :held], history.local[:held], history.cadence)
    if earlier is None:
        return 1.5
    hour, following, weight = phase(history.local[held:], history.cadence)
    ahead = clean[:, held:] - (earlier[0][hour] * (1 - weight) + earlier[0][following] * weight)
    outside, inside = (_error_scale(part, level_rate) for part in (ahead, residual[:, held:]))
    return float(np.clip(outside / max(inside, 1e-12), 1.0, MOST_STRETCH))


def _error_scale(residual: Floats, level_rate: float) -> float:
    start = float(np.nan_to_num(median(residual, 1))[0])
    innovations, _ = _innovations(residual[0], level_rate, start, float(spread(residual - start)[0]))
    return float(spread(innovations[None, :])[0])


def _decompose(clean: Floats, local: Ints, cadence: int) -> tuple[Floats, float] | None:
    """The season by hour of the week (168,), and the rate (a point) at which the level follows."""
    slots = slots_of_day(cadence)
    grid = by_week(clean, local, slots)[0].ravel()
    known = np.flatnonzero(~np.isnan(grid))
    if not len(known):
        return None
    first, last = known[0], known[-1] + 1
    series = np.interp(np.arange(first, last), known, grid[known])
    periods = [period for period in (slots, 7 * slots) if period > 1 and len(series) >= FEWEST_CYCLES * period + 2]
    if not periods:
        return None
    from statsmodels.tsa.holtwinters import SimpleExpSmoothing  # a second of a start, for a detector of few series
    from statsmodels.tsa.seasonal import MSTL

    jumps = {name: max(1, max(periods) // 8) for name in ("trend_jump", "low_pass_jump")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            seasonal = (
                MSTL(series, periods=periods, stl_kwargs=jumps).fit().seasonal.reshape(len(series), -1).sum(axis=1)
            )
            smoothing = SimpleExpSmoothing(series - seasonal, initialization_method="estimated").fit()
            rate = float(np.clip(np.nan_to_num(smoothing.params["smoothing_level"], nan=0.05), 0.001, 0.9))
        except (ValueError, FloatingPointError, np.linalg.LinAlgError, ZeroDivisionError):
            return None
    recent = np.full(len(grid), np.nan)
    recent[first:last] = seasonal
    cycles = recent.reshape(-1, 7 * slots)
    days = np.tile(mean(_last_cycles(recent.reshape(-1, slots)), 0), 7)
    weekly = np.where(np.isnan(cycles).all(axis=0), days, mean(_last_cycles(cycles), 0))
    if not np.isfinite(weekly).all():
        return None
    per_point = 1 - (1 - rate) ** min(cadence * slots / DAY, 1.0)
    return hours_of_week(weekly[None, :], slots)[0], per_point


def _last_cycles(cycles: Floats) -> Floats:
    """The last three known values of each phase, (cycles, phases) in, NaN elsewhere."""
    later = np.cumsum(~np.isnan(cycles)[::-1], axis=0)[::-1]
    return np.where(later <= CYCLES, cycles, np.nan)


def _calibrated(
    residual: Floats, hours: Floats, level_rate: float, center: Floats, unit: Floats, cadence: int
) -> tuple[Fields, Fields]:
    """Scale and tails from one causal pass over the residuals (1, N)."""
    baseline: Fields = {
        "trained": np.ones(1, bool),
        "center": center,
        "unit": unit,
        "profile": hours[None, :].astype(np.float32),
        "level_rate": np.array([level_rate]),
    }
    floor = np.maximum(1e-3 * np.abs(center) / unit, 1e-6)
    start = np.nan_to_num(median(residual[:, : max(3, DAY // cadence)], 1))
    roughly, _ = _innovations(residual[0], level_rate, float(start[0]), float(spread(residual - start[:, None])[0]))
    baseline["scale"] = np.maximum(spread(roughly[None, :]), floor)
    signed, state = _judged_in_turn(residual[0], baseline, float(start[0]))
    tails = [tail_of_history(np.abs(signed[None, :, kind]), cadence) for kind in range(KINDS)]
    each = np.stack([tail.rarity(np.abs(signed[None, :, kind])) for kind, tail in enumerate(tails)], axis=2)
    rate = float(tails[0].log_rate[0])
    joint = tail_of_history(each.max(axis=2), cadence, prior_level=-rate, prior_excess=1.0 / DECADE)
    for name in ("level", "excess", "log_rate"):
        baseline[f"tail_{name}"] = np.stack([getattr(tail, name) for tail in tails], axis=1)
        baseline[f"joint_{name}"] = getattr(joint, name)
    return baseline, state


def _judged_in_turn(deviation: Floats, baseline: Fields, level: float) -> tuple[Floats, Fields]:
    """What `_judge` says of the deviations (N,) of one series, (N, 2), and the state after them."""
    from scipy.signal import lfilter  # as dear to import as statsmodels

    scale, rate = float(baseline["scale"][0]), float(baseline["level_rate"][0])
    innovations, level = _innovations(deviation, rate, level, scale)
    standard, known = innovations / scale, ~np.isnan(deviation)
    summed = np.full(len(deviation), np.nan)
    summed[known] = lfilter([(1 - SUM_DECAY**2) ** 0.5], [1.0, -SUM_DECAY], np.clip(standard[known], -6.0, 6.0))
    last = summed[known][-1:] if known.any() else np.zeros(1)
    state = {"level": np.array([level]), "sum": last, "count": np.array([known.sum()])}
    return np.stack([standard, summed], axis=1), state


def _innovations(residual: Floats, rate: float, level: float, scale: float) -> tuple[Floats, float]:
    """One-step errors (N,) of the smoothed level, steps cut at a few scales, and the level after them."""
    errors = np.full(len(residual), np.nan)
    cut = CLIP * max(scale, 1e-12)
    for place, value in enumerate(residual.tolist()):
        if value == value:
            error = value - level
            errors[place] = error
            level += rate * min(max(error, -cut), cut)
    return errors, level
