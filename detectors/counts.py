"""Counts near zero: negative binomial tails about a rate by phase, and the silence between events.

A band of plus and minus some scales means little where 0, 1 and 2 are all that is seen. Here a high count is as rare as
its upper tail, and a run of zeros as rare as the chance that nothing happens for so long at the rate of those hours.

The tails are written with regularised incomplete beta functions (Johnson, Kemp and Kotz, Univariate Discrete
Distributions, chapter 5). The unit of counting is found from the data, so that counts of thousands are counts too.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from detectors.calendar import DAY
from detectors.contract import HUGE, Bools, Fields, Floats, History, Ints, Points, Scores
from detectors.occasions import Occasion, fit_occasions, occasion_at, occasions_in, ordinary, unknown_occasions
from detectors.profile import WEEK_HOURS, fit_profile, phase
from detectors.rarity import DECADE, RAREST, WEEK_SECONDS, evidence_at, rarity_of, tail_of_history
from detectors.robust import mean, median

FEWEST_POINTS = 14
LARGEST = 1e9
LEAST_RATE = 1e-3
EVEN, UNEVEN = 1e4, 0.2  # dispersion of the negative binomial: from Poisson to very uneven
LEAST_CHANCE = 1e-300
LEVEL_DAYS = 3.0


class Counts:
    """Negative binomial about an hour-of-week rate and a slow level; silence as evidence of its own."""

    name = "counts"
    version = 2
    evidence: tuple[str, ...] = ("point", "silence")

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """Fields of series of which nothing is known."""
        baseline: Fields = {
            "trained": np.zeros(count, bool),
            "quantum": np.ones(count),
            "rate": np.full((count, WEEK_HOURS), LEAST_RATE, np.float32),
            "evenness": np.full(count, EVEN),
            "level_rate": np.full(count, 0.01),
            "joint_level": np.zeros(count),
            "joint_excess": np.full(count, 1.0 / DECADE),
            "joint_log_rate": np.zeros(count),
            **unknown_occasions(count),
        }
        return baseline, _quiet_state(count)

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Rate by phase and dispersion; series with negative values are no counts and stay cold."""
        baseline, state = self.cold(len(history.values))
        values = np.where(np.isfinite(history.values), history.values, np.nan)
        enough = (~np.isnan(values)).sum(axis=1) >= FEWEST_POINTS
        enough &= ~(values < 0).any(axis=1)
        if enough.any():
            part = history.of_series(enough)
            with np.errstate(all="ignore"):
                learned, after = _fit(values[enough], part, fit_occasions(part))
            for name, array in learned.items():
                baseline[name][enough] = array
            for name, array in after.items():
                state[name][enough] = array
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Chance of so many, of so few, and of so long a silence; then the level and the silence go on."""
        rows = {name: array[points.row] for name, array in baseline.items() if array.ndim == 1}
        hour, following, weight = phase(points.local, points.cadence)
        usual = (1 - weight) * baseline["rate"][points.row, hour] + weight * baseline["rate"][points.row, following]
        with np.errstate(all="ignore"):
            if points.kinds_of_day is not None:
                where = (points.kinds_of_day, points.row, points.local, points.cadence)
                occasion = occasion_at(*where, usual, _as_profile(baseline))
                usual, rows["evenness"] = _on_its_day(usual, occasion, rows["evenness"])
            return _score(points, usual, rows, state)


def _as_profile(baseline: Fields) -> Fields:
    """The rates as the profile that occasions are told by, whose unit is that of counting."""
    nothing = np.broadcast_to(0.0, baseline["quantum"].shape)
    return baseline | {
        "profile": baseline["rate"],
        "unit": baseline["quantum"],
        "center": nothing,
        "log_floor": nothing,
    }


def _on_its_day(usual: Floats, occasion: Occasion, even: Floats) -> tuple[Floats, Floats]:
    """Rate and evenness with what the kind of the day does; what is not known for sure makes it less even."""
    rate = np.maximum(usual + occasion.shift, LEAST_RATE)
    return rate, np.clip(1 / (1 / even + (occasion.doubt / rate) ** 2), UNEVEN, EVEN)


def _score(points: Points, usual: Floats, rows: Fields, state: Fields) -> tuple[Scores, Fields]:
    value = np.where(np.isfinite(points.value), points.value, np.nan)
    count = np.clip(value / rows["quantum"], 0.0, LARGEST)
    weekly = WEEK_SECONDS / np.maximum(points.cadence, 1)
    judged, after = _judge(count, usual, weekly, ~points.frozen, rows, state)
    joint = rarity_of(judged.max(axis=1), rows["joint_level"], rows["joint_excess"], rows["joint_log_rate"])
    trained: Bools = rows["trained"]
    known = trained & ~np.isnan(value)
    expected = usual * state["level"] * rows["quantum"]
    direction = np.where(judged[:, 1] > judged[:, 0], -1.0, np.sign(value - expected))
    spread = np.sqrt(_variance(usual * state["level"], rows["evenness"])) * rows["quantum"]
    upper, lower = (
        spread * np.sqrt(2 * DECADE * np.maximum(_wanted(threshold, rows) + np.log10(weekly), 0.1))
        for threshold in (points.threshold_up, points.threshold_down)
    )
    return (
        Scores(
            expected=np.where(trained, np.clip(expected, -HUGE, HUGE), np.nan),
            lower=np.where(trained, np.clip(expected - lower, 0.0, HUGE), np.nan),
            upper=np.where(trained, np.clip(expected + upper, -HUGE, HUGE), np.nan),
            rarity=np.where(known, joint, np.nan),
            direction=np.where(known, direction, 0).astype(np.int8),
            evidence=np.where(known[:, None], judged, np.nan).astype(np.float32),
        ),
        after,
    )


def _wanted(threshold: Floats, rows: Fields) -> Floats:
    """The uncalibrated rarity that becomes this one."""
    tail = (rows["joint_level"], rows["joint_excess"], rows["joint_log_rate"])
    return np.asarray(evidence_at(np.minimum(threshold, RAREST), *tail))


def _judge(
    count: Floats, usual: Floats, weekly: Floats, learn: Bools, rows: Fields, state: Fields
) -> tuple[Floats, Fields]:
    """Uncalibrated rarity (B, 2) of the point and of the silence, and the state after it. NaN counts are missing."""
    rate = np.maximum(usual * state["level"], LEAST_RATE)
    even = rows["evenness"]
    missed = np.where(count < 0.5, state["missed"] + rate, 0.0)
    chance = 2 * np.minimum(at_least(count, rate, even), at_most(count, rate, even))
    point = -np.log10(np.clip(chance, LEAST_CHANCE, 1.0)) - np.log10(weekly)
    # A silence may start at each event, so many times a week as there are points with events.
    starts = weekly * np.clip(at_least(np.ones_like(rate), rate, even), 1e-6, 1.0)
    silent = even * np.log1p(missed / even) / DECADE - np.log10(starts)
    known = ~np.isnan(count)
    limit = rate + 4 * np.sqrt(_variance(rate, even)) + 1
    teach = learn & known
    nudge = 1 + rows["level_rate"] * (np.minimum(count, limit) / rate - 1) * np.minimum(rate, 1.0)
    level = np.where(teach, np.clip(state["level"] * nudge, 0.02, 50.0), state["level"])
    after = {
        "level": level,
        "missed": np.where(known, missed, state["missed"]),
        "count": state["count"] + known,
    }
    return np.stack([point, np.where(count < 0.5, silent, -RAREST)], axis=1), after


def at_least(count: Floats, rate: Floats, even: Floats) -> Floats:
    """Chance of `count` or more events of a negative binomial of mean `rate` and variance rate + rate²/even."""
    return np.where(count <= 0, 1.0, betainc(np.maximum(count, 1e-12), even, rate / (rate + even)))


def at_most(count: Floats, rate: Floats, even: Floats) -> Floats:
    """Chance of `count` or fewer events."""
    return np.asarray(betainc(even, count + 1, even / (rate + even)))


def _variance(rate: Floats, even: Floats) -> Floats:
    return np.asarray(rate + rate**2 / even)


def _quiet_state(count: int) -> Fields:
    """level: the present rate over the profile's. missed: events expected since the last one."""
    return {"level": np.ones(count), "missed": np.zeros(count), "count": np.zeros(count, np.int64)}


