"""The default detector: seven kinds of evidence, each measured against its own past, and six of them averaged.

A point is compared with the point before it, with a level that follows within hours, with what has added up over a
dozen points, with the static profile of the week, with the day before, and once more with the point before it as
measured: the only kind that an error of the profile can't mislead. What makes two series comparable is less
the model than the measure: `fit` runs the very recursion that `score` runs over the series' own recent history, reads
off how strong each kind of evidence gets in six ordinary hours, and rarity is counted from there.

The average over the kinds beats their maximum and each of them: something real shows in most kinds, an error of the
model (a season that the profile misses, one glitch that only the difference sees) in few. What is small and lasts shows
in none of them. So the seventh, the drift, may speak by itself: a cumulative sum (Page 1954) of deviations from a level
that follows within days, which tells a fall of 10 % in ten hours as well as one of a single hour. Of points finer than
an hour it adds up less than hours, and real series wander so often: there it must be rarer by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.contract import HUGE, Bools, Fields, Floats, History, Ints, Points, Scores
from detectors.occasions import Occasion, fit_occasions, occasion_at, occasions_in, ordinary, unknown_occasions
from detectors.peaks import (
    OFTEN,
    SAMPLE,
    Peaks,
    block_length,
    block_maxima,
    evidence_for_excess,
    excess_of,
    fit_peaks,
    gumbel,
    quantiles,
)
from detectors.profile import HOUR, WEEK_HOURS, fit_profile, phase
from detectors.rarity import DECADE, RAREST, WEEK_SECONDS
from detectors.robust import center_and_unit_of, mean, median, middle, spread
from detectors.shift import columns_looked_at, factor_now
from detectors.transform import (
    NOISE_AT,
    as_shares,
    back,
    fit_transform,
    from_shares,
    is_even_in_logs,
    transformed,
    untransformed,
)
from detectors.trend import grown_since, no_growth, weekly_growth
from detectors.weights import Chance, evened, unweighted

Reals = NDArray[np.floating]
"""float64 when scoring, float32 when a history is replayed."""

KINDS = ("step", "level", "run", "profile", "day", "jump", "drift")
TOGETHER = len(KINDS) - 1
"""How many of the kinds are averaged, the first ones; the drift may speak by itself."""
_BY_KIND = ("slope", "offset")
_OF_THE_DAY = ("day_mean", "day_square")
_FOLLOWED = ("level", "held", "former", "run", "slow", "rise", "fall", *_OF_THE_DAY)
_LAST = {"y": "last", "deviation": "last_deviation"}
DAY = 86_400
FEWEST_POINTS = 14
RUN_POINTS = 12.0
STEP_TAKEN = 0.9  # of a deviation off the next: noise that carries over never does so wholly
LEVEL_HOURS, LEVEL_POINTS = 1.0, 4.0  # memory of the level: the longer of the two
TRUSTED = 3.0  # the level follows from one point at most this many noises
LOUDEST = 10.0  # a point adds to a run at most this many noises, so that a spike is not remembered as a drift
LONGEST_GAP = 50.0  # steps of silence after which a difference means no less than now
RELATIVE_FLOOR = 0.003  # noise is never taken to be less than this share of the usual size
QUIET = -1.0  # a kind that sees nothing speaks against the others no louder than this
JOINT_LEVEL, JOINT_EXCESS = 0.05, 0.5  # largest mean of the kinds in six hours of plain noise; see benchmarks
JOINT_BENEFIT = 1.0  # decades by which the mean may be rarer than it was in a fifth of the past's blocks
JOINT_POINTS, JOINT_FALLS = 6, 0.19  # it falls with the log of the points, since all kinds are seldom loud at once
SPREAD_BELIEVED = 0.5  # share of the log ratio of spreads; 1 costs recall on real series, 0 on heteroscedastic ones
DRIFT_LARGEST, DRIFT_SLACK = 3.0, 0.5  # standard deviations: what a point adds at most, and what is none of a drift
DRIFT_KEPT = 0.97  # of a drift at each point
DRIFT_RAREST = 2.0  # log10 weeks: it grows no rarer by itself, so that it is soon over
DRIFT_LONGEST = 30.0  # while how rare that is has not been learned
DRIFT_ALONE = 1.0  # decades by which it must be rarer than the others together, hourly: its share of the alerts
DRIFT_FINER = 2.0  # further decades for each decade of points in an hour, of which it adds up some thirty
SLOW_DAYS, SLOW_POINTS = 3.0, 48.0  # memory of the level that it is measured from: the longer of the two
LEAST_DRIFT = 0.05
_CACHED = 16_384
"""Points of a replay that are judged together: as many as stay in the cache."""
LARGEST, SMALLEST = 1e9, 1e-6  # in robust units; they keep squares, sums and quotients finite
NOWHERE = 10 * LARGEST  # a level that no point is near


class Seasonal:
    """Season found from the data, a level, and rarity from the series' own six-hour peaks."""

    name = "seasonal"
    version = 8
    evidence: tuple[str, ...] = KINDS

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Fields of series of which nothing is known: they are not judged."""
        kinds = (count, len(KINDS))
        baseline: Fields = {
            "trained": np.zeros(count, bool),
            "center": np.zeros(count),
            "unit": np.ones(count),
            "profile": np.zeros((count, WEEK_HOURS), np.float32),
            "spread": np.ones((count, 24 + 7), np.float32),
            "noise": np.ones(count),
            "floor": np.full(count, 1e-3),
            "least": np.full(count, -HUGE),
            "sigma": np.ones(count),
            "slow_rate": np.full(count, 1 / SLOW_POINTS),
            "drift_most": np.full(count, DRIFT_LONGEST),
            "drift_alone": np.full(count, DRIFT_ALONE),
            "level_rate": np.full(count, 1 / LEVEL_POINTS),
            "day_rate": np.full(count, 0.05),
            "slope": np.ones(kinds),
            "offset": np.zeros(kinds),
            "trust": np.ones(count),
            "blocks": np.zeros(count),
            "joint_level": np.full(count, JOINT_LEVEL),
            "joint_excess": np.full(count, JOINT_EXCESS),
            "daily": np.zeros(count),
            "weekly": np.zeros(count),
            **no_growth(count),
            **untransformed(count),
            **unweighted(count),
            **unknown_occasions(count),
        }
        return baseline, _quiet_state(count)

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Profile, noise by hour of the day, and the tails of the evidence over the recent history."""
        baseline, state = self.cold(len(history.values))
        recent = _recent(history)
        values = np.where(np.isfinite(recent.values), recent.values, np.nan)
        enough = (~np.isnan(values)).sum(axis=1) >= FEWEST_POINTS
        if not enough.any():
            return baseline, state
        if not enough.all():
            values, history, recent = values[enough], history.of_series(enough), recent.of_series(enough)
        with np.errstate(all="ignore"):
            learned, after = _fit(values, recent, fit_occasions(history))
        for fields, new in ((baseline, learned), (state, after)):
            for name, array in new.items():
                fields[name][enough] = array
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Judge, then learn (not where frozen, not from missing points)."""
        scores, after = self.score_in_turn(points, 1, baseline, state)
        return scores, {name: array[0] for name, array in after.items()}

    def score_in_turn(self, points: Points, steps: int, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Only what is remembered goes from step to step; all else is done for all steps at once."""
        rows = {name: array[points.row] for name, array in baseline.items() if array.ndim == 1 or name in _BY_KIND}
        with np.errstate(all="ignore"):
            return _score(points, steps, _Season.at(points, baseline), rows, state)


