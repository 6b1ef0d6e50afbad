"""The default detector: phase profile, level, autoregression, and evidence gathered over several spans.

Everything is additive in the series' own robust unit. A point's expected value is profile + level + AR(1) carry; the
innovation that remains is standardised by a scale that follows slowly. Four kinds of evidence speak: the innovation
itself, its exponentially weighted sum over about 5 and 20 points, and the distance from the static profile. Each is
turned into a rarity by its own tail, estimated on the history; the sum of what they say is then calibrated once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from detectors.contract import Bools, Fields, Floats, History, Points, Scores
from detectors.profile import WEEK_HOURS, fit_profile, phase
from detectors.rarity import (
    DECADE,
    RAREST,
    WEEK_SECONDS,
    Tail,
    block_length,
    block_maxima,
    evidence_at,
    fit_tail,
    rarity_of,
)
from detectors.robust import center_and_unit, median, spread

SPANS = (1, 5, 20)
KINDS = len(SPANS) + 1
DECAY = np.array([1.0 - 1.0 / span for span in SPANS[1:]])
LOUDEST = 6.0  # an innovation counts at most this many scales in a sum, so that a spike is not remembered as a drift
CLIP = 2.5  # learning from one innovation is cut at this many scales
NORMAL_AGAIN, FORGET = 2.0, 0.3  # in an open anomaly, an innovation of so many scales lets the sums forget this fast
FEWEST_POINTS = 14
_FOLLOWED = ("carry", "level_rate", "scale_rate", "scale_floor", "profile_scale")
HUGE = float(np.finfo(np.float64).max)
LARGEST = 1e9  # in robust units; keeps squares and sums finite


class Seasonal:
    """Season found from the data (none, daily, weekly, by shrinkage), level, AR(1), rarity by spans."""

    name = "seasonal"
    version = 1
    evidence: tuple[str, ...] = ("point", "short", "long", "profile")

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Fields of series of which nothing is known: expected only, no rarity."""
        baseline: Fields = {
            "trained": np.zeros(count, bool),
            "center": np.zeros(count),
            "unit": np.ones(count),
            "profile": np.zeros((count, WEEK_HOURS), np.float32),
            "carry": np.zeros(count),
            "level_rate": np.full(count, 0.05),
            "scale_rate": np.full(count, 0.005),
            "scale_floor": np.full(count, 1e-9),
            "profile_scale": np.ones(count),
            "tail_level": np.full((count, KINDS), 3.0),
            "tail_excess": np.ones((count, KINDS)),
            "tail_log_rate": np.zeros((count, KINDS)),
            "joint_level": np.zeros(count),
            "joint_excess": np.full(count, 1.0 / DECADE),
            "joint_log_rate": np.zeros(count),
            "daily": np.zeros(count),
            "weekly": np.zeros(count),
        }
        return baseline, _quiet_state(count)

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Robust profile, then one causal pass over the history for carry, scale and the tails of the evidence."""
        baseline, state = self.cold(len(history.values))
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        enough = (~np.isnan(values)).sum(axis=1) >= FEWEST_POINTS
        if not enough.any():
            return baseline, state
        with np.errstate(all="ignore"):
            learned, after = _fit(values[enough], history)
        for name, array in learned.items():
            baseline[name][enough] = array
        for name, array in after.items():
            state[name][enough] = array
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Judge, then learn (not where frozen, not from missing points)."""
        rows = {name: array[points.row] for name, array in baseline.items() if name != "profile"}
        with np.errstate(all="ignore"):
            return _score(points, baseline["profile"], rows, state)


def _score(points: Points, profile: np.ndarray, rows: Fields, state: Fields) -> tuple[Scores, Fields]:
    hour, following, weight = phase(points.local, points.cadence)
    usual = (1 - weight) * profile[points.row, hour] + weight * profile[points.row, following]
    center, unit = rows["center"], rows["unit"]
    value = np.where(np.isfinite(points.value), points.value, np.nan)
    deviation = np.clip(value / unit - center / unit, -LARGEST, LARGEST) - usual
    steps = np.clip((points.timestamp - state["timestamp"]) / np.maximum(points.cadence, 1), 1.0, 1e4)
    learn = ~points.frozen
    judged = _judge(deviation, steps, learn, rows, state)
    judged.state["timestamp"] = np.where(np.isnan(value), state["timestamp"], points.timestamp)
    trained = rows["trained"].astype(bool)
    each = rarity_of(judged.evidence, rows["tail_level"], rows["tail_excess"], rows["tail_log_rate"])
    joint = rarity_of(_joint(each), rows["joint_level"], rows["joint_excess"], rows["joint_log_rate"])
    loudest = np.argmax(np.where(np.isnan(each), -np.inf, each), axis=1)
    sign = np.take_along_axis(judged.signed, loudest[:, None], axis=1)[:, 0]
    known = trained & ~np.isnan(value)
    expected = center + unit * (usual + judged.predicted)
    scale = unit * judged.scale
    upper, lower = (
        expected + side * scale * _width(threshold, rows)
        for side, threshold in ((1.0, points.threshold_up), (-1.0, points.threshold_down))
    )
    young = ~trained & (judged.state["count"] < FEWEST_POINTS)
    return (
        Scores(
            expected=np.where(young, np.nan, _finite(expected)),
            lower=np.where(trained, _finite(lower), np.nan),
            upper=np.where(trained, _finite(upper), np.nan),
            rarity=np.where(known, joint, np.nan),
            direction=np.where(known, np.sign(sign), 0).astype(np.int8),
            evidence=np.where(known[:, None], each, np.nan).astype(np.float32),
        ),
        judged.state,
    )