def _fit(values: Floats, history: History, occasions: Fields) -> tuple[Fields, Fields]:
    cadence = history.cadence
    quantum = _quantum(values)
    counts = np.clip(values / quantum[:, None], 0.0, LARGEST)
    rate = _rate(ordinary(counts, history, occasions), history.local, cadence)
    hour, following, weight = phase(history.local, cadence)
    usual = np.maximum(rate[:, hour] * (1 - weight) + rate[:, following] * weight, LEAST_RATE)
    occasion = occasions_in(history, usual, _as_profile(occasions | {"rate": rate, "quantum": quantum}))
    excess = np.minimum((counts - usual) ** 2, 16 * usual + 16 * usual**2) - usual
    even = np.clip(mean(usual**2, 1) / np.maximum(mean(excess, 1), 1e-300), UNEVEN, EVEN)
    baseline: Fields = {
        "trained": np.ones(len(values), bool),
        "quantum": quantum,
        "rate": rate.astype(np.float32),
        "evenness": even,
        "level_rate": np.full(len(values), float(np.clip(cadence / (LEVEL_DAYS * DAY), 1e-4, 0.1))),
        **occasions,
    }
    evidence, state = _replay(counts, *_on_its_day(usual, occasion, even[:, None]), cadence, baseline)
    prior_rate = np.log10(0.15 * WEEK_SECONDS / (cadence * 6))
    tail = tail_of_history(evidence, cadence, prior_level=-float(prior_rate), prior_excess=1.0 / DECADE)
    baseline |= {
        "joint_level": tail.level,
        "joint_excess": np.maximum(tail.excess, 0.5 / DECADE),
        "joint_log_rate": tail.log_rate,
    }
    return baseline, state


