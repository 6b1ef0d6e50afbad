"""What holidays and places in the month do to a series, learned from its past and its siblings', never blanked out.

Each day is compared with the same weekday of the weeks around it. What is left is told in two ways:

* A *public holiday* looks like a Sunday as far as the series' holidays bear out, and differs from that by an effect of
  its own: the last years' same holiday drawn to that of the siblings, and that to what holidays do here in general.
* *Any other kind of day*, next to a holiday or somewhere in the month, does nothing until the data bear it out: the
  days of one kind must agree with each other, each being told from the others.

An effect is a share of the usual value, or an amount for series that go below zero. What is not known for sure makes
the band wider: the doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detectors.calendar import DAY
from detectors.contract import Bools, Fields, Floats, History, Ints
from detectors.days import DAY_OF_MONTH, FAMILIES, HOLIDAY, HOLIDAYS, KINDS
from detectors.profile import phase
from detectors.robust import median

WEEKS_AROUND = 4
COMPLETE = 0.8  # share of its points that a day needs to be compared
LEAST_NOISE = 0.005
LEAST_SUNDAY = 0.1  # of an ordinary day: a holiday is told as a share of no less
LIKE_SUNDAY, SUNDAY_DOUBT = 0.7, 0.5  # what is believed of holidays before one was seen, and how little
HOLIDAY_DOUBT, SIBLING_DOUBT, YEARLY_DOUBT = 0.2, 0.1, 0.03  # spread among holidays, among siblings, among years
PRIOR_HOLIDAYS = 3.0  # how many holidays the first two of these are worth
BORNE_OUT, DISTINCT = 4.0, 2.5  # standard errors, and noises of a single day, that a day beside a holiday must differ
MONTHLY_BORNE_OUT = 5.0  # more: there are 44 kinds of days in a month to be misled by
MOST_MONTHLY = 4
LARGEST_EFFECT = 1_000.0
LEAST_SHARE = 0.01  # of the usual value that is left on a day that takes nearly all of it, where logarithms are judged
LARGEST, SMALLEST = 1e9, 1e-6  # in robust units
SUNDAY = 72  # hour of the week, as the profile counts from Thursday, at which it begins
_MONTHLY = KINDS - DAY_OF_MONTH


def unknown_occasions(count: int) -> Fields:
    """Baseline fields of series of which nothing is known: no kind of day does anything."""
    return {
        "occasion_effect": np.zeros((count, KINDS), np.float16),
        "occasion_doubt": np.zeros((count, KINDS), np.float16),
        "like_sunday": np.zeros(count, np.float32),
        "sunday_doubt": np.zeros(count, np.float32),
        "occasional": np.zeros(count, bool),  # whether kinds of days other than holidays do something
        "proportional": np.zeros(count, bool),  # whether effects are shares of the usual value
        "occasion_unit": np.ones(count),  # of effects that are not, in the series' unit
    }


def fit_occasions(history: History) -> Fields:
    """What the kinds of days do, from all of a history, (S,) fields as of `unknown_occasions`."""
    learned = unknown_occasions(len(history.values))
    if history.kinds_of_day is None or history.cadence > DAY or history.values.shape[1] < 2:
        return learned
    with np.errstate(all="ignore"):
        days = _Days.of(history, history.kinds_of_day)
        learned["proportional"], learned["occasion_unit"] = days.proportional, days.unit
        _learn_months(days, learned)
        days = days.without_months(learned)
        _learn_holidays(days, _kin(history), learned)
        _learn_beside_holidays(days, _kin(history), learned)
    learned["occasional"] = (learned["occasion_effect"][:, HOLIDAY + HOLIDAYS :] != 0).any(axis=1)
    return learned


@dataclass(frozen=True)
class Occasion:
    """What the kind of its day does to each of some points.

    shift: what it adds to the usual; doubt: how sure that is; both in robust units, 0 on ordinary days. louder: by how
    much the noise grows, with what is usual, 1 on ordinary days.
    """

    shift: Floats
    doubt: Floats
    louder: Floats

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Occasion:
        return cls(np.zeros(shape), np.zeros(shape), np.ones(shape))


def occasion_at(kinds: Ints, row: Ints, local: Ints, cadence: Ints, usual: Floats, baseline: Fields) -> Occasion:
    """For points of any number of series, (n,); kinds: (n, FAMILIES).

    usual: what the profile says of their phase, in robust units. baseline: the fields of `fit_occasions`, and the
    `profile`, `center` and `unit` of the series.
    """
    found = Occasion.none(row.shape)
    at = np.flatnonzero(is_holiday(kinds) | baseline["occasional"][row])
    if not at.size:
        return found
    kinds, row, usual = kinds[at], row[at], usual[at]
    hour, following, weight = phase(local[at], cadence[at])
    profile = baseline["profile"]
    on_sunday = (1 - weight) * profile[row, SUNDAY + hour % 24] + weight * profile[row, SUNDAY + following % 24]
    to_sunday = np.where(is_holiday(kinds), on_sunday - usual, 0.0)
    shift = baseline["like_sunday"][row] * to_sunday
    proportional, unit = baseline["proportional"][row], baseline["unit"][row]
    ordinary_level = usual + baseline["center"][row] / unit
    level = np.clip(ordinary_level + shift, 0.0, LARGEST)
    size = np.where(proportional, level, np.minimum(baseline["occasion_unit"][row] / unit, LARGEST))
    logged = baseline["log_floor"][row] > 0
    size = np.where(logged, 1.0 / unit, size)
    effect = baseline["occasion_effect"][row[:, None], kinds].astype(np.float64).sum(axis=1)
    doubt = np.square(baseline["occasion_doubt"][row[:, None], kinds].astype(np.float64)).sum(axis=1)
    effect = np.where(proportional, np.maximum(effect, -1.0), effect)
    found.shift[at] = shift + np.where(logged, np.log(np.maximum(1.0 + effect, LEAST_SHARE)), effect) * size
    growth = 1.0 + found.shift[at] / np.maximum(ordinary_level, SMALLEST)
    found.louder[at] = np.where(proportional & ~logged, _louder(growth), 1.0)
    found.doubt[at] = np.sqrt(doubt * size**2 + np.square(baseline["sunday_doubt"][row] * to_sunday))
    return found


def _louder(growth: Floats) -> Floats:
    """How noise grows with the usual value: in proportion, but no quieter than its root where there is less of it."""
    return np.where(growth > 1.0, np.minimum(growth, LARGEST_EFFECT), np.sqrt(np.maximum(growth, LEAST_SUNDAY)))


def occasions_in(history: History, usual: Floats, baseline: Fields) -> Occasion:
    """The same for every column of a history, (S, N)."""
    if history.kinds_of_day is None:
        nothing = np.broadcast_to(0.0, usual.shape)
        return Occasion(nothing, nothing, np.broadcast_to(1.0, usual.shape))
    found = Occasion.none(usual.shape)
    column = np.flatnonzero(is_extraordinary(history.kinds_of_day, baseline).any(axis=0))
    row = np.repeat(np.arange(len(usual)), column.size)
    there = np.tile(column, len(usual))
    cadence = np.full(there.size, history.cadence, np.int64)
    one = occasion_at(
        history.kinds_of_day[there], row, history.local[there], cadence, usual[:, column].ravel(), baseline
    )
    found.shift[:, column], found.doubt[:, column], found.louder[:, column] = (
        each.reshape(len(usual), column.size) for each in (one.shift, one.doubt, one.louder)
    )
    return found


def ordinary(values: Floats, history: History, learned: Fields) -> Floats:
    """The values (S, N) of a history but for days that must not shape the ordinary profile, which are NaN."""
    if history.kinds_of_day is None:
        return values
    extraordinary = is_extraordinary(history.kinds_of_day, learned)
    return np.where(extraordinary, np.nan, values) if extraordinary.any() else values


def is_holiday(kinds: Ints) -> Bools:
    """Whether days of these kinds (..., FAMILIES) are public holidays."""
    return np.asarray((kinds[..., 0] >= HOLIDAY) & (kinds[..., 0] < HOLIDAY + HOLIDAYS))


def is_extraordinary(kinds: Ints, learned: Fields) -> Bools:
    """(S, n): whether days of kinds (n, FAMILIES) are holidays, or of a kind that does something to a series."""
    found = np.broadcast_to(is_holiday(kinds), (len(learned["occasional"]), len(kinds))).copy()
    some = np.flatnonzero(learned["occasional"])
    found[some] |= (learned["occasion_effect"][some][:, kinds] != 0).any(axis=2)
    return found


def _kin(history: History) -> Ints:
    """Number of each series' family of siblings, from 0."""
    if history.kin is None:
        return np.arange(len(history.values))
    return np.unique(history.kin, return_inverse=True)[1]