@dataclass(frozen=True)
class _Judged:
    """evidence, signed: (B, KINDS). predicted: carry + level, and scale before the point: (B,). state: after it."""

    evidence: Floats
    signed: Floats
    predicted: Floats
    scale: Floats
    state: Fields


def _judge(deviation: Floats, steps: Floats, learn: Bools, rows: Fields, state: Fields) -> _Judged:
    """One step of the recursion: deviations from the profile, in robust units, (B,); NaN where missing."""
    level, last, scale, sums = state["level"], state["last"], state["scale"], state["sums"]
    carried = last * rows["carry"] ** steps
    predicted = level + carried
    innovation = deviation - predicted
    known = ~np.isnan(deviation)
    spread_now = np.maximum(scale, rows["scale_floor"])
    standard = innovation / spread_now
    new_sums = sums * DECAY + np.clip(standard, -LOUDEST, LOUDEST)[:, None] * (1 - DECAY**2) ** 0.5
    signed = np.concatenate(
        [standard[:, None], new_sums, ((deviation - level) / rows["profile_scale"])[:, None]], axis=1
    )

    over = ~learn & (np.abs(standard) < NORMAL_AGAIN)
    teach = learn & known
    cut = CLIP * spread_now
    nudge = np.clip(deviation - level, -cut, cut)
    learned = {
        "level": np.where(teach, level + rows["level_rate"] * nudge, level),
        "last": np.where(
            teach, np.clip(deviation - level, carried - cut, carried + cut), np.where(known, carried, last)
        ),
        "scale": np.where(
            teach,
            scale + rows["scale_rate"] * (1.2533 * np.minimum(np.abs(innovation), 3.0 * spread_now) - scale),
            scale,
        ),
        "sums": np.where(known[:, None], np.where(over[:, None], FORGET, 1.0) * new_sums, sums),
        "count": state["count"] + known,
    }
    return _Judged(np.log1p(np.abs(signed)), signed, predicted, spread_now, learned)


def _finite(value: Floats) -> Floats:
    return np.clip(value, -HUGE, HUGE)


def _joint(each: Floats) -> Floats:
    """What the kinds of evidence say together: the loudest, and a part of what the others add."""
    above = np.maximum(each + 2.0, 0.0)
    loudest = above.max(axis=-1)
    return np.asarray(0.5 * loudest + 0.5 * above.sum(axis=-1), dtype=np.float64)


def _width(threshold: Floats, rows: Fields) -> Floats:
    """Half width of the band in scales: the single innovation whose own rarity reaches the threshold."""
    level, excess, rate = (rows[f"tail_{name}"][:, 0] for name in ("level", "excess", "log_rate"))
    return np.maximum(evidence_at(np.minimum(threshold, RAREST), level, excess, rate), 1.0)


def _quiet_state(count: int) -> Fields:
    return {
        "level": np.zeros(count),
        "last": np.zeros(count),
        "scale": np.ones(count),
        "sums": np.zeros((count, KINDS - 2)),
        "timestamp": np.zeros(count, np.int64),
        "count": np.zeros(count, np.int64),
    }


def _fit(values: Floats, history: History) -> tuple[Fields, Fields]:
    cadence = history.cadence
    center, unit = center_and_unit(values)
    y = np.clip(values / unit[:, None] - (center / unit)[:, None], -LARGEST, LARGEST)
    season = fit_profile(y, history.local, cadence)
    hours = season.hours.astype(np.float32)
    hour, following, weight = phase(history.local, cadence)
    residual = y - hours[:, hour] * (1 - weight) - hours[:, following] * weight
    level_rate = 1.0 / float(np.clip(21_600 / cadence, 6, 360))
    scale_rate = 1.0 / float(np.clip(604_800 / cadence, 60, 4_000))
    smooth = _smoothed(residual, level_rate)
    dev = residual - smooth
    rough = spread(dev)
    dev = np.clip(dev, -3 * rough[:, None], 3 * rough[:, None])
    carry = _carry(dev)
    stretch = 1.0 / (1.0 - season.leverage)
    floor = np.maximum(1e-3 * np.abs(center) / unit, 1e-6)
    scale = np.maximum(spread(dev[:, 1:] - carry[:, None] * dev[:, :-1]) * stretch, floor)
    baseline: Fields = {
        "trained": np.ones(len(values), bool),
        "center": center,
        "unit": unit,
        "profile": hours,
        "carry": carry,
        "level_rate": np.full(len(values), level_rate),
        "scale_rate": np.full(len(values), scale_rate),
        "scale_floor": np.maximum(floor, 0.3 * scale),
        "profile_scale": np.maximum(spread(residual) * stretch, floor),
        "daily": season.daily,
        "weekly": season.weekly,
    }
    evidence, state = _replay(residual * stretch[:, None], cadence, scale, baseline)
    baseline |= _tails(evidence, cadence)
    state["level"] /= stretch
    state["last"] /= stretch
    state["timestamp"] = _last_known(values, history)
    state["count"] = (~np.isnan(values)).sum(axis=1)
    return baseline, state