def _quantum(values: Floats) -> Floats:
    """What one event counts as: the smallest step of series of whole steps, else what makes the spread Poisson's."""
    ordered = np.sort(values, axis=1)
    steps = np.diff(ordered, axis=1)
    size = np.nanmax(np.where(np.isnan(ordered), 0.0, ordered), axis=1)
    smallest = np.min(np.where(steps > 1e-9 * size[:, None], steps, np.inf), axis=1)
    lowest = np.min(np.where(values > 0, values, np.inf), axis=1)
    quantum = np.minimum(smallest, lowest)
    multiple = values / quantum[:, None]
    whole = np.nanmax(np.abs(multiple - np.round(multiple)), axis=1) < 1e-3
    whole &= np.isfinite(quantum) & (size / quantum < 1e4)
    level = mean(values, 1)
    detail = values[:, 1:] - values[:, :-1]
    like_poisson = (1.4826 * median(np.abs(detail), 1)) ** 2 / 2 / np.maximum(level, 1e-300)
    fallback = np.where(like_poisson > 0, like_poisson, np.maximum(size * 0.01, 1e-12))
    chosen = np.where(whole, quantum, fallback)
    return np.where(np.isfinite(chosen) & (chosen > 0), chosen, 1.0)


def _rate(counts: Floats, local: Ints, cadence: int) -> Floats:
    """Mean events of a point by hour of the week (S, 168): means, as medians of small counts are mostly 0."""
    level = np.maximum(mean(np.minimum(counts, _usual_most(counts)[:, None]), 1), LEAST_RATE)
    season = fit_profile(np.sqrt(counts), local, cadence)
    root = season.hours - season.hours.mean(axis=1, keepdims=True) + np.sqrt(level)[:, None]
    shape = np.maximum(root, 0.05 * np.sqrt(level)[:, None]) ** 2
    return np.asarray(np.maximum(shape * (level / shape.mean(axis=1))[:, None], LEAST_RATE))


def _usual_most(counts: Floats) -> Floats:
    """A count that only incidents exceed."""
    middle = mean(counts, 1)
    deviation = np.abs(counts - middle[:, None])
    spread = np.sqrt(middle + mean(np.minimum(deviation, 10 * middle[:, None]), 1) ** 2)
    return np.asarray(middle + 6 * spread + 1)


def _replay(counts: Floats, usual: Floats, even: Floats, cadence: int, baseline: Fields) -> tuple[Floats, Fields]:
    """The uncalibrated rarity (S, N) at each point of the history, and the state after it."""
    series, columns = counts.shape
    state = _quiet_state(series)
    weekly, learn = np.full(series, WEEK_SECONDS / cadence), np.ones(series, bool)
    evidence = np.empty((columns, series))
    for column in range(columns):
        rows = baseline | {"evenness": even[:, column]}
        judged, state = _judge(counts[:, column], usual[:, column], weekly, learn, rows, state)
        evidence[column] = judged.max(axis=1)
    return evidence.T, state