@dataclass(frozen=True)
class _Days:
    """Whole days of S series, D of them, beginning on a Monday.

    change: (S, D), how each differs from its weekday's usual, NaN where that is not known; sunday: (S, D), how a Sunday
    would. kinds: (D, FAMILIES). noise: (S,), of an ordinary day. proportional, unit: how a change is measured, (S,).
    """

    change: Floats
    sunday: Floats
    kinds: Ints
    noise: Floats
    proportional: Bools
    unit: Floats

    @staticmethod
    def of(history: History, kinds: Ints) -> _Days:
        total, kinds = _whole_days(history, kinds)
        ordinary = np.where(kinds[:, 0] > 0, np.nan, total)
        usual = _same_weekday_around(ordinary)
        scale = np.nan_to_num(median(np.abs(total), 1))
        spread = 1.4826 * np.nan_to_num(median(np.abs(ordinary - usual), 1))
        proportional = ~(history.values < 0).any(axis=1) & (scale > 0)
        unit = np.where(spread > 0, spread, np.where(scale > 0, scale, 1.0))
        measure = np.where(proportional[:, None], np.where(usual > 1e-3 * scale[:, None], usual, np.nan), unit[:, None])
        change = _finite((total - usual) / measure)
        by_week = usual.reshape(len(usual), -1, 7)
        sunday = np.repeat(by_week[:, :, 6], 7, axis=1)
        noise = 1.4826 * median(np.abs(np.where(kinds[:, 0] > 0, np.nan, change)), 1)
        noise = np.maximum(np.nan_to_num(noise), LEAST_NOISE)
        return _Days(change, _finite((sunday - usual) / measure), kinds, noise, proportional, unit)

    def without_months(self, learned: Fields) -> _Days:
        """The days without what their place in the month does."""
        some = np.flatnonzero((learned["occasion_effect"][:, DAY_OF_MONTH:] != 0).any(axis=1))
        change = self.change.copy()
        change[some] -= learned["occasion_effect"][some][:, self.kinds[:, 1:]].astype(np.float64).sum(axis=2)
        return replace(self, change=change)

    def some(self, chosen: Bools) -> _Days:
        return replace(self, change=self.change[:, chosen], sunday=self.sunday[:, chosen], kinds=self.kinds[chosen])


