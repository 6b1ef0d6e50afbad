"""Ratios and their denominators: a point of few events is off by chance further than one of many.

The variance of a ratio over w events is taken as a + b/w: what it would have over any number of events, and what chance
adds, as in a binomial. Both are learned from the residuals of the series itself, so that nothing need be known of the
ratio. Deviations are then divided by how much wider, or narrower, than at the usual weight they are by chance. Weights
that hardly ever varied can't tell the two apart: half of the variance is then taken for chance, so that a point of next
to no events is not news.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.contract import Bools, Fields, Floats, History
from detectors.profile import fit_profile, phase
from detectors.robust import median

BINS = 8
FEWEST_IN_BIN = 5
LEAST_WEIGHT = 1e-3  # no events at all: their ratio says next to nothing
TELLING = 2.0
"""An eighth of the points must have so many times the weight of another, for their spread to tell what chance adds."""
GUESSED = 0.5
"""Share of the variance that is taken for chance where the weights do not tell."""
NARROWEST, WIDEST = 0.5, 1e3
FEWEST_EXPECTED, SMALLEST = 0.1, 1e-9
NEUTRAL = {"weight_steady": 1.0, "weight_chance": 0.0, "weight_usual": 1.0}
"""a, b and the usual weight of series without weights."""


def unweighted(count: int) -> Fields:
    """Fields by which every point counts alike."""
    return {name: np.full(count, value) for name, value in NEUTRAL.items()}


@dataclass(frozen=True)
class Chance:
    """How chance spreads the points of one moment, by how many events are behind them; arrays of one shape.

    width: by how much a deviation is wider than at the usual weight. lean: how far a rise by chance reaches beyond a
    fall: the expected value in standard deviations of chance, as few events are never fewer than none.
    """

    width: Floats
    lean: Floats

    @classmethod
    def at(cls, rows: Fields, weight: Floats | None, expected: Floats) -> Chance | None:
        """Of B points, or with fields that have a trailing axis of one, of (S, N). None where no weight was given.

        expected: what is usual, in robust units about zero rather than about the center.
        """
        if weight is None:
            return None
        events = np.maximum(weight, LEAST_WEIGHT)
        steady, chance = rows["weight_steady"], rows["weight_chance"]
        wide = np.sqrt((steady + chance / events) / (steady + chance / rows["weight_usual"]))
        lean = np.abs(expected) * np.sqrt(events / chance)
        lean = np.where(np.isfinite(lean), np.maximum(lean, FEWEST_EXPECTED), np.inf)
        return cls(np.where(np.isfinite(wide), np.clip(wide, NARROWEST, WIDEST), 1.0), lean)

    def evened(self, deviation: Floats, rows: Fields) -> Floats:
        """Deviations as they would be at the usual weight: a rise by its square root, as counts of few events lean."""
        unit = self._unit(rows)
        rise = np.maximum(deviation, 0.0) / unit
        upright = 2 * rise / (np.sqrt(1 + rise / self.lean) + 1)
        leans = np.isfinite(self.lean) & (deviation > 0)
        return np.where(leans, unit * upright, deviation) / self.width

    def back(self, deviation: Floats, rows: Fields) -> Floats:
        """What a deviation at the usual weight is at this one: the inverse of `evened`."""
        unit, wide = self._unit(rows), deviation * self.width
        rise = np.maximum(wide, 0.0) / unit
        leans = np.isfinite(self.lean) & (deviation > 0)
        return np.where(leans, unit * (rise + rise * rise / (4 * self.lean)), wide)

    def _unit(self, rows: Fields) -> Floats:
        """One standard deviation of chance at this weight, in robust units."""
        usual = np.sqrt(rows["weight_steady"] + rows["weight_chance"] / rows["weight_usual"])
        return np.maximum(self.width * usual, SMALLEST)


def evened(y: Floats, history: History, zero: Floats) -> tuple[Floats, Fields]:
    """The history (S, N) as it would be had each point the usual weight, and the fields that were learned for `Chance`.

    What few events say is drawn towards what is usual at its phase, so it weighs less in all that is learned from it.
    zero: where the value zero lies in these units, (S,).
    """
    fields = unweighted(len(y))
    if history.weights is None:
        return y, fields
    season = fit_profile(y, history.local, history.cadence)
    hour, following, share = phase(history.local, history.cadence)
    usual = season.hours[:, hour] * (1 - share) + season.hours[:, following] * share
    learned, telling = _learned(y - usual, history.weights)
    fields |= learned
    rows = {name: array[:, None] for name, array in fields.items()}
    chance = Chance.at(rows, history.weights, usual - zero[:, None])
    if chance is None:
        return y, fields
    return np.where(telling[:, None], usual + chance.evened(y - usual, rows), y), fields


def _learned(residual: Floats, weights: Floats) -> tuple[Fields, Bools]:
    """a, b and the usual weight of each series, from the spread of residuals (S, N) of like weights; and whose tell."""
    known = ~np.isnan(residual) & (weights > 0)
    events = np.where(known, np.maximum(weights, LEAST_WEIGHT), np.nan)
    order = np.argsort(events, axis=1)  # what is not known comes last
    size = np.take_along_axis(np.abs(residual), order, axis=1)
    inverse = np.take_along_axis(1.0 / events, order, axis=1)
    place = np.arange(residual.shape[1]) * BINS // np.maximum(known.sum(axis=1), 1)[:, None]
    variance, chance = (np.full((len(residual), BINS), np.nan) for _ in range(2))
    for number in range(BINS):
        mine = place == number
        variance[:, number] = (1.4826 * median(np.where(mine, size, np.nan), 1)) ** 2
        chance[:, number] = median(np.where(mine, inverse, np.nan), 1)
    steady, slope = _line(chance, variance)
    enough, usual = known.sum(axis=1) >= BINS * FEWEST_IN_BIN, median(events, 1)
    varied = chance[:, 0] >= TELLING * chance[:, -1]
    telling, guessed = enough & varied & (slope > 0), enough & ~varied
    learned = {
        "weight_steady": np.select([telling, guessed], [steady, 1 - GUESSED], 1.0),
        "weight_chance": np.select([telling, guessed], [slope, GUESSED * usual], 0.0),
        "weight_usual": np.where(telling | guessed, usual, 1.0),
    }
    return learned, telling


def _line(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Intercept and slope of y over x (S, K), neither negative, by relative errors: small variances count too."""
    trust = 1.0 / np.maximum(y, 1e-6 * np.nanmax(y, axis=1, initial=0.0)[:, None]) ** 2
    trust = np.where(np.isfinite(trust) & ~np.isnan(x), trust, 0.0)
    x, y = np.nan_to_num(x), np.nan_to_num(y)
    total = trust.sum(axis=1)
    x_mean, y_mean = ((trust * each).sum(axis=1) / total for each in (x, y))
    aside = x - x_mean[:, None]
    slope = (trust * aside * (y - y_mean[:, None])).sum(axis=1) / (trust * aside * aside).sum(axis=1)
    slope = np.where(np.isfinite(slope), np.maximum(slope, 0.0), 0.0)
    steady = y_mean - slope * x_mean
    through_zero = (trust * x * y).sum(axis=1) / (trust * x * x).sum(axis=1)
    slope = np.where((steady < 0) & np.isfinite(through_zero), through_zero, slope)
    return np.maximum(np.nan_to_num(steady), 0.0), slope