def _last_known(values: Floats, history: History) -> np.ndarray:
    known = ~np.isnan(values)
    return np.asarray(history.timestamp[values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)])


def _smoothed(residual: Floats, rate: float) -> Floats:
    """Causal level of (S, N) winsorised residuals by exponential smoothing, started at their early median."""
    start = np.nan_to_num(median(residual[:, : int(1 / rate) + 1], 1))
    bound = 3 * spread(residual)
    filled = np.where(np.isnan(residual), start[:, None], residual)
    filled = np.clip(filled, -bound[:, None], bound[:, None])
    smooth, _ = lfilter([rate], [1.0, rate - 1.0], filled, axis=1, zi=((1 - rate) * start)[:, None])
    return np.concatenate([start[:, None], smooth[:, :-1]], axis=1)


def _carry(dev: Floats) -> Floats:
    """First-order autoregression of (S, N) clipped deviations."""
    now, before = dev[:, 1:], dev[:, :-1]
    both = ~(np.isnan(now) | np.isnan(before))
    n, b = np.where(both, now, 0.0), np.where(both, before, 0.0)
    return np.asarray(np.clip((n * b).sum(axis=1) / np.maximum((b * b).sum(axis=1), 1e-300), 0.0, 0.98))


def _replay(residual: Floats, cadence: int, scale: Floats, baseline: Fields) -> tuple[np.ndarray, Fields]:
    """Run the recursion over (S, N) residuals: evidence (S, N', KINDS) of recent columns, and the state at the end.

    A long history is cut into pieces that run side by side, each warmed up on the points before it.
    """
    series, columns = residual.shape
    warm = min(int(np.clip(86_400 / cadence, 20, 480)), columns // 3)
    length = int(np.clip((columns - warm) // 4, 64, 1_440))
    pieces = max(1, -(-(columns - warm) // length))
    padded = np.full((series, pieces * length + warm), np.nan)
    padded[:, padded.shape[1] - columns :] = residual[:, -padded.shape[1] :]
    windows = np.lib.stride_tricks.sliding_window_view(padded, length + warm, axis=1)[:, ::length]
    steps_first = np.ascontiguousarray(windows.transpose(2, 0, 1).reshape(length + warm, series * pieces))
    owner = np.repeat(np.arange(series), pieces)
    rows = {name: baseline[name][owner] for name in _FOLLOWED}
    state = _quiet_state(len(owner))
    state["scale"] = scale[owner]
    state["level"] = np.nan_to_num(median(np.ascontiguousarray(steps_first[: max(warm, 3)].T), 1))
    evidence = np.empty((length, len(owner), KINDS), np.float32)
    one, learn = np.ones(len(owner)), np.ones(len(owner), bool)
    gap = one
    for step in range(length + warm):
        judged = _judge(steps_first[step], gap, learn, rows, state)
        gap = np.where(np.isnan(steps_first[step]), gap + 1, one)
        state = judged.state
        if step >= warm:
            evidence[step - warm] = judged.evidence
    last = {name: array.reshape(series, pieces, *array.shape[1:])[:, -1].copy() for name, array in state.items()}
    by_series = evidence.transpose(1, 0, 2).reshape(series, pieces * length, KINDS)
    return by_series, last


def _tails(evidence: np.ndarray, cadence: int) -> Fields:
    """Tail of each kind of evidence (S, N, KINDS), then of what they say together."""
    length = block_length(cadence)
    weeks = length * cadence / WEEK_SECONDS
    tails = [
        fit_tail(block_maxima(evidence[:, :, kind], length), block_weeks=weeks, prior_level=1.4, prior_excess=0.25)
        for kind in range(KINDS)
    ]
    each = np.stack([tail.rarity(evidence[:, :, kind].T).T for kind, tail in enumerate(tails)], axis=2)
    prior_rate = np.log10(0.15 / weeks)
    joint: Tail = fit_tail(
        block_maxima(_joint(each), length), block_weeks=weeks, prior_level=2.5 - prior_rate, prior_excess=1.0 / DECADE
    )
    return {
        "tail_level": np.stack([tail.level for tail in tails], axis=1),
        "tail_excess": np.stack([tail.excess for tail in tails], axis=1),
        "tail_log_rate": np.stack([tail.log_rate for tail in tails], axis=1),
        "joint_level": joint.level,
        "joint_excess": joint.excess,
        "joint_log_rate": joint.log_rate,
    }