def _finite(values: Floats) -> Floats:
    return np.where(np.abs(values) <= LARGEST_EFFECT, values, np.nan)


def _whole_days(history: History, kinds: Ints) -> tuple[Floats, Ints]:
    """Mean of each local day, NaN where it lacks points, (S, D), and the kinds of those days."""
    day = np.maximum.accumulate(history.local // DAY)
    first = int(day[0]) - (int(day[0]) + 3) % 7
    count = -(-(int(day[-1]) + 1 - first) // 7) * 7
    starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1) > 0)
    known = np.isfinite(history.values)
    number = np.add.reduceat(known.astype(np.int32), starts, axis=1)
    total = np.add.reduceat(np.where(known, history.values, 0.0), starts, axis=1)
    enough = number >= max(COMPLETE * (DAY / history.cadence), 1)
    means = np.full((len(history.values), count), np.nan)
    means[:, day[starts] - first] = np.where(enough & np.isfinite(total), total / np.maximum(number, 1), np.nan)
    of_day = np.zeros((count, FAMILIES), np.int64)
    of_day[day[starts] - first] = kinds[starts]
    return means, of_day


def _same_weekday_around(ordinary: Floats) -> Floats:
    """Median of the same weekday in the weeks before and after, (S, D); NaN where fewer than two are known."""
    weeks = np.ascontiguousarray(ordinary.reshape(len(ordinary), -1, 7))
    padded = np.pad(weeks, ((0, 0), (WEEKS_AROUND, WEEKS_AROUND), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * WEEKS_AROUND + 1, axis=1)
    others = np.delete(around, WEEKS_AROUND, axis=3)
    usual = np.where((~np.isnan(others)).sum(axis=3) >= 2, median(others, 3), np.nan)
    return np.asarray(usual.reshape(ordinary.shape))


@dataclass(frozen=True)
class _Pooled:
    """What the kinds (K,) of days do: to families of siblings (G, K) and to each series (S, K), with its variance.

    borne_out: (G, K), how many standard errors the family's own days differ from nothing.
    """

    effect: Floats
    variance: Floats
    borne_out: Floats


def _learn_holidays(days: _Days, kin: Ints, learned: Fields) -> None:
    here = days.some(is_holiday(days.kinds))
    member = np.equal.outer(np.arange(kin.max() + 1), kin).astype(np.float64)
    known = np.isfinite(here.change) & np.isfinite(here.sunday)
    sunday, change = (np.where(known, each, 0.0) for each in (here.sunday, here.change))
    prior = (HOLIDAY_DOUBT / SUNDAY_DOUBT) ** 2
    own = (sunday**2).sum(axis=1)
    along = (sunday * change).sum(axis=1)
    family = ((member @ along + LIKE_SUNDAY * prior) / (member @ own + prior))[kin]
    like_sunday = np.clip((along + family * prior) / (own + prior), 0.0, 1.0)
    as_sunday = like_sunday[:, None] * sunday
    base = np.where(here.proportional[:, None], np.maximum(1 + as_sunday, LEAST_SUNDAY), 1.0)
    left = np.where(known, (here.change - as_sunday) / base, np.nan)
    one_hot = np.equal.outer(here.kinds[:, 0] - HOLIDAY, np.arange(HOLIDAYS)).astype(np.float64)
    pooled = _pool(left, here.noise, member, kin, one_hot, prior_holidays=PRIOR_HOLIDAYS)
    columns = slice(HOLIDAY, HOLIDAY + HOLIDAYS)
    learned["like_sunday"][:] = like_sunday
    learned["sunday_doubt"][:] = SUNDAY_DOUBT * np.sqrt(prior / (member @ own + prior))[kin]
    learned["occasion_effect"][:, columns] = np.where(
        days.proportional[:, None], np.maximum(pooled.effect, -1), pooled.effect
    )
    learned["occasion_doubt"][:, columns] = np.sqrt(pooled.variance)


def _learn_beside_holidays(days: _Days, kin: Ints, learned: Fields) -> None:
    """The days before and after holidays, where they bear out that they differ."""
    first = HOLIDAY + HOLIDAYS
    here = days.some((days.kinds[:, 0] >= first) & (days.kinds[:, 0] < DAY_OF_MONTH))
    member = np.equal.outer(np.arange(kin.max() + 1), kin).astype(np.float64)
    for start in (first, first + HOLIDAYS):
        one_hot = np.equal.outer(here.kinds[:, 0] - start, np.arange(HOLIDAYS)).astype(np.float64)
        pooled = _pool(here.change, here.noise, member, kin, one_hot, prior_holidays=0.0)
        believed = (pooled.borne_out[kin] >= BORNE_OUT) & (np.abs(pooled.effect) >= DISTINCT * days.noise[:, None])
        columns = slice(start, start + HOLIDAYS)
        learned["occasion_effect"][:, columns] = np.where(believed, pooled.effect, 0.0)
        learned["occasion_doubt"][:, columns] = np.where(believed, np.sqrt(pooled.variance), 0.0)


def _pool(left: Floats, noise: Floats, member: Floats, kin: Ints, one_hot: Floats, *, prior_holidays: float) -> _Pooled:
    """Draw each series' days (S, D) of each kind to its siblings', and these to all the kinds' mean.

    member: (G, S), one_hot: (D, K). prior_holidays: how many kinds of days the prior spread is worth; with 0 nothing is
    believed to differ from nothing unless the kinds differ more than noise explains.
    """
    known = np.isfinite(left)
    there = np.where(known, left, 0.0)
    number = member @ known
    together = member @ there / np.maximum(number, 1)
    variance = YEARLY_DOUBT**2 + (member @ (known * noise[:, None] ** 2)) / np.maximum(number, 1) ** 2
    precision = np.where(number > 0, 1 / variance, 0.0)
    weight = precision @ one_hot
    seen = weight > 0
    kind = np.where(seen, (precision * together) @ one_hot / np.maximum(weight, 1e-12), 0.0)
    kinds = seen.sum(axis=1, keepdims=True)
    general = kind.sum(axis=1, keepdims=True) / (kinds + 2.0) if prior_holidays else np.zeros_like(kinds)
    found = np.where(seen, (kind - general) ** 2 - np.where(seen, 1 / np.maximum(weight, 1e-12), 0.0), 0.0)
    spread = (prior_holidays * HOLIDAY_DOUBT**2 + np.maximum(found, 0.0).sum(axis=1, keepdims=True)) / np.maximum(
        prior_holidays + kinds, 1
    )
    prior = 1 / np.maximum(spread, 1e-12)
    family = (weight * kind + prior * general) / (weight + prior)

    each_year = noise[:, None] ** 2 + YEARLY_DOUBT**2
    apart = np.where(known, left - family[kin] @ one_hot.T, 0.0)
    beyond = member @ np.where(known, np.maximum(apart**2 - each_year, 0.0), 0.0).sum(axis=1)
    among = (PRIOR_HOLIDAYS * SIBLING_DOUBT**2 + beyond) / (PRIOR_HOLIDAYS + number.sum(axis=1))
    among = np.where(member.sum(axis=1) > 1, among, 0.0)[kin][:, None]
    years = known @ one_hot
    own = years * among / np.maximum(years * among + each_year, 1e-12)
    effect = family[kin] + own * (apart @ one_hot) / np.maximum(years, 1)
    remaining = (1 - own) * (among + (1 / (weight + prior))[kin]) + YEARLY_DOUBT**2
    return _Pooled(effect, remaining, np.abs(kind) * np.sqrt(weight))


def _learn_months(days: _Days, learned: Fields) -> None:
    """Kinds of days in the month that bear out a pattern, the strongest first, each told without those before it."""
    left = np.where(days.kinds[:, 0] > 0, np.nan, days.change)
    one_hot = np.zeros((len(days.kinds), _MONTHLY))
    for kind in days.kinds[:, 1:].T:
        there = np.flatnonzero(kind)
        one_hot[there, kind[there] - DAY_OF_MONTH] = 1.0
    rows = np.arange(len(left))
    for _ in range(MOST_MONTHLY):
        kind, effect, variance = _strongest(left, days.noise[rows], one_hot)
        believed = effect != 0
        rows, left, kind, effect = rows[believed], left[believed], kind[believed], effect[believed]
        if not rows.size:
            return
        learned["occasion_effect"][rows, DAY_OF_MONTH + kind] += effect.astype(np.float16)
        learned["occasion_doubt"][rows, DAY_OF_MONTH + kind] = np.sqrt(variance[believed])
        left = left - effect[:, None] * one_hot[:, kind].T


def _strongest(left: Floats, noise: Floats, one_hot: Floats) -> tuple[Ints, Floats, Floats]:
    """The kind of day in the month that explains most of each series, (S,); its effect, 0 where none is borne out.

    Borne out: each of its days, told by the mean of the others, leaves less than half of what was there, three of four
    of them differ to the same side by more than noise, and so does their mean by far.
    """
    known = np.isfinite(left)
    there = np.where(known, left, 0.0)
    number = known @ one_hot
    several = np.maximum(number, 2.0)
    middle = (there @ one_hot) / several
    square = there**2 @ one_hot
    apart = np.maximum(square - several * middle**2, 0.0)
    held_out = (several / (several - 1)) ** 2 * apart
    side = np.sign(middle)
    same = np.where(side > 0, (there > noise[:, None]) @ one_hot, (there < -noise[:, None]) @ one_hot)
    borne_out = (
        (number >= 2)
        & (np.abs(middle) * np.sqrt(several) >= MONTHLY_BORNE_OUT * noise[:, None])
        & (np.abs(middle) >= noise[:, None])
        & (held_out < square / 2)
        & (same >= 0.75 * number)
    )
    explained = np.where(borne_out, several * middle**2, 0.0)
    kind = np.argmax(explained, axis=1)
    found = explained[np.arange(len(left)), kind] > 0
    n, effect, rest = (array[np.arange(len(left)), kind] for array in (several, middle, apart))
    kept = 1 - noise**2 / np.maximum(n * effect**2, noise**2)
    variance = np.maximum(rest / (n - 1) - noise**2, 0.0) + noise**2 / n
    return kind, np.where(found, kept * effect, 0.0), variance
