"""Cold start: what a young series may borrow of the past of its siblings.

A series of a few days gets, before its own first point, the weeks that its siblings lived through then: brought to its
size and its noise, and each week from another one. A detector fitted on that joined past takes from it the shape of the
season, the spread of each phase and the tail, with the weight that the series' own days leave. Where siblings disagree,
the borrowed weeks differ from each other, and are believed as little as any series' weeks that differ. It is the hot
deck of survey statistics (Little and Rubin 2019, chapter 4), and serves every detector alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detectors.contract import Bools, Floats, History, Ints
from detectors.profile import fit_profile, phase
from detectors.robust import center_and_unit, median, spread

DAY = 86_400
FULL_PAST_DAYS = 70
OWN_DAYS_WEIGH = 2.5
"""A day of its own takes the place of so many borrowed ones: after 28 days nothing is borrowed."""
BORROWS_UNTIL_DAYS = FULL_PAST_DAYS / OWN_DAYS_WEIGH
MOST_BORROWED = 10_000
"""Columns. A series of every minute borrows a week, which it has soon seen itself."""
LENDS_FROM_DAYS = 14
FEWEST_LENDERS, MOST_LENDERS = 2, 8
FEWEST_SHARED = 12
"""Points that a series and a sibling must have at the same times, to be brought to one size."""
MOST_COMPARED = 2_000
NOISE_HALF = 20.0
"""Points of its own from which a series' noise counts as much as the belief that it is its siblings'."""
TOLD_APART_FROM = 24
"""Points of its own by which a series shows whether it is like its siblings."""
BORNE_OUT, REFUTED = 1.6, 2.5
"""What the siblings leave unexplained, as so many times what is left from one point to the next."""


@dataclass(frozen=True)
class Borrowed:
    """S series with the past that they borrowed.

    history: theirs, with columns before it, NaN where nothing was borrowed. lenders: int64 (S,), how many siblings lent
    to each; none where its own days refute them. borne_out: bool (S,), whether its own days bear their shape out.
    """

    history: History
    lenders: Ints
    borne_out: Bools


@dataclass(frozen=True)
class _Lenders:
    """Siblings (L, M), and what is usual of each at every column."""

    values: Floats
    usual: Floats

    @staticmethod
    def of(siblings: History) -> _Lenders:
        values = np.where(np.isfinite(siblings.values), siblings.values, np.nan)
        center, unit = (each[:, None] for each in center_and_unit(values))
        profile = fit_profile((values - center) / unit, siblings.local, siblings.cadence)
        hour, following, weight = phase(siblings.local, siblings.cadence)
        shape = profile.hours[:, hour] * (1 - weight) + profile.hours[:, following] * weight
        return _Lenders(values, center + unit * shape)


@dataclass(frozen=True)
class _Sizes:
    """How each of L siblings is brought to one series: factor and what is added, and how much noisier it is. (L, 1)."""

    factor: Floats
    added: Floats
    noisier: Floats
    least: float
    whole: bool

    def brought(self, lending: _Lenders, who: slice, when: slice) -> Floats:
        """These siblings at these columns, as the series would have looked; NaN where too little is shared."""
        usual = self.factor[who] * lending.usual[who, when] + self.added[who]
        rest = self.factor[who] * (lending.values[who, when] - lending.usual[who, when])
        values = np.maximum(usual + self.noisier[who] * rest, self.least)
        return np.asarray(np.round(values) if self.whole else values)


def may_lend(siblings: History) -> Bools:
    """Which of these series have seen enough to lend of it."""
    return np.asarray(np.isfinite(siblings.values).sum(axis=1) * siblings.cadence >= LENDS_FROM_DAYS * DAY)


def borrowed_columns(days: float, cadence: int) -> int:
    """How many steps a series that has seen so many days may borrow."""
    return int(min(max(FULL_PAST_DAYS - OWN_DAYS_WEIGH * days, 0.0) * DAY // max(cadence, 1), MOST_BORROWED))


def borrow(own: History, siblings: History) -> Borrowed:
    """Give each young series of `own` a past from `siblings`, whose columns end with its own and begin earlier.

    Both lie on one grid. A series that has no two siblings with points at its own times borrows nothing.
    """
    series, columns = own.values.shape
    before = siblings.values.shape[1] - columns
    values = np.full((series, before + columns), np.nan)
    values[:, before:] = own.values
    lenders, borne_out = np.zeros(series, np.int64), np.zeros(series, bool)
    enough = may_lend(siblings)
    if enough.sum() >= FEWEST_LENDERS:
        with np.errstate(all="ignore"):
            lending = _Lenders.of(replace(siblings, values=siblings.values[enough]))
            for row in range(series):
                lenders[row], borne_out[row] = _lend(values[row], lending, siblings.cadence, turn=row)
    return Borrowed(replace(siblings, values=values, kin=own.kin), lenders, borne_out)


def _lend(own: Floats, lending: _Lenders, cadence: int, *, turn: int) -> tuple[int, bool]:
    """Write borrowed weeks before the first point of one series, in place; how many lent, and if it bears them out."""
    known = np.flatnonzero(np.isfinite(own))
    if len(known) < FEWEST_SHARED:
        return 0, False
    first = int(known[0])
    wanted = min(borrowed_columns((len(own) - first) * cadence / DAY, cadence), first)
    recent = slice(max(first, len(own) - MOST_COMPARED), len(own))
    sizes = _sizes(own[recent], lending, recent)
    past = slice(first - wanted, first)
    lent = np.flatnonzero(np.isfinite(sizes.factor[:, 0]) & np.isfinite(lending.values[:, past]).any(axis=1))
    if len(lent) < FEWEST_LENDERS or wanted <= 0:
        return 0, False
    unexplained = _unexplained(own[recent], sizes.brought(lending, slice(None), recent)[lent])
    if unexplained > REFUTED:
        return 0, False
    day = max(1, DAY // cadence)
    piece = int(np.clip(wanted // 4, day, 7 * day))
    for number, end in enumerate(range(first, past.start, -piece)):
        who = int(lent[(turn + number) % len(lent)])
        span = slice(max(end - piece, past.start), end)
        own[span] = sizes.brought(lending, slice(who, who + 1), span)[0]
    return len(lent), unexplained <= BORNE_OUT


def _sizes(own: Floats, lending: _Lenders, when: slice) -> _Sizes:
    """What brings the siblings to the size of a series: compared at the times that both have points at.

    So a series that has only seen a morning is compared with mornings. What cannot be negative is scaled, anything else
    is moved and stretched.
    """
    values = lending.values[:, when]
    both = np.isfinite(own)[None, :] & np.isfinite(values)
    mine, theirs = np.where(both, own[None, :], np.nan), np.where(both, values, np.nan)
    middle, other = median(mine, 1), median(theirs, 1)
    positive = bool(np.nanmin(own) >= 0 and np.nanmin(theirs, initial=np.inf) >= 0)
    if positive:
        factor = np.where((middle > 0) & (other > 0), middle / other, np.nan)
    else:
        size, others_size = (median(np.abs(each - m[:, None]), 1) for each, m in ((mine, middle), (theirs, other)))
        factor = np.where((size > 0) & (others_size > 0), size / others_size, np.nan)
    factor = np.where(both.sum(axis=1) >= FEWEST_SHARED, factor, np.nan)[:, None]
    added = np.zeros_like(factor) if positive else middle[:, None] - factor * other[:, None]
    usual = factor * lending.usual[:, when] + added
    known = own[np.isfinite(own)]
    return _Sizes(
        factor=factor,
        added=added,
        noisier=_noisier(mine - usual, factor * (theirs - lending.usual[:, when]), both.sum(axis=1)),
        least=0.0 if positive else -np.inf,
        whole=bool((known == np.round(known)).all()),
    )


def _noisier(mine: Floats, theirs: Floats, count: Ints) -> Floats:
    """How many times the siblings' noise a series has, from one point to the next, (L, 1); drawn to 1 by few points."""
    noise, others = (spread(np.diff(each, axis=1)) for each in (mine, theirs))
    ratio = np.where((noise > 0) & (others > 0), noise / others, 1.0)
    return np.asarray(np.clip(ratio ** (count / (count + NOISE_HALF)), 0.2, 5.0))[:, None]


def _unexplained(own: Floats, siblings: Floats) -> float:
    """What siblings (L, N) leave of a series' own days, in its noise; NaN where those are too few to tell.

    The days are halved, the size is taken from one half and the other is told with it: what is left is compared with
    what is left from one point to the next, where any slow error of shape or size cancels out. 1 is nothing but noise.
    """
    told = median(siblings, 0)
    known = np.flatnonzero(np.isfinite(own) & np.isfinite(told))
    if len(known) < TOLD_APART_FROM:
        return np.nan
    mine, theirs = own[known], told[known]
    early, late = np.array_split(np.arange(len(known)), 2)
    rest = np.concatenate([(mine - _sized(theirs, mine, late))[early], (mine - _sized(theirs, mine, early))[late]])
    noise = np.abs(np.diff(rest)).mean() / np.sqrt(2.0)
    return float(np.abs(rest).mean() / noise) if noise > 0 else np.nan


def _sized(told: Floats, own: Floats, learned: Ints) -> Floats:
    """What the siblings tell, at the size that the series has at `learned`."""
    theirs, mine = np.median(told[learned]), np.median(own[learned])
    return np.asarray(told * (mine / theirs) if theirs > 0 and mine > 0 else told + (mine - theirs))