@dataclass(frozen=True)
class _Season:
    """What is usual at a phase, in robust units, (B,): deviation from the center, spread relative to other hours.

    shift: what the kind of day adds to it. It is taken from the value, so that what is remembered is ordinary.
    """

    usual: Reals
    rough: Reals
    shift: Reals | float = 0.0

    @staticmethod
    def at(points: Points, baseline: Fields) -> _Season:
        hour, following, weight = phase(points.local, points.cadence)
        profile = baseline["profile"]
        usual = (1 - weight) * profile[points.row, hour] + weight * profile[points.row, following]
        spread = baseline["spread"]
        rough = (spread[points.row, hour % 24] * spread[points.row, 24 + hour // 24]).astype(np.float64)
        grown = grown_since(points.timestamp, points.row, baseline)
        if points.kinds_of_day is None:
            return _Season(usual, rough, grown)
        occasion = occasion_at(points.kinds_of_day, points.row, points.local, points.cadence, usual, baseline)
        return _Season(usual, _rougher(rough, occasion, baseline["noise"][points.row]), occasion.shift + grown)


def _rougher(rough: Reals, occasion: Occasion, noise: Reals) -> Reals:
    """The spread on days of other kinds, which is wider while what they do is not known for sure."""
    ordinary_day = (occasion.doubt == 0) & (occasion.louder == 1)
    if ordinary_day.all():
        return rough
    return np.where(ordinary_day, rough, np.hypot(rough * occasion.louder, occasion.doubt / noise))


def _score(points: Points, steps: int, season: _Season, rows: Fields, state: Fields) -> tuple[Scores, Fields]:
    """Scores of `steps` times B points, and the states of the B series after each step."""
    center, unit = rows["center"], rows["unit"]
    value = transformed(np.where(np.isfinite(points.value), points.value, np.nan), rows["log_floor"])
    y = np.clip(value / unit - center / unit, -LARGEST, LARGEST) - season.shift
    y = season.usual + as_shares(y - season.usual, unit, rows)
    chance = Chance.at(rows, points.weight, season.usual + season.shift + center / unit)
    if chance is not None:
        y = season.usual + chance.evened(y - season.usual, rows)
    known = ~np.isnan(value)
    times = _carried(points.timestamp.reshape(steps, -1), ~known.reshape(steps, -1), state["timestamp"])
    pause = np.clip((points.timestamp - times[:-1].ravel()) / np.maximum(points.cadence, 1), 1.0, 1e4)
    course = _remembered(y, season, pause, known & ~points.frozen, steps, rows, state)
    before = {name: array[:-1].ravel() for name, array in course.items()}
    signed = np.stack(_evidence(y, season, pause, course, rows), axis=1)
    after = {name: array[1:] for name, array in course.items()} | {"timestamp": times[1:]}

    excess = excess_of(np.abs(signed) * rows["slope"] - rows["offset"], rows["trust"][:, None])
    log_rate = rows["blocks"]
    together = (_joint(excess) - rows["joint_level"]) / (rows["joint_excess"] * DECADE) - log_rate
    drifted = excess[:, TOGETHER] / DECADE - log_rate - rows["drift_alone"]
    rarity = np.minimum(np.maximum(together, drifted), RAREST)
    known &= rows["trained"].astype(bool)
    loudest = np.take_along_axis(signed, np.argmax(np.nan_to_num(excess), axis=1)[:, None], axis=1)[:, 0]
    edges: tuple[Floats, ...] = _band(points, season, rows, before)
    if chance is not None:
        edges = tuple(season.usual + chance.back(edge - season.usual, rows) for edge in edges)
    edges = tuple(season.usual + from_shares(edge - season.usual, unit, rows) for edge in edges)
    expected, lower, upper = (
        np.where(rows["trained"], back(center + unit * (edge + season.shift), rows["log_floor"]), np.nan)
        for edge in edges
    )
    return (
        Scores(
            expected=np.maximum(expected, rows["least"]),
            lower=lower,
            upper=np.maximum(upper, rows["least"]),
            rarity=np.where(known, rarity, np.nan),
            direction=np.where(known, np.sign(loudest), 0).astype(np.int8),
            evidence=np.where(known[:, None], excess / DECADE - log_rate[:, None], np.nan).astype(np.float32),
        ),
        after,
    )


def _joint(excess: Floats) -> Floats:
    """What the kinds say together: the mean of their excesses (..., K), a geometric mean of return periods."""
    return np.asarray(np.maximum(excess[..., :TOGETHER], QUIET).mean(axis=-1), dtype=np.float64)


def _remembered(
    y: Reals, season: _Season, pause: Reals, learn: Bools, steps: int, rows: Fields, state: Fields
) -> dict[str, Reals]:
    """What is remembered before the first and after each of `steps` times B points: (steps + 1, B) by name.

    pause: how many cadences ago the last known point was. learn: False where a point must not teach what is held.
    """
    missing = np.asarray(np.isnan(y))
    teach = learn & ~missing
    noise = rows["noise"] * season.rough
    flat = {
        "y": _zero_at(missing, y),
        "deviation": _zero_at(missing, y - season.usual),
        "rough": np.broadcast_to(season.rough, y.shape),
        "loud": LOUDEST * noise,
        "trusted": TRUSTED * noise,
        "missing": missing,
        "held": ~teach,
        "sigma": rows["sigma"] * season.rough,
        "slow_rate": rows["slow_rate"] * teach,
        "drift_most": np.broadcast_to(rows["drift_most"], y.shape),
        "level_rate": np.minimum(rows["level_rate"] * pause, 1.0) * ~missing,
        "day_rate": np.minimum(rows["day_rate"] * pause, 1.0) * teach,
    }
    at = {name: array.reshape(steps, -1) for name, array in flat.items()}
    at["some_held"] = at["held"].any(axis=1)
    course = {name: np.empty((steps + 1, at["y"].shape[1]), y.dtype) for name in _FOLLOWED}
    for name, array in course.items():
        array[0] = state[name]
    for step in range(steps):
        _follow({name: array[step] for name, array in at.items()}, course, step)
    for name in ("y", "deviation"):
        course[_LAST[name]] = _carried(at[name], at["missing"], state[_LAST[name]])
    return course


def _zero_at(missing: Bools, values: Reals) -> Reals:
    values = values.copy()
    values[missing] = 0.0
    return values


def _follow(at: Mapping[str, Any], course: Mapping[str, Reals], step: int) -> None:
    """One step of what is remembered. Where a point is missing, its value and all rates are 0."""
    before = {name: array[step] for name, array in course.items()}
    after = {name: array[step + 1] for name, array in course.items()}
    from_level, from_day, day_rate = at["deviation"] - before["level"], at["y"] - before["day_mean"], at["day_rate"]
    off = _within((at["deviation"] - before["slow"]) / at["sigma"], DRIFT_LARGEST)
    for side, further in (("rise", np.add), ("fall", np.subtract)):
        drift = np.maximum(further(DRIFT_KEPT * before[side], off) - DRIFT_SLACK, 0.0)
        np.minimum(drift, at["drift_most"], out=after[side])
    after["run"][:] = _added(before["run"], from_level, at["loud"], at["rough"])
    np.add(before["slow"], at["slow_rate"] * off * at["sigma"], out=after["slow"])
    np.add(before["level"], at["level_rate"] * _within(from_level, at["trusted"]), out=after["level"])
    np.add(before["day_mean"], day_rate * from_day, out=after["day_mean"])
    np.multiply(1 - day_rate, before["day_square"] + day_rate * from_day * from_day, out=after["day_square"])
    _choose_level(at, before, after)
    if at["some_held"]:
        for name in ("run", "rise", "fall"):
            np.copyto(after[name], before[name], where=at["missing"])


def _choose_level(at: Mapping[str, Any], before: Mapping[str, Reals], after: Mapping[str, Reals]) -> None:
    """Hold what is expected while a series is frozen, and be back at the level from before as soon as its points are.

    The level itself goes on following, so that evidence fades where a change lasts. What was held is kept as `former`
    (NOWHERE: none) until the points are back there, or the level is.
    """
    np.copyto(after["former"], before["former"])
    np.copyto(after["held"], after["level"])
    if at["some_held"]:
        np.copyto(after["held"], before["held"], where=at["held"])
        np.copyto(after["former"], before["held"], where=at["held"] & ~at["missing"])
    if (after["former"] > NOWHERE / 2).all():
        return
    from_former = np.abs(at["deviation"] - after["former"])
    back = from_former < np.abs(at["deviation"] - after["level"])
    back &= ~at["missing"] & (at["held"] | (from_former < at["trusted"]))
    from_afar = back & (np.abs(after["former"] - after["level"]) >= at["trusted"])
    for name in ("run", "rise", "fall"):
        np.copyto(after[name], 0.0, where=from_afar)
    for name in ("level", "held"):
        np.copyto(after[name], after["former"], where=back)
    np.copyto(after["former"], NOWHERE, where=np.abs(after["former"] - after["level"]) < at["trusted"])


def _added(run: Reals, from_level: Reals, loud: Reals, rough: Reals) -> Reals:
    """The run with one point more."""
    return np.asarray(run + (_within(from_level, loud) / rough - run) / RUN_POINTS)


def _within(values: Reals, limit: Reals | float) -> Reals:
    """Cut at a limit to both sides; what np.clip does in a third of its time for few values."""
    return np.minimum(np.maximum(values, -limit), limit)


def _carried(values: NDArray[Any], missing: Bools, before: NDArray[Any]) -> NDArray[Any]:
    """The newest known of `values` (steps, B) before the first and after each step, (steps + 1, B)."""
    carried = np.concatenate([np.asarray(before, values.dtype)[None], values])
    for step in np.flatnonzero(missing.any(axis=1)).tolist():
        np.copyto(carried[step + 1], carried[step], where=missing[step])
    return carried


def _evidence(y: Reals, season: _Season, pause: Reals, course: Mapping[str, Reals], rows: Fields) -> list[Reals]:
    """Signed evidence of each kind, (N,) each, of the points `y` (N,), NaN where missing.

    course: what was remembered along the way.
    """
    before = {name: array[:-1].ravel() for name, array in course.items()}
    deviation, rough = y - season.usual, season.rough
    from_level = deviation - before["level"]
    waited = rough * np.sqrt(np.minimum(pause, LONGEST_GAP))
    rise, fall = (course[side][1:].ravel() for side in ("rise", "fall"))
    return [
        (deviation - STEP_TAKEN * before["last_deviation"]) / waited,
        from_level / rough,
        _added(before["run"], from_level, LOUDEST * (rows["noise"] * rough), rough),
        deviation / rough,
        (y - before["day_mean"]) / np.sqrt(before["day_square"] + rows["floor"] ** 2),
        (y - before["last"]) / waited,
        np.where(rise > fall, rise, -fall) + (y - y),
    ]


def _band(points: Points, season: _Season, rows: Fields, before: Mapping[str, Reals]) -> tuple[Floats, Floats, Floats]:
    """Expected, lower and upper in robust units: where the mean of the kinds reaches the threshold.

    Each kind grows in proportion to the distance from its own middle, so the mean of all does too, outside of them.
    """
    level = season.usual + before["held"]
    slope = rows["slope"] / season.rough[:, None]
    slope[:, 2] /= RUN_POINTS
    slope[:, 4] = rows["slope"][:, 4] / np.sqrt(before["day_square"] + rows["floor"] ** 2)
    near = slope[:, 0] + slope[:, 1] + slope[:, 2] + slope[:, 5]
    total = near + slope[:, 3] + slope[:, 4]
    middle = (near * level + slope[:, 3] * season.usual) / (near + slope[:, 3])
    silent = rows["offset"][:, :TOGETHER].sum(axis=1)

    def half(threshold: Floats) -> Floats:
        reached = DECADE * (np.minimum(threshold, RAREST) + rows["blocks"])
        mean_excess = rows["joint_level"] + rows["joint_excess"] * reached
        return np.asarray(
            np.maximum((TOGETHER * evidence_for_excess(mean_excess, rows["trust"]) + silent) / total, 1e-12)
        )

    return middle, middle - half(points.threshold_down), middle + half(points.threshold_up)


def _quiet_state(count: int) -> Fields:
    return {
        "level": np.zeros(count),
        "held": np.zeros(count),
        "former": np.full(count, NOWHERE),
        "last": np.zeros(count),
        "last_deviation": np.zeros(count),
        "run": np.zeros(count),
        "slow": np.zeros(count),
        "rise": np.zeros(count),
        "fall": np.zeros(count),
        "day_mean": np.zeros(count),
        "day_square": np.ones(count),
        "timestamp": np.zeros(count, np.int64),
    }


def _recent(history: History) -> History:
    """The last ten weeks, or the last 200 points where those are longer."""
    columns = max(70 * DAY // max(history.cadence, 1), 200)
    return history.within(slice(-columns, None))


def _fit(values: Floats, history: History, occasions: Fields) -> tuple[Fields, Fields]:
    cadence, series = history.cadence, len(values)
    y, units = _in_robust_units(values, history)
    unit, floor, log_floor = (units[name] for name in ("unit", "floor", "log_floor"))
    growth = weekly_growth(y, history)
    y = y - growth[:, None] * (history.timestamp - history.timestamp[-1]) / WEEK_SECONDS
    season = fit_profile(ordinary(y, history, occasions), history.local, cadence)
    hour, following, weight = phase(history.local, cadence)
    hours = season.hours
    usual = hours[:, hour] * (1 - weight) + hours[:, following] * weight
    occasion = occasions_in(history, usual, occasions | units | {"profile": hours})
    y = y - occasion.shift
    noise_at, _ = quantiles(y - usual, NOISE_AT)
    off = noise_at[:, 1:2]
    hours, usual = (hours + off).astype(np.float32), usual + off
    shared = {"log_floor": log_floor, "log_noise": is_even_in_logs(noise_at * unit[:, None], log_floor)}
    residual = as_shares(y - usual, unit[:, None], {name: array[:, None] for name, array in shared.items()})
    y = usual + residual
    rough = _spread_by_phase(residual, hour, cadence)
    rough_there = rough[:, hour % 24] * rough[:, 24 + hour // 24]

    # a profile fits its own past too well: by its leverage, of which a point finer than an hour has only a share
    absorbed = season.leverage / max(HOUR / cadence, 1.0)
    stretch = 1.0 / (1.0 - absorbed)
    noise = np.maximum(spread(np.diff(residual, axis=1) / rough_there[:, 1:]) * stretch, floor)
    baseline: Fields = {
        **units,
        **shared,
        "trained": np.ones(series, bool),
        "least": np.where((values < 0).any(axis=1), -HUGE, 0.0),
        "profile": hours,
        "spread": rough,
        "noise": noise,
        "sigma": np.maximum(spread(residual[:, :: residual.shape[1] // SAMPLE | 1]) * stretch, floor),
        "slow_rate": np.full(series, 1.0 / max(SLOW_DAYS * DAY / cadence, SLOW_POINTS)),
        "drift_most": np.full(series, DRIFT_LONGEST),
        "level_rate": np.full(series, 1.0 / max(LEVEL_HOURS * HOUR / cadence, LEVEL_POINTS)),
        "day_rate": np.full(series, 1.0 / max(DAY / cadence, LEVEL_POINTS)),
        "daily": season.daily,
        "weekly": season.weekly,
        "growth": growth,
        "grown_at": np.full(series, history.timestamp[-1]),
        **occasions,
    }
    rough_there = _rougher(rough_there, occasion, noise[:, None])
    evidence, state = _replay(y, residual * stretch[:, None], rough_there, cadence, baseline)
    evidence[:, 3] *= ((1.0 - absorbed) / (1.0 - season.leverage)).astype(np.float32)[:, None]
    constant = np.ones(series)
    floors = np.stack([floor, floor, floor / RUN_POINTS, floor, 0.1 * constant, floor, LEAST_DRIFT * constant], axis=1)
    length = block_length(cadence)
    peaks = block_maxima(evidence, length)
    tails = fit_peaks(peaks, evidence, floors, length=length)
    joint_level = JOINT_LEVEL - JOINT_FALLS * np.log(max(length / JOINT_POINTS, 1.0))
    blocks = np.full(series, np.log10(WEEK_SECONDS / (length * cadence)))
    alone = DRIFT_ALONE + DRIFT_FINER * np.log10(max(HOUR / cadence, 1.0))
    rarest = evidence_for_excess((DRIFT_RAREST + DRIFT_ALONE + blocks) * DECADE, tails.trust)
    baseline |= {
        "slope": tails.slope,
        "offset": tails.offset,
        "trust": tails.trust,
        "blocks": blocks,
        "joint_level": np.full(series, joint_level),
        "joint_excess": _joint_excess(evidence, peaks, tails, joint_level, length),
        "drift_alone": np.full(series, alone),
        "drift_most": (rarest + tails.offset[:, TOGETHER]) / tails.slope[:, TOGETHER],
    }
    for name in ("level", "held", "last_deviation", "slow"):
        state[name] = state[name] / stretch
    state["timestamp"] = _last_known(values, history)
    _move(baseline, state, y, usual, cadence)
    return baseline, state


def _joint_excess(evidence: NDArray[np.float32], peaks: Floats, tails: Peaks, level: float, length: int) -> Floats:
    """Mean excess above its level of what the kinds say together in a block, (S,): that of noise, or a longer one.

    What they said in a fifth of the past's blocks is granted to be ten times as rare as that, not more. Where something
    shows in all of them at once, each grants itself as much, and their mean would take that for a coincidence.
    evidence: (S, K, N). peaks, tails: its block maxima and their tails, as for `fit_peaks`.
    """
    excess = np.full(len(evidence), JOINT_EXCESS)
    reach = gumbel(OFTEN) + JOINT_BENEFIT * DECADE
    at_most = _joint(np.moveaxis(peaks * tails.slope[..., None] - tails.offset[..., None], 1, -1))
    often, blocks = quantiles(np.where(np.isfinite(peaks[:, 0]), at_most, -np.inf), (OFTEN,))
    loud = (often[:, 0] - level > JOINT_EXCESS * reach) & (blocks * (1 - OFTEN) >= 1)
    for row in np.flatnonzero(loud).tolist():
        straight = evidence[row].T * tails.slope[row] - tails.offset[row]
        together = _joint(excess_of(straight, tails.trust[row]))
        often_there, _ = quantiles(block_maxima(together, length), (OFTEN,))
        excess[row] = max((often_there[0] - level) / reach, JOINT_EXCESS)
    return excess


def _move(baseline: Fields, state: Fields, y: Floats, usual: Floats, cadence: int) -> None:
    """Bring series that have moved by a factor to where they are: profile, and what is remembered as off it."""
    late = slice(-columns_looked_at(cadence), None)
    from_zero = usual[:, late] + (baseline["center"] / baseline["unit"])[:, None]
    plain = baseline["log_floor"] <= 0
    factor = np.where(plain, factor_now(y[:, late] - usual[:, late], from_zero, cadence), 1.0)
    moved = np.flatnonzero(factor != 1.0)
    if moved.size:
        rescale(baseline, state, moved, factor[moved], from_zero[moved, -1])


def rescale(baseline: Fields, state: Fields, rows: Ints, factor: Floats, last: Floats) -> None:
    """Let the profile of these rows (R,) be so many times what it is, and what is remembered be off that.

    last: what was usual at the newest point, in robust units from zero, (R,).
    """
    change, zero = (factor - 1.0)[:, None], -(baseline["center"] / baseline["unit"])[rows, None]
    baseline["profile"][rows] += (change * (baseline["profile"][rows] - zero)).astype(np.float32)
    for name in ("level", "held", "former", "last_deviation"):
        state[name][rows] -= change[:, 0] * last
    for name in ("slow", "run", "rise", "fall"):
        state[name][rows] = 0.0


def _in_robust_units(values: Floats, history: History) -> tuple[Floats, Fields]:
    """What a history (S, N) is judged as, and the fields that say how it is come by."""
    ordered = np.sort(values, axis=1)
    size = _usual_size(ordered)
    transform = fit_transform(values, history, size)
    log_floor = transform["log_floor"][:, None]
    center, unit = center_and_unit_of(transformed(ordered, log_floor))
    y = transformed(values, log_floor) / unit[:, None] - (center / unit)[:, None]
    y, weighed = evened(np.clip(y, -LARGEST, LARGEST, out=y), history, -center / unit)
    floor = _floor(values, size) / np.where(transform["log_floor"] > 0, size, 1.0)
    return y, {"center": center, "unit": unit, "floor": np.maximum(floor / unit, SMALLEST)} | transform | weighed


def _usual_size(ordered: Floats) -> Floats:
    """Median of the values (S, N) without their signs, which are in ascending order, NaN last."""
    size, signed = middle(ordered.T), np.flatnonzero(ordered[:, 0] < 0)
    size[signed] = median(np.abs(ordered[signed]), 1)
    return size


def _floor(values: Floats, usual: Floats) -> Floats:
    """Least noise to believe in, in the series' unit: a share of the usual size; one, for counts."""
    known = np.nan_to_num(values)
    count = ((known >= 0) & (known == np.round(known)) & (known < 1e6)).all(axis=1) & (known > 0).any(axis=1)
    return np.maximum(RELATIVE_FLOOR * usual, np.where(count, 0.5, 0.0))


def _spread_by_phase(residual: Floats, hour: Ints, cadence: int) -> NDArray[np.float32]:
    """Spread at each hour of the day, then on each day of the week, relative to all: (S, 24 + 7).

    hour: hour of the week of each column. Factors are drawn to 1 where days are few.
    """
    size = np.abs(residual[:, :: max(1, HOUR // (4 * cadence))])
    hour = hour[:: max(1, HOUR // (4 * cadence))]
    if cadence > DAY // 4:
        return np.ones((len(residual), 24 + 7), np.float32)
    per_day = min(DAY // cadence, 24)
    by_hour = _relative_spread(size, hour % 24, 24, days_a_point=max(0.25, min(1.0, cadence / HOUR)))
    by_hour = (np.roll(by_hour, 1, axis=1) + 2 * by_hour + np.roll(by_hour, -1, axis=1)) / 4
    by_day = _relative_spread(size / by_hour[:, hour % 24], hour // 24, 7, days_a_point=1.0 / per_day)
    return np.concatenate([by_hour, by_day], axis=1).astype(np.float32)


def _relative_spread(size: Floats, group: Ints, groups: int, *, days_a_point: float) -> Floats:
    """Median size in each group of columns over their mean, (S, groups), drawn to 1 where it rests on few days."""
    number = np.bincount(group, minlength=groups)
    order = np.argsort(group, kind="stable")
    place = np.arange(group.size) - np.repeat(np.cumsum(number) - number, number)
    there = np.full((len(size), groups, number.max()), np.nan)
    there[:, group[order], place] = size[:, order]
    middle = median(there, 2)
    days = (~np.isnan(there)).sum(axis=2) * days_a_point
    ratio = np.nan_to_num(middle / mean(middle, 1)[:, None], nan=1.0, posinf=1.0)
    return np.asarray(np.clip(ratio, 0.1, 10.0) ** (SPREAD_BELIEVED * days / (days + 5.0)))


def _last_known(values: Floats, history: History) -> Ints:
    known = ~np.isnan(values)
    return np.asarray(history.timestamp[values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)])


def _replay(
    y: Floats, residual: Floats, rough: NDArray[np.float32], cadence: int, baseline: Fields
) -> tuple[NDArray[np.float32], Fields]:
    """Run the recursion over the history: evidence (S, K, N'), NaN where it cannot be, and the state at the end.

    The history is cut into lanes that run side by side, each warmed up on the columns before it.
    """
    series, columns = y.shape
    warm = min(max(6 * HOUR // cadence, 24), columns // 3)
    length = min(max(DAY // cadence, 96), columns - warm)
    lanes = -(-(columns - warm) // length)
    missing = lanes * length + warm - columns

    def side_by_side(array: Reals) -> NDArray[np.float32]:
        padded = np.full((series, columns + missing), np.nan, np.float32)
        padded[:, missing:] = array
        windows = np.lib.stride_tricks.sliding_window_view(padded, length + warm, axis=1)[:, ::length]
        return np.ascontiguousarray(windows.transpose(2, 0, 1).reshape(length + warm, series * lanes))

    values, deviations, spreads = side_by_side(y), side_by_side(residual), side_by_side(rough)
    spreads = np.where(np.isnan(spreads), np.float32(1), spreads)
    owner = np.repeat(np.arange(series), lanes)
    needed = ("noise", "floor", "sigma", "drift_most", "level_rate", "slow_rate", "day_rate")
    rows = {name: baseline[name][owner].astype(np.float32) for name in needed}
    state = {name: array.astype(np.float32) for name, array in _quiet_state(len(owner)).items()}
    state["level"] = np.nan_to_num(median(np.ascontiguousarray(deviations[: max(warm, 3)].T), 1)).astype(np.float32)
    state["last_deviation"] = state["held"] = state["level"]
    state["last"] = np.nan_to_num(values[0])
    starts = np.arange(lanes) * length - missing
    day_mean, day_square = _means_before(y, starts, max(DAY // cadence, 4), powers=(1, 2))
    [slow] = _means_before(residual, starts, int(max(SLOW_DAYS * DAY / cadence, SLOW_POINTS)))
    state["day_mean"] = day_mean.ravel().astype(np.float32)
    state["day_square"] = np.maximum(day_square - day_mean * day_mean, 0.0).ravel().astype(np.float32)
    state["slow"] = slow.ravel().astype(np.float32)
    pauses = _pauses(values)
    always = np.ones(values.size, bool)
    evidence = np.empty((series, len(KINDS), lanes, length), np.float32)
    together = max(1, _CACHED // len(owner))
    repeated = {name: np.tile(array, together) for name, array in rows.items()}
    for begin in range(0, length + warm, together):
        block = slice(begin, begin + together)
        steps = len(values[block])
        point, pause = values[block].ravel(), pauses[block].ravel()
        season = _Season(point - deviations[block].ravel(), spreads[block].ravel())
        known = {name: array[: point.size] for name, array in repeated.items()}
        course = _remembered(point, season, pause, always[: point.size], steps, known, state)
        state |= {name: array[-1] for name, array in course.items()}
        judged = max(warm - begin, 0)
        if judged >= steps:
            continue
        for kind, signed in enumerate(_evidence(point, season, pause, course, known)):
            by_lane = np.abs(signed).reshape(steps, series, lanes)[judged:]
            evidence[:, kind, :, max(begin - warm, 0) : begin + steps - warm] = by_lane.transpose(1, 2, 0)
    by_series = evidence.reshape(series, len(KINDS), lanes * length)
    by_series[:, :, :missing] = np.nan
    return by_series, {name: array.reshape(series, lanes)[:, -1].astype(np.float64) for name, array in state.items()}


def _pauses(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many steps ago the last known point was, one after none, for (steps, lanes)."""
    pauses, missing = np.ones_like(values), np.isnan(values[:-1])
    for step in np.flatnonzero(missing.any(axis=1)).tolist():
        np.add(pauses[step], 1, out=pauses[step + 1], where=missing[step])
    return pauses


def _means_before(y: Floats, starts: Ints, columns: int, *, powers: tuple[int, ...] = (1,)) -> list[Floats]:
    """Means of powers of so many columns before each start, or from the beginning of the history: (S, starts) each."""
    low = np.clip(starts - columns, 0, y.shape[1])
    high = np.clip(np.maximum(starts, low + columns), 0, y.shape[1])
    running = np.zeros((len(y), y.shape[1] + 1))

    def total(values: Floats) -> Floats:
        np.cumsum(values, axis=1, out=running[:, 1:])
        return np.asarray(running[:, high] - running[:, low])

    known = ~np.isnan(y)
    number = high - low if known.all() else total(known.astype(np.float64))
    there = np.where(known, y, 0.0)
    return [total(there if power == 1 else there**power) / np.maximum(number, 1.0) for power in powers]
